//! The three cameras of DESI's spectrographs, and their co-addition to one spectrum.
//!
//! The arms `B`, `R` and `Z` share one grid of 0.8 Angstrom and overlap: B 3600 to 5800, R 5760 to
//! 7620, Z 7520 to 9824 Angstrom. As in the collaboration's `desispec.coaddition.coadd_cameras` of
//! the releases EDR and DR1, a masked pixel has no weight, overlaps are the mean weighted by
//! inverse variance, and exposures whose fibre has a fatal status are left out. A pixel that nobody
//! measured has flux 0 and inverse variance 0 and is masked.

use std::ops::Range;

use crate::error::{DataError, Problem, Result};
use crate::format::fits::FitsFile;
use crate::observation::Spectrum;
use crate::read_options::ReadOptions;
use crate::survey::flux_unit::{flux_factor, ivar_factor};
use crate::survey::spectra::{LEAST_IVAR, Scales};
use crate::survey::vacuum;

/// Pixels of the common grid.
pub const PIXELS: usize = 7781;
/// Wavelength of its first pixel, Angstrom.
const FIRST: f64 = 3600.0;
/// Its step, Angstrom.
const STEP: f64 = 0.8;
/// How far a pixel may lie from the grid, Angstrom. Single precision keeps 0.0005.
const TOLERANCE: f64 = 0.01;

/// Cameras, with the bit of the fibre's status that says that its amplifiers failed.
const CAMERAS: [(&str, i64); 3] = [("B", 1 << 22), ("R", 1 << 23), ("Z", 1 << 24)];
/// The name of all cameras merged.
const MERGED: [(&str, i64); 1] = [("BRZ", 0)];
/// Bits of the fibre's status with which nothing is measured: broken fibre, no position, bad
/// position, bright neighbour, bad fibre, trace, flat, arc, many pixels rejected.
const FATAL: i64 = 1 << 2 | 1 << 8 | 1 << 9 | 1 << 11 | 0b1111 << 16 | 1 << 21;

/// The arms of a file: images with one row a spectrum.
pub struct Arms {
    arms: Vec<Arm>,
    /// Number of spectra.
    pub rows: usize,
    is_air: bool,
}

struct Arm {
    flux: usize,
    ivar: usize,
    mask: Option<usize>,
    /// Where on the common grid it lies.
    pixels: Range<usize>,
    scales: Scales,
    fatal: i64,
}

/// Whether a file holds arms.
pub fn recognises(file: &FitsFile) -> bool {
    !cameras(file).is_empty()
}

/// The cameras of a file, or all of them merged.
fn cameras(file: &FitsFile) -> Vec<(&'static str, i64)> {
    let there = |(name, _): &(&str, i64)| hdu(file, name, "FLUX").is_some();
    let merged: Vec<_> = MERGED.into_iter().filter(there).collect();
    if merged.is_empty() {
        CAMERAS.into_iter().filter(there).collect()
    } else {
        merged
    }
}

/// The HDU `ARM_WHAT`; the order of HDUs is not fixed.
fn hdu(file: &FitsFile, arm: &str, what: &str) -> Option<usize> {
    let name = format!("{arm}_{what}");
    (0..file.len()).find(|&hdu| file.name(hdu) == name)
}

impl Arms {
    /// Finds the arms of a file by the names of HDUs.
    ///
    /// Errors: an arm without inverse variance, images whose shapes disagree, wavelengths off the
    /// common grid or in air, units that are no flux density.
    pub fn find(file: &mut FitsFile, options: &ReadOptions) -> Result<Self> {
        let mut rows = None;
        let mut arms = Vec::new();
        let mut is_air = false;
        for (name, amplifiers) in cameras(file) {
            let (arm, count, air) = Arm::find(file, name, FATAL | amplifiers, options)?;
            let expected = *rows.get_or_insert(count);
            if count != expected {
                let what = format!("{count} spectra, but {expected} in the arm before");
                return Err(DataError::new(
                    file.place(arm.flux),
                    Problem::Mismatch(what),
                ));
            }
            is_air |= air;
            arms.push(arm);
        }
        Ok(Arms {
            arms,
            rows: rows.unwrap_or(0),
            is_air,
        })
    }

    /// The spectrum of one target from its rows, each with its fibre's status.
    ///
    /// Errors: damaged data.
    pub fn coadd(&self, file: &mut FitsFile, rows: &[(usize, i64)]) -> Result<Spectrum> {
        let mut sum = vec![0.0; PIXELS];
        let mut weight = vec![0.0; PIXELS];
        for arm in &self.arms {
            let usable = rows.iter().filter(|(_, status)| status & arm.fatal == 0);
            for &(row, _) in usable {
                arm.add(file, row, &mut sum, &mut weight)?;
            }
        }
        let mean = |(&sum, &weight): (&f64, &f64)| if weight > 0.0 { sum / weight } else { 0.0 };
        let mut spectrum = Spectrum {
            flux: sum.iter().zip(&weight).map(|w| mean(w) as f32).collect(),
            ivar: weight.iter().map(|&weight| weight as f32).collect(),
            wavelength: (0..PIXELS).map(|pixel| wavelength(pixel) as f32).collect(),
            mask: weight.iter().map(|&weight| weight <= LEAST_IVAR).collect(),
        };
        if self.is_air {
            vacuum::from_air(&mut spectrum.wavelength);
        }
        Ok(spectrum)
    }
}

