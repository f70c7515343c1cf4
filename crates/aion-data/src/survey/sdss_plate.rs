//! SDSS and BOSS plates (`spPlate-PLATE-MJD.fits`): the spectra of all fibres as rows of images.
//!
//! HDU 0 holds fluxes, 1 inverse variances, 2 the mask bits that all exposures have, 5 the table of
//! plugged fibres; wavelengths are logarithmic and the same for all. Redshifts come from
//! `spZbest-PLATE-MJD.fits` beside the file.

use std::path::{Path, PathBuf};

use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::fits_table::named_cells;
use crate::modality::{ModalityId, Survey};
use crate::observation::{Object, Spectrum};
use crate::read_options::{Objects, ReadOptions};
use crate::survey::flux_unit::flux_factor;
use crate::survey::redshifts::{RedshiftLayout, Redshifts, beside};
use crate::survey::spectra::{self, LEAST_IVAR, LogGrid, Scales};
use crate::survey::vacuum;

const FLUX: usize = 0;
const IVAR: usize = 1;
const AND_MASK: usize = 2;
const PLUGMAP: usize = 5;

/// Columns of the table of fibres; the last two travel as flags.
const PLUGGED: [&str; 5] = ["FIBERID", "RA", "DEC", "OBJTYPE", "SOURCETYPE"];

/// The beginning of a plate's file name.
const PLATE: &str = "spPlate-";
/// The beginnings of the names of tables about its fibres: the best redshift, which is joined, all
/// that were tried, and emission lines.
const ABOUT: [&str; 3] = [ZBEST.prefix, "spZall-", "spZline-"];

/// Redshifts by the spectroscopic pipeline.
const ZBEST: RedshiftLayout = RedshiftLayout {
    prefix: "spZbest-",
    key: "FIBERID",
    redshift: "Z",
    warning: "ZWARNING",
    flags: &["Z", "ZWARNING", "CLASS", "SUBCLASS"],
};

/// Whether a file is a plate.
pub fn recognises(file: &FitsFile) -> bool {
    let images = [FLUX, IVAR, AND_MASK].map(|hdu| file.shape(hdu));
    let [Some(flux), Some(ivar), Some(mask)] = images else {
        return false;
    };
    flux.len() == 2 && ivar == flux && mask == flux && file.number(FLUX, "COEFF0").is_some()
}

/// The objects of a plate, one a fibre; a fibre that was not plugged is an error.
///
/// Errors: no table of fibres, wavelengths without grid or in air, a unit that is no flux density,
/// redshifts of other fibres.
pub fn read(file: FitsFile, options: &ReadOptions) -> Result<Objects> {
    let mut plate = Plate::open(file, options)?;
    let range = options.range();
    let end = range.end.min(plate.fibers as u64);
    let fibers = range.start.min(end) as usize..end as usize;
    Ok(Box::new(fibers.map(move |row| plate.object(row))))
}

/// The number of fibres of a plate.
pub fn num_objects(file: &FitsFile) -> Option<u64> {
    let shape = file.shape(FLUX)?;
    Some(*shape.first()? as u64)
}

/// The tables beside a plate about its fibres, which hold no further objects.
pub fn files_replaced_by(path: &Path) -> Vec<PathBuf> {
    let tables = ABOUT.iter().filter_map(|table| beside(path, PLATE, table));
    tables.collect()
}

struct Plate {
    file: FitsFile,
    modality: ModalityId,
    wavelengths: Vec<f32>,
    fibers: usize,
    scales: Scales,
    /// Plate and date, as they stand in identifiers.
    name: String,
    redshifts: Option<Redshifts>,
}

