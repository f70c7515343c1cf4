//! Spectral energy distributions on logarithmic wavelength grids.
//!
//! Templates live on the rest-frame grid, what a telescope receives on the observed one. Both step
//! by 1e-4 in log10 (69 km/s, SDSS's own sampling), so a redshift is a shift by a constant number
//! of points. Wavelengths are vacuum Angstrom; observed flux is in 1e-17 erg/s/cm2/Angstrom.

use std::sync::LazyLock;

use super::passband::{Passband, synthesize};

/// Step of both grids in log10 of the wavelength.
pub(super) const STEP: f64 = 1e-4;
/// Width of a grid point, km/s.
pub(super) const KM_S_PER_POINT: f64 = 69.03;

/// A grid evenly spaced in log10 of the wavelength.
#[derive(Debug)]
pub(super) struct LogGrid {
    /// log10 of the first wavelength.
    start: f64,
    /// The wavelengths, Angstrom.
    pub(super) wavelengths: Vec<f64>,
}

/// 891 to 12,589 Angstrom, in the frame of the object.
pub(super) static REST: LazyLock<LogGrid> = LazyLock::new(|| LogGrid::new(2.95, 11_501));
/// 3,199 to 11,092 Angstrom, in the frame of the observer.
pub(super) static OBSERVED: LazyLock<LogGrid> = LazyLock::new(|| LogGrid::new(3.505, 5_401));

impl LogGrid {
    fn new(start: f64, len: usize) -> Self {
        let wavelengths = (0..len)
            .map(|i| 10f64.powf(start + STEP * i as f64))
            .collect();
        LogGrid { start, wavelengths }
    }

    /// Number of points.
    pub(super) fn len(&self) -> usize {
        self.wavelengths.len()
    }

    /// Where a wavelength lies, in points; negative or beyond `len` outside of the grid.
    pub(super) fn position(&self, wavelength: f64) -> f64 {
        (wavelength.log10() - self.start) / STEP
    }

    /// The points within `reach` of a wavelength, with their wavelengths.
    pub(super) fn around(
        &self,
        wavelength: f64,
        reach: f64,
    ) -> impl Iterator<Item = (usize, f64)> + '_ {
        let end = |x: f64| (self.position(x.max(1.0)).max(0.0) as usize).min(self.len());
        let first = end(wavelength - reach);
        let last = (end(wavelength + reach) + 1).min(self.len());
        let points = self.wavelengths.get(first..last).unwrap_or_default();
        points.iter().enumerate().map(move |(i, w)| (first + i, *w))
    }
}

/// The light of an object as it reaches the telescope.
#[derive(Debug, Clone)]
pub(super) struct Sed {
    /// Flux density on [`OBSERVED`], 1e-17 erg/s/cm2/Angstrom.
    pub(super) flux: Vec<f32>,
    /// Flux in WISE W1 to W4, nanomaggies.
    pub(super) wise: [f64; 4],
}

impl Sed {
    /// Nothing yet.
    pub(super) fn dark() -> Self {
        Sed {
            flux: vec![0.0; OBSERVED.len()],
            wise: [0.0; 4],
        }
    }

    /// Flux through a passband, nanomaggies.
    pub(super) fn through(&self, passband: Passband) -> f64 {
        synthesize(passband, &self.flux)
    }

    /// Flux between two wavelengths in Angstrom, where every photon counts alike, nanomaggies.
    pub(super) fn between(&self, [blue, red]: [f64; 2]) -> f64 {
        let points = OBSERVED.wavelengths.iter().zip(&self.flux);
        let inside = points.filter(|(wavelength, _)| (blue..red).contains(*wavelength));
        let fluxes: Vec<f64> = inside
            .map(|(wavelength, flux)| nanomaggies(f64::from(*flux), *wavelength))
            .collect();
        // The grid is even in the logarithm, as the photon-weighted mean wants it.
        fluxes.iter().sum::<f64>() / fluxes.len().max(1) as f64
    }

    /// Flux density at an observed wavelength; the nearest end's outside of the grid.
    pub(super) fn at(&self, wavelength: f64) -> f32 {
        sample(&self.flux, OBSERVED.position(wavelength))
    }

    /// Multiplies all light.
    pub(super) fn scale(&mut self, factor: f64) {
        self.flux.iter_mut().for_each(|f| *f *= factor as f32);
        self.wise.iter_mut().for_each(|f| *f *= factor);
    }

    /// Adds a Gaussian line: total flux in 1e-17 erg/s/cm2, centre and sigma in observed Angstrom.
    pub(super) fn add_line(&mut self, flux: f64, centre: f64, sigma: f64) {
        let peak = flux / (sigma * std::f64::consts::TAU.sqrt());
        for (i, wavelength) in OBSERVED.around(centre, 6.0 * sigma) {
            let offset = (wavelength - centre) / sigma;
            self.flux[i] += (peak * (-0.5 * offset * offset).exp()) as f32;
        }
    }

