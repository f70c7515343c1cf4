//! What the spectra of all surveys have in common: which modality they are, redshifts that count,
//! wavelengths on logarithmic grids.

use std::path::Path;

use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits::FitsFile;
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::{Measurement, Object, Spectrum};

/// Inverse variances up to this are no measurement.
pub const LEAST_IVAR: f64 = 1e-6;

/// The modality of a spectrum of the survey `own`, unless the caller asked for another.
///
/// Errors: a survey without spectra.
pub fn modality(path: &Path, asked: Option<Survey>, own: Survey) -> Result<ModalityId> {
    let survey = asked.unwrap_or(own);
    ModalityId::of_kind(Kind::Spectrum, survey).ok_or_else(|| {
        let what = format!("a spectrum, but {survey} has no spectra; expected sdss or desi");
        DataError::new(Place::file(path), Problem::Unrecognised(what))
    })
}

/// Adds a spectrum to an object.
pub fn insert(object: &mut Object, id: ModalityId, spectrum: Spectrum) {
    let spectrum = Measurement::Spectrum(spectrum);
    object.measurements.insert(id, spectrum);
}

/// Adds a redshift that the pipeline trusts.
pub fn insert_redshift(object: &mut Object, redshift: f64) {
    if let Some(id) = ModalityId::from_codec("Z", Survey::Any) {
        let redshift = Measurement::Scalar(redshift as f32);
        object.measurements.insert(id, redshift);
    }
}

/// Whether flux `unit`s are converted, and by how much; an inverse variance without a unit of its
/// own belongs to the flux beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scales {
    /// What fluxes are multiplied by.
    pub flux: f64,
    /// What inverse variances are multiplied by.
    pub ivar: f64,
}

impl Scales {
    /// The factors for a flux whose unit is given, with its inverse variance.
    pub fn of_flux(factor: f64) -> Self {
        Scales {
            flux: factor,
            ivar: 1.0 / (factor * factor),
        }
    }
}

/// A grid of wavelengths whose logarithms are evenly spaced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogGrid {
    /// Decimal logarithm of the first wavelength in Angstrom.
    pub first: f64,
    /// Step of that logarithm.
    pub step: f64,
}

impl LogGrid {
    /// The grid that the header of HDU 0 states: `COEFF0` and `COEFF1`, which the linear WCS beside
    /// them repeats.
    ///
    /// Errors: no such grid, one that does not increase, or two that disagree.
    pub fn of(file: &FitsFile) -> Result<Self> {
        let number = |keyword: &str| file.number(0, keyword);
        let fail = |field: &str, problem| {
            let place = file.place_in(0, field);
            Err(DataError::new(place, problem))
        };
        let stated = number("COEFF0").zip(number("COEFF1"));
        let wcs = number("CRVAL1").zip(number("CD1_1").or_else(|| number("CDELT1")));
        let wcs = wcs.map(|(value, step)| {
            let reference = number("CRPIX1").unwrap_or(1.0);
            (value + step * (1.0 - reference), step)
        });
        let Some((first, step)) = stated.or(wcs) else {
            return fail("COEFF0", Problem::Missing("wavelength grid".into()));
        };
        if let (Some((first, step)), Some(wcs)) = (stated, wcs)
            && ((wcs.0 - first).abs() > 1e-6 || (wcs.1 - step).abs() > 1e-9)
        {
            let what = format!(
                "{first} + {step} i, but the WCS says {} + {} i",
                wcs.0, wcs.1
            );
            return fail("COEFF0", Problem::Mismatch(what));
        }
        if !(first.is_finite() && step > 0.0 && step.is_finite()) {
            let what = format!("the grid {first} + {step} i does not increase");
            return fail("COEFF1", Problem::Values(what));
        }
        Ok(LogGrid { first, step })
    }

    /// The wavelengths of `count` pixels, Angstrom.
    pub fn wavelengths(self, count: usize) -> Vec<f32> {
        let wavelength = |pixel: usize| 10f64.powf(self.first + self.step * pixel as f64) as f32;
        (0..count).map(wavelength).collect()
    }
}