impl Plate {
    fn open(file: FitsFile, options: &ReadOptions) -> Result<Self> {
        let modality = spectra::modality(file.path(), options.survey, Survey::Sdss)?;
        let shape = file.shape(FLUX).unwrap_or_default();
        let (Some(&fibers), Some(&pixels)) = (shape.first(), shape.get(1)) else {
            let what = "image of fibres".to_owned();
            return Err(DataError::new(file.place(FLUX), Problem::Missing(what)));
        };
        if !file.is_table(PLUGMAP) {
            let what = "HDU 5, the table of fibres".to_owned();
            return Err(DataError::new(file.place(FLUX), Problem::Missing(what)));
        }
        let scales = match file.text(FLUX, "BUNIT") {
            Some(unit) => Scales::of_flux(
                flux_factor(&unit)
                    .map_err(|problem| DataError::new(file.place_in(FLUX, "BUNIT"), problem))?,
            ),
            None => Scales::of_flux(1.0),
        };
        let mut wavelengths = LogGrid::of(&file)?.wavelengths(pixels);
        if vacuum::is_air(&file, &[FLUX], options)? {
            vacuum::from_air(&mut wavelengths);
        }
        let redshifts = match beside(file.path(), PLATE, ZBEST.prefix) {
            Some(path) => {
                let redshifts = Redshifts::open(&path, &ZBEST)?;
                redshifts.expect_all(1..=fibers as i64, file.path())?;
                Some(redshifts)
            }
            None => None,
        };
        let name = name(&file);
        Ok(Plate {
            file,
            modality,
            wavelengths,
            fibers,
            scales,
            name,
            redshifts,
        })
    }

    fn object(&mut self, row: usize) -> Result<Object> {
        let id = format!("{}-{:04}", self.name, row + 1);
        self.fiber(row, &id).map_err(|error| error.in_object(&id))
    }

    fn fiber(&mut self, row: usize, id: &str) -> Result<Object> {
        let mut object = Object::named(id);
        let cells = named_cells(&mut self.file, PLUGMAP, row, &PLUGGED)?;
        let number = |column: usize| cells.get(column)?.number().ok()?;
        if let Some(fiber) = number(0)
            && fiber != (row + 1) as f64
        {
            let what = format!(
                "fibre {fiber} in row {}, expected the row's number",
                row + 1
            );
            let place = self.file.place_in(PLUGMAP, "FIBERID");
            return Err(DataError::new(place, Problem::Mismatch(what)));
        }
        (object.ra, object.dec) = (number(1), number(2));
        for (name, cell) in PLUGGED.iter().zip(&cells).skip(3) {
            if let Some(label) = cell.label() {
                object.flags.insert((*name).to_owned(), label);
            }
        }
        let sky = object.flags.values().any(|label| label == "SKY");
        if let Some(redshifts) = &mut self.redshifts {
            redshifts.add_to(&mut object, row as i64 + 1, sky)?;
        }
        let part = [row..row + 1, 0..self.wavelengths.len()];
        let mut flux = self.file.pixels_in(FLUX, &part)?;
        let mut ivar = self.file.pixels_in(IVAR, &part)?;
        let flagged = self.file.bits(AND_MASK, Some(&part))?;
        let Scales {
            flux: factor,
            ivar: weight,
        } = self.scales;
        flux.iter_mut()
            .for_each(|flux| *flux = (f64::from(*flux) * factor) as f32);
        ivar.iter_mut()
            .for_each(|ivar| *ivar = (f64::from(*ivar) * weight) as f32);
        let bad = |(&ivar, &bits): (&f32, &i64)| bits != 0 || f64::from(ivar) <= LEAST_IVAR;
        let spectrum = Spectrum {
            mask: ivar.iter().zip(&flagged).map(bad).collect(),
            flux,
            ivar,
            wavelength: self.wavelengths.clone(),
        };
        spectra::insert(&mut object, self.modality, spectrum);
        Ok(object)
    }
}

/// `PLATE-MJD`, as the files of single fibres begin; the file's own name where numbers are missing.
fn name(file: &FitsFile) -> String {
    let number = |keyword: &str| file.number(FLUX, keyword).filter(|value| *value >= 0.0);
    match (number("PLATEID"), number("MJD")) {
        (Some(plate), Some(mjd)) => format!("{:04}-{}", plate as u64, mjd as u64),
        _ => super::cutout::stem(file.path())
            .trim_start_matches(PLATE)
            .to_owned(),
    }
}
