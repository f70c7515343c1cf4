//! SDSS spectra of data release 7 and before (`spSpec-MJD-PLATE-FIBER.fit`): an image whose rows
//! are the flux, the flux without continuum, its error, and a mask; everything else stands in
//! the header.

use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::modality::Survey;
use crate::observation::{Object, Spectrum};
use crate::read_options::ReadOptions;
use crate::survey::flux_unit::flux_factor;
use crate::survey::spectra::{self, LEAST_IVAR, LogGrid};
use crate::survey::vacuum;

/// Rows of the image.
const FLUX: usize = 0;
const ERROR: usize = 2;
const MASK: usize = 3;
/// How many rows the image has; a fifth is not used.
const ROWS: std::ops::RangeInclusive<usize> = 4..=5;

/// The mask bit of pixels on an emission line, which are good.
const EMISSION_LINE: i64 = 1 << 30;

/// Keywords that travel as flags: redshift, its status and warnings, the class as a number.
const FLAGS: [&str; 4] = ["Z", "Z_STATUS", WARNING, CLASS];
const WARNING: &str = "Z_WARNIN";
const CLASS: &str = "SPEC_CLN";
/// Values of the class: not classified, and sky.
const NO_REDSHIFT: [f64; 2] = [0.0, 5.0];
/// Up to this value of its status a redshift was not measured, failed, or is inconsistent.
const UNCERTAIN: f64 = 2.0;

/// Whether a file is such a spectrum.
pub fn recognises(file: &FitsFile) -> bool {
    let rows = match file.shape(0).as_deref() {
        Some(&[rows, _]) => rows,
        _ => return false,
    };
    ROWS.contains(&rows) && file.number(0, "COEFF0").is_some() && file.shape(1).is_none()
}

/// Reads the spectrum, and the redshift where the pipeline trusts it.
///
/// Errors: wavelengths without grid or in air, a unit that is no flux density.
pub fn read(file: &mut FitsFile, options: &ReadOptions) -> Result<Object> {
    let modality = spectra::modality(file.path(), options.survey, Survey::Sdss)?;
    let mut object = Object::named(identifier(file));
    object.ra = file.number(0, "RAOBJ");
    object.dec = file.number(0, "DECOBJ");
    let texts = ["OBJTYPE"]
        .into_iter()
        .filter_map(|name| Some((name, file.text(0, name)?)));
    let numbers = FLAGS.into_iter();
    let numbers = numbers.filter_map(|name| Some((name, file.number(0, name)?.to_string())));
    let flags = texts
        .chain(numbers)
        .map(|(name, value)| (name.to_owned(), value));
    object.flags.extend(flags);
    if let Some(redshift) = trusted_redshift(file) {
        spectra::insert_redshift(&mut object, redshift);
    }
    let spectrum = read_spectrum(file, options);
    let spectrum = spectrum.map_err(|error| error.in_object(&object.id))?;
    spectra::insert(&mut object, modality, spectrum);
    Ok(object)
}

fn read_spectrum(file: &mut FitsFile, options: &ReadOptions) -> Result<Spectrum> {
    let factor = match file.text(0, "BUNIT") {
        Some(unit) => flux_factor(&unit)
            .map_err(|problem| DataError::new(file.place_in(0, "BUNIT"), problem))?,
        None => 1.0,
    };
    let pixels = file.shape(0).and_then(|shape| shape.get(1).copied());
    let Some(pixels) = pixels else {
        let problem = Problem::Missing("image".into());
        return Err(DataError::new(file.place(0), problem));
    };
    let mut wavelength = LogGrid::of(file)?.wavelengths(pixels);
    if vacuum::is_air(file, &[0], options)? {
        vacuum::from_air(&mut wavelength);
    }
    let part = |row: usize| [row..row + 1, 0..pixels];
    let flux = file.pixels_in(0, &part(FLUX))?;
    let error = file.pixels_in(0, &part(ERROR))?;
    let bits = file.bits(0, Some(&part(MASK)))?;
    let ivar = |error: &f32| match f64::from(*error) * factor {
        error if error > 0.0 => 1.0 / (error * error),
        _ => 0.0,
    };
    let ivar: Vec<f64> = error.iter().map(ivar).collect();
    let bad = |(&ivar, &bits): (&f64, &i64)| bits & !EMISSION_LINE != 0 || ivar <= LEAST_IVAR;
    Ok(Spectrum {
        flux: flux
            .iter()
            .map(|&flux| (f64::from(flux) * factor) as f32)
            .collect(),
        mask: ivar.iter().zip(&bits).map(bad).collect(),
        ivar: ivar.iter().map(|&ivar| ivar as f32).collect(),
        wavelength,
    })
}

fn trusted_redshift(file: &FitsFile) -> Option<f64> {
    let measured = file.number(0, "Z_STATUS")? > UNCERTAIN;
    let certain = file.number(0, WARNING)? == 0.0;
    let classified = !NO_REDSHIFT.contains(&file.number(0, CLASS)?);
    file.number(0, "Z")
        .filter(|_| measured && certain && classified)
}

/// `PLATE-MJD-FIBER`, as for later releases; the file's own name where numbers are missing.
fn identifier(file: &FitsFile) -> String {
    let number = |keyword: &str| file.number(0, keyword).filter(|value| *value >= 0.0);
    match (number("PLATEID"), number("MJD"), number("FIBERID")) {
        (Some(plate), Some(mjd), Some(fiber)) => {
            format!("{:04}-{}-{:04}", plate as u64, mjd as u64, fiber as u64)
        }
        _ => super::cutout::stem(file.path())
            .trim_start_matches("spSpec-")
            .to_owned(),
    }
}
