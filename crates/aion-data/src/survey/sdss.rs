//! SDSS, BOSS, eBOSS and SDSS-V spectra (`spec-PLATE-MJD-FIBER.fits`, full and lite, and
//! `spec-FIELD-MJD-CATALOGID.fits`).
//!
//! HDU 1 is the coadded spectrum, one row a pixel; HDU 2 is one row about the object. HDUs are
//! found by position and columns in any case, because their names differ between data releases.

use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::fits_table::named_cells;
use crate::format::table::{Cell, Column};
use crate::modality::Survey;
use crate::observation::{Object, Spectrum};
use crate::read_options::ReadOptions;
use crate::survey::cutout::stem;
use crate::survey::flux_unit::{flux_factor, ivar_factor};
use crate::survey::spectra::{self, LEAST_IVAR, Scales};
use crate::survey::vacuum;

/// HDU of the coadded spectrum.
const COADD: usize = 1;
/// HDU of the row about the object.
const ABOUT: usize = 2;

/// Columns of the row about the object.
const ABOUT_COLUMNS: [&str; 18] = [
    "PLATE",
    "MJD",
    "FIBERID",
    "FIELD",
    "CATALOGID",
    "PLUG_RA",
    "PLUG_DEC",
    "RACAT",
    "DECCAT",
    "FIBER_RA",
    "FIBER_DEC",
    "SDSS_ID",
    "Z",
    "ZWARNING",
    "CLASS",
    "SUBCLASS",
    "OBJTYPE",
    "SOURCETYPE",
];

/// Where the position stands, best first: of the plugged hole, of the target, of the fibre.
const POSITIONS: [(&str, &str); 3] = [
    ("PLUG_RA", "PLUG_DEC"),
    ("RACAT", "DECCAT"),
    ("FIBER_RA", "FIBER_DEC"),
];

/// Columns of that row that travel as flags.
const FLAGS: [&str; 6] = [
    CLASS,
    "SUBCLASS",
    "OBJTYPE",
    "Z",
    REDSHIFT_WARNING,
    "SDSS_ID",
];
/// The pipeline's class of the object.
pub const CLASS: &str = "CLASS";
/// Not 0 where the pipeline doubts its redshift.
pub const REDSHIFT_WARNING: &str = "ZWARNING";

/// HDUs of the Milky Way Mapper's spectra (`mwmStar-*`, `mwmVisit-*`).
const REST_FRAME: [&str; 4] = ["BOSS/APO", "BOSS/LCO", "APOGEE/APO", "APOGEE/LCO"];

/// Refuses spectra that were shifted to the rest frame of their source.
pub fn refuse_rest_frame(file: &FitsFile) -> Result<()> {
    let shifted = |&hdu: &usize| REST_FRAME.contains(&file.name(hdu).as_str());
    let Some(hdu) = (0..file.len()).find(shifted) else {
        return Ok(());
    };
    let what = "a spectrum of the Milky Way Mapper (mwmStar, mwmVisit), resampled in the rest frame \
                of its star; expected the observed one, spec-FIELD-MJD-CATALOGID.fits";
    let problem = Problem::Unrecognised(what.into());
    Err(DataError::new(file.place(hdu), problem))
}

/// Whether HDU 1 is a spectrum.
pub fn recognises(file: &FitsFile) -> bool {
    let columns = file.columns(COADD);
    let has = |name: &&str| {
        columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name))
    };
    ["FLUX", "LOGLAM"].iter().all(has)
}

/// Reads the spectrum, and the redshift as `tok_z` where the pipeline trusts it: no warning, not a
/// sky fibre. `options.survey` overrides the instrument that the spectrum counts as.
///
/// Errors: a missing column or HDU, a survey without spectra, wavelengths in air, a unit that is
/// no flux density.
pub fn read(file: &mut FitsFile, options: &ReadOptions) -> Result<Object> {
    let modality = spectra::modality(file.path(), options.survey, Survey::Sdss)?;
    let has_about = file.is_table(ABOUT);
    let about = About {
        cells: match has_about {
            true => named_cells(file, ABOUT, 0, &ABOUT_COLUMNS)?,
            false => Vec::new(),
        },
    };
    let mut object = Object::named(identifier(file, &about));
    let spectrum = read_spectrum(file, options);
    let spectrum = spectrum.map_err(|error| error.in_object(&object.id))?;
    if !has_about {
        let problem = Problem::Missing("HDU 2, the row about the object".into());
        return Err(DataError::new(Place::file(file.path()), problem));
    }
    spectra::insert(&mut object, modality, spectrum);
    let position = |(ra, dec): &(&str, &str)| about.number(ra).zip(about.number(dec));
    let header = || file.number(0, "PLUG_RA").zip(file.number(0, "PLUG_DEC"));
    let position = POSITIONS.iter().find_map(position).or_else(header);
    (object.ra, object.dec) = position.unzip();
    for name in FLAGS {
        if let Some(label) = about.cell(name).label() {
            object.flags.insert(name.into(), label);
        }
    }
    if let Some(redshift) = about.trusted_redshift() {
        spectra::insert_redshift(&mut object, redshift);
    }
    Ok(object)
}