    /// Dims by dust of the Milky Way.
    pub(super) fn redden(&mut self, ebv: f64) {
        for (flux, wavelength) in self.flux.iter_mut().zip(&OBSERVED.wavelengths) {
            *flux *= dimming(galactic_extinction(*wavelength) * ebv) as f32;
        }
        for (flux, micron) in self.wise.iter_mut().zip(WISE_MICRON) {
            *flux *= dimming(galactic_extinction(micron * 1e4) * ebv);
        }
    }
}

/// Effective wavelengths of WISE W1 to W4, micrometre.
pub(super) const WISE_MICRON: [f64; 4] = [3.37, 4.62, 12.08, 22.19];

/// Extinction by the Milky Way, magnitudes per magnitude of E(B-V): a power law that matches the
/// published coefficients of DECam's g to z (3.21, 2.17, 1.59, 1.21) and W1 (0.18) to some percent.
pub(super) fn galactic_extinction(wavelength: f64) -> f64 {
    2.58 * (wavelength / 5500.0).powf(-1.5)
}

/// The factor by which `magnitudes` of extinction dim.
pub(super) fn dimming(magnitudes: f64) -> f64 {
    10f64.powf(-0.4 * magnitudes)
}

/// Nanomaggies of a flux density in 1e-17 erg/s/cm2/Angstrom at one wavelength (Angstrom).
pub(super) fn nanomaggies(flux_density: f64, wavelength: f64) -> f64 {
    flux_density * wavelength * wavelength * NANOMAGGIES
}

/// 1e-17 over the speed of light in Angstrom/s and over a nanomaggy, 3.631e-29 erg/s/cm2/Hz.
pub(super) const NANOMAGGIES: f64 = 1e-17 / (2.997_924_58e18 * 3.631e-29);

/// Linear interpolation at a fractional index; the nearest end's value outside.
pub(super) fn sample(values: &[f32], position: f64) -> f32 {
    let last = values.len().saturating_sub(1);
    let position = position.clamp(0.0, last as f64);
    let low = position as usize;
    let fraction = (position - low as f64) as f32;
    match (values.get(low), values.get((low + 1).min(last))) {
        (Some(a), Some(b)) => a + fraction * (b - a),
        _ => 0.0,
    }
}

/// Position on the rest grid of the first observed point, for an object at redshift `z`; the following
/// points follow one by one.
pub(super) fn first_rest_position(z: f64) -> f64 {
    REST.position(OBSERVED.wavelengths[0] / (1.0 + z))
}

/// Convolves with a Gaussian of `sigma` points; the ends repeat.
pub(super) fn smooth(values: &mut [f32], sigma: f64) {
    let reach = (4.0 * sigma).ceil() as usize;
    if reach == 0 || values.is_empty() {
        return;
    }
    let weight = |i: usize| (-0.5 * (i as f64 / sigma).powi(2)).exp();
    let total: f64 = weight(0) + 2.0 * (1..=reach).map(weight).sum::<f64>();
    let kernel: Vec<f32> = (0..=2 * reach)
        .map(|i| (weight(i.abs_diff(reach)) / total) as f32)
        .collect();
    let first = values[0];
    let last = values[values.len() - 1];
    let mut padded = vec![first; reach];
    padded.extend_from_slice(values);
    padded.resize(padded.len() + reach, last);
    for (value, window) in values.iter_mut().zip(padded.windows(kernel.len())) {
        *value = window.iter().zip(&kernel).map(|(v, k)| v * k).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitude_zero_point() {
        // 3631 Jy at 5556 Angstrom is 3.53e-9 erg/s/cm2/Angstrom.
        let flux = nanomaggies(3.526e8 * 1e-9, 5556.0);
        assert!((flux - 1.0).abs() < 2e-3, "{flux}");
    }

    #[test]
    fn smoothing_keeps_flux_and_widens() {
        let mut values = vec![0.0_f32; 101];
        values[50] = 1.0;
        smooth(&mut values, 3.0);
        let total: f32 = values.iter().sum();
        let variance: f32 = values
            .iter()
            .enumerate()
            .map(|(i, v)| v * (i as f32 - 50.0).powi(2))
            .sum();
        assert!((total - 1.0).abs() < 1e-5 && (variance - 9.0).abs() < 0.05);
    }

    #[test]
    fn a_line_carries_its_flux() {
        let mut sed = Sed::dark();
        sed.add_line(100.0, 6000.0, 5.0);
        let total: f64 = OBSERVED
            .wavelengths
            .iter()
            .zip(&sed.flux)
            .map(|(w, f)| f64::from(*f) * w * STEP * std::f64::consts::LN_10)
            .sum();
        assert!((total - 100.0).abs() < 0.1, "{total}");
    }
}