impl Arm {
    /// The arm, the number of spectra, and whether its wavelengths are in air.
    fn find(
        file: &mut FitsFile,
        name: &str,
        fatal: i64,
        options: &ReadOptions,
    ) -> Result<(Self, usize, bool)> {
        let required = |what: &str| {
            let missing = || Problem::Missing(format!("HDU {name}_{what}"));
            hdu(file, name, what).ok_or_else(|| DataError::new(file.place(0), missing()))
        };
        let (grid, flux, ivar) = (
            required("WAVELENGTH")?,
            required("FLUX")?,
            required("IVAR")?,
        );
        let mask = hdu(file, name, "MASK");
        let is_air = vacuum::is_air(file, &[0, grid, flux], options)?;
        let pixels = grid_range(file, grid)?;
        let shape = file.shape(flux).unwrap_or_default();
        let &[rows, width] = shape.as_slice() else {
            return Err(wrong_shape(file, flux, "(spectra, wavelengths)"));
        };
        for image in [Some(flux), Some(ivar), mask].into_iter().flatten() {
            let expected = [rows, pixels.len()];
            if width != pixels.len() || file.shape(image).as_deref() != Some(&expected) {
                return Err(wrong_shape(file, image, &format!("{expected:?}")));
            }
        }
        let scales = scales(file, flux, ivar)?;
        let arm = Arm {
            flux,
            ivar,
            mask,
            pixels,
            scales,
            fatal,
        };
        Ok((arm, rows, is_air))
    }

    /// Adds one row of the arm, weighted.
    fn add(
        &self,
        file: &mut FitsFile,
        row: usize,
        sum: &mut [f64],
        weight: &mut [f64],
    ) -> Result<()> {
        let part = [row..row + 1, 0..self.pixels.len()];
        let flux = file.pixels_in(self.flux, &part)?;
        let ivar = file.pixels_in(self.ivar, &part)?;
        let mask = match self.mask {
            Some(mask) => file.bits(mask, Some(&part))?,
            None => vec![0; flux.len()],
        };
        let sums = sum.iter_mut().zip(weight).skip(self.pixels.start);
        for ((sum, ((flux, ivar), mask)), _) in sums
            .zip(flux.iter().zip(&ivar).zip(&mask))
            .zip(self.pixels.clone())
        {
            let (flux, ivar) = (f64::from(*flux), f64::from(*ivar));
            let measured = *mask == 0 && ivar > 0.0 && ivar.is_finite() && flux.is_finite();
            if measured {
                let ivar = ivar * self.scales.ivar;
                *sum.0 += ivar * flux * self.scales.flux;
                *sum.1 += ivar;
            }
        }
        Ok(())
    }
}

fn wavelength(pixel: usize) -> f64 {
    FIRST + STEP * pixel as f64
}

/// Where the wavelengths in an HDU lie on the common grid.
fn grid_range(file: &mut FitsFile, hdu: usize) -> Result<Range<usize>> {
    let wavelengths = file.pixels(hdu)?;
    match range_of(&wavelengths) {
        Ok(range) => Ok(range),
        Err(wavelength) => {
            let what = format!(
                "wavelength {wavelength} is not on DESI's grid: {FIRST} to 9824 Angstrom in steps of \
                 {STEP}"
            );
            Err(DataError::new(file.place(hdu), Problem::Values(what)))
        }
    }
}

/// The pixels of the common grid that these wavelengths are, or the first one that is none.
pub fn range_of(wavelengths: &[f32]) -> std::result::Result<Range<usize>, f32> {
    let Some(&first) = wavelengths.first() else {
        return Err(f32::NAN);
    };
    let start = ((f64::from(first) - FIRST) / STEP).round();
    if !(0.0..PIXELS as f64).contains(&start) {
        return Err(first);
    }
    let range = start as usize..start as usize + wavelengths.len();
    let on_grid = |(pixel, &found): (usize, &&f32)| {
        pixel < PIXELS && (f64::from(*found) - wavelength(pixel)).abs() <= TOLERANCE
    };
    match range
        .clone()
        .zip(wavelengths)
        .find(|&(pixel, found)| !on_grid((pixel, &found)))
    {
        Some((_, &wavelength)) => Err(wavelength),
        None => Ok(range),
    }
}

/// The factors to our units, from what the images say of theirs.
fn scales(file: &FitsFile, flux: usize, ivar: usize) -> Result<Scales> {
    let at = |hdu: usize| move |problem| DataError::new(file.place_in(hdu, "BUNIT"), problem);
    let mut scales = match file.text(flux, "BUNIT") {
        Some(unit) => Scales::of_flux(flux_factor(&unit).map_err(at(flux))?),
        None => Scales::of_flux(1.0),
    };
    if let Some(unit) = file.text(ivar, "BUNIT") {
        scales.ivar = ivar_factor(&unit).map_err(at(ivar))?;
    }
    Ok(scales)
}

fn wrong_shape(file: &FitsFile, hdu: usize, expected: &str) -> DataError {
    let problem = Problem::Shape {
        found: format!("{:?}", file.shape(hdu).unwrap_or_default()),
        expected: expected.into(),
    };
    DataError::new(file.place(hdu), problem)
}
