//! SDSS, BOSS and eBOSS spectra (`spec-PLATE-MJD-FIBER.fits`, full and lite).
//!
//! HDU 1 is the coadded spectrum, one row a pixel; HDU 2 is one row about the object. HDUs are
//! found by position and columns in any case, because their names differ between data releases.

use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::fits_table::first_row;
use crate::format::table::Cell;
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::{Measurement, Object, Spectrum};
use crate::survey::cutout::stem;

/// HDU of the coadded spectrum.
const COADD: usize = 1;
/// HDU of the row about the object.
const ABOUT: usize = 2;

/// Columns of the row about the object.
const ABOUT_COLUMNS: [&str; 11] = [
    "PLATE",
    "MJD",
    "FIBERID",
    "PLUG_RA",
    "PLUG_DEC",
    "Z",
    "ZWARNING",
    "CLASS",
    "SUBCLASS",
    "OBJTYPE",
    "SOURCETYPE",
];

/// Columns of that row that travel as flags.
const FLAGS: [&str; 5] = [CLASS, "SUBCLASS", "OBJTYPE", "Z", REDSHIFT_WARNING];
/// The pipeline's class of the object.
pub const CLASS: &str = "CLASS";
/// Not 0 where the pipeline doubts its redshift.
pub const REDSHIFT_WARNING: &str = "ZWARNING";

/// Inverse variances up to this are no measurement.
const LEAST_IVAR: f64 = 1e-6;

/// Whether HDU 1 is a spectrum.
pub fn recognises(file: &FitsFile) -> bool {
    let columns = file.columns(COADD);
    let has = |name: &&str| {
        columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name))
    };
    ["FLUX", "LOGLAM", "IVAR"].iter().all(has)
}

/// Reads the spectrum, and the redshift as `tok_z` where the pipeline trusts it: no warning, not a
/// sky fibre. `survey` overrides the instrument that the spectrum counts as.
///
/// Errors: a missing column or HDU, a survey without spectra.
pub fn read(file: &mut FitsFile, survey: Option<Survey>) -> Result<Object> {
    let survey = survey.unwrap_or(Survey::Sdss);
    let Some(modality) = ModalityId::of_kind(Kind::Spectrum, survey) else {
        let what = format!("a spectrum, but {survey} has no spectra; expected sdss or desi");
        let place = Place::file(file.path());
        return Err(DataError::new(place, Problem::Unrecognised(what)));
    };
    let spectrum = read_spectrum(file)?;
    if !file.is_table(ABOUT) {
        let problem = Problem::Missing("HDU 2, the row about the object".into());
        return Err(DataError::new(Place::file(file.path()), problem));
    }
    let about = About {
        cells: first_row(file, ABOUT, &ABOUT_COLUMNS)?,
    };
    let mut object = Object::named(identifier(file, &about));
    object.ra = about
        .number("PLUG_RA")
        .or_else(|| file.number(0, "PLUG_RA"));
    object.dec = about
        .number("PLUG_DEC")
        .or_else(|| file.number(0, "PLUG_DEC"));
    for name in FLAGS {
        if let Some(label) = about.cell(name).label() {
            object.flags.insert(name.into(), label);
        }
    }
    object
        .measurements
        .insert(modality, Measurement::Spectrum(spectrum));
    let redshift = ModalityId::from_codec("Z", Survey::Any).zip(about.trusted_redshift());
    if let Some((id, redshift)) = redshift {
        let measurement = Measurement::Scalar(redshift as f32);
        object.measurements.insert(id, measurement);
    }
    Ok(object)
}

fn read_spectrum(file: &mut FitsFile) -> Result<Spectrum> {
    let mut column = |name: &str| -> Result<Vec<f64>> {
        let values = file.column(COADD, name)?;
        values.ok_or_else(|| {
            let place = file.place(COADD).with_field(name);
            DataError::new(place, Problem::Missing("column".into()))
        })
    };
    let flux = column("FLUX")?;
    let wavelength = column("LOGLAM")?;
    let ivar = column("IVAR")?;
    let flagged = column("AND_MASK")?;
    let bad = |(&mask, &ivar): (&f64, &f64)| mask != 0.0 || ivar <= LEAST_IVAR;
    let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
    Ok(Spectrum {
        flux: narrow(&flux),
        ivar: narrow(&ivar),
        wavelength: wavelength
            .iter()
            .map(|&value| 10f64.powf(value) as f32)
            .collect(),
        mask: flagged.iter().zip(&ivar).map(bad).collect(),
    })
}

/// `PLATE-MJD-FIBER` as in the file's name, which is used where the numbers are not there.
fn identifier(file: &FitsFile, about: &About) -> String {
    let number = |column: &str, keyword: &str| {
        let value = about.number(column).or_else(|| file.number(0, keyword))?;
        (value >= 0.0 && value.fract() == 0.0).then_some(value as u64)
    };
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