fn read_spectrum(file: &mut FitsFile, options: &ReadOptions) -> Result<Spectrum> {
    let mut column = |name: &str| -> Result<Vec<f64>> {
        let values = file.column(COADD, name)?;
        values.ok_or_else(|| {
            let place = file.place_in(COADD, name);
            DataError::new(place, Problem::Missing("column".into()))
        })
    };
    let flux = column("FLUX")?;
    let wavelength = column("LOGLAM")?;
    let ivar = column("IVAR")?;
    let flagged = column("AND_MASK")?;
    let scales = scales(file)?;
    let scaled = |values: &[f64], factor: f64| -> Vec<f32> {
        values
            .iter()
            .map(|&value| (value * factor) as f32)
            .collect()
    };
    let bad = |(&mask, &ivar): (&f64, &f64)| mask != 0.0 || ivar * scales.ivar <= LEAST_IVAR;
    let wavelength = wavelength.iter().map(|&log| 10f64.powf(log) as f32);
    let mut spectrum = Spectrum {
        flux: scaled(&flux, scales.flux),
        ivar: scaled(&ivar, scales.ivar),
        wavelength: wavelength.collect(),
        mask: flagged.iter().zip(&ivar).map(bad).collect(),
    };
    if vacuum::is_air(file, &[0, COADD], options)? {
        vacuum::from_air(&mut spectrum.wavelength);
    }
    Ok(spectrum)
}

/// The factors to our units, from the columns' own units, or from the header of the whole.
fn scales(file: &FitsFile) -> Result<Scales> {
    let columns = file.columns(COADD);
    let unit = |name: &str| {
        let same = |column: &&Column| column.name.eq_ignore_ascii_case(name);
        columns.iter().find(same)?.unit.clone()
    };
    let refuse =
        |hdu: usize, field: &str, problem| DataError::new(file.place_in(hdu, field), problem);
    let mut scales = Scales::of_flux(1.0);
    if let Some(unit) = unit("FLUX") {
        let factor = flux_factor(&unit).map_err(|problem| refuse(COADD, "FLUX", problem))?;
        scales = Scales::of_flux(factor);
    } else if let Some(unit) = file.text(0, "BUNIT") {
        let factor = flux_factor(&unit).map_err(|problem| refuse(0, "BUNIT", problem))?;
        scales = Scales::of_flux(factor);
    }
    if let Some(unit) = unit("IVAR") {
        let factor = ivar_factor(&unit).map_err(|problem| refuse(COADD, "IVAR", problem))?;
        scales.ivar = factor;
    }
    Ok(scales)
}

/// `PLATE-MJD-FIBER` or `FIELD-MJD-CATALOGID` as in the file's name, which is used where the numbers
/// are not there.
fn identifier(file: &FitsFile, about: &About) -> String {
    let number = |column: &str, keyword: &str| {
        let value = about.number(column).or_else(|| file.number(0, keyword))?;
        (value >= 0.0 && value.fract() == 0.0).then_some(value as u64)
    };
    let text = |column: &str| about.cell(column).identifier().ok().flatten();
    if let (Some(field), Some(mjd), Some(catalog)) = (text("FIELD"), text("MJD"), text("CATALOGID"))
    {
        return format!("{field:0>6}-{mjd}-{catalog}");
    }
    let parts = (
        number("PLATE", "PLATEID"),
        number("MJD", "MJD"),
        number("FIBERID", "FIBERID"),
    );
    match parts {
        (Some(plate), Some(mjd), Some(fiber)) => format!("{plate:04}-{mjd}-{fiber:04}"),
        _ => stem(file.path()).trim_start_matches("spec-").to_owned(),
    }
}

/// The row about the object, in the order of [`ABOUT_COLUMNS`].
struct About {
    cells: Vec<Cell>,
}

impl About {
    fn cell(&self, name: &str) -> &Cell {
        let index = ABOUT_COLUMNS.iter().position(|column| *column == name);
        index
            .and_then(|index| self.cells.get(index))
            .unwrap_or(&Cell::Missing)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.cell(name).number().ok().flatten()
    }

    fn trusted_redshift(&self) -> Option<f64> {
        let label = |name: &str| self.cell(name).label().unwrap_or_default();
        let sky = ["CLASS", "OBJTYPE", "SOURCETYPE"]
            .iter()
            .any(|name| label(name) == "SKY");
        let trusted = self.number(REDSHIFT_WARNING) == Some(0.0) && !sky;
        self.number("Z").filter(|_| trusted)
    }
}
