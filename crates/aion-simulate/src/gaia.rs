//! Gaia: mean fluxes, parallax and the coefficients of the BP and RP spectra.
//!
//! The published basis is a rotation of Hermite functions by which the first coefficients hold most
//! of the light. Here too: Hermite functions on a pseudo-wavelength that follows the prisms'
//! dispersion, reflected so that an average star has only the first coefficient. Sizes and decay
//! are like the published ones, the basis is not: do not mix these with real coefficients.

use std::sync::LazyLock;

use super::atmosphere::Atmosphere;
use super::draws::{Draws, Purpose};
use super::passband::Passband;
use super::sed::{NANOMAGGIES, OBSERVED, STEP, first_rest_position, sample};
use super::target::{Target, magnitude};
use aion_data::observation::Measurement;

/// Number of coefficients an arm.
const COEFFICIENTS: usize = 55;
/// Band, codec of the flux, AB zero point of electrons a second (Gaia DR3).
const FLUXES: [(Passband, &str, f64); 3] = [
    (Passband::GaiaG, "phot_g_mean_flux", 25.8010),
    (Passband::GaiaBp, "phot_bp_mean_flux", 25.3540),
    (Passband::GaiaRp, "phot_rp_mean_flux", 25.1040),
];
/// Width of the line-spread function on the pseudo-wavelength.
const BLUR: f64 = 0.16;
/// Pseudo-wavelengths of a prism's ends.
const REACH: f64 = 3.2;
/// The star whose spectrum is the first function of the rotated basis.
const AVERAGE: Atmosphere = Atmosphere {
    teff: 5200.0,
    logg: 4.4,
    feh: -0.2,
};

/// One prism.
struct Prism {
    passband: Passband,
    zero_point: f64,
    /// The pseudo-wavelength is linear in the wavelength to this power.
    power: f64,
    /// Wavelengths (Angstrom) at the ends.
    ends: (f64, f64),
    /// Detector samples in a unit of pseudo-wavelength.
    samples: f64,
}

/// Dispersion is nine times greater at 330 than at 680 nm.
const BP: Prism = Prism {
    passband: Passband::GaiaBp,
    zero_point: 25.3540,
    power: -2.0,
    ends: (3400.0, 6900.0),
    samples: 2.0,
};
/// Dispersion is twice as great at 640 as at 1050 nm.
const RP: Prism = Prism {
    passband: Passband::GaiaRp,
    zero_point: 25.1040,
    power: -0.8,
    ends: (6200.0, 9900.0),
    samples: 5.0,
};

/// Weights of the observed grid for each coefficient.
static BP_BASIS: LazyLock<Vec<Vec<f32>>> = LazyLock::new(|| BP.basis());
static RP_BASIS: LazyLock<Vec<Vec<f32>>> = LazyLock::new(|| RP.basis());

impl Prism {
    /// Pseudo-wavelength of a wavelength.
    fn place(&self, wavelength: f64) -> f64 {
        let (low, high) = (self.ends.0.powf(self.power), self.ends.1.powf(self.power));
        REACH * (2.0 * (wavelength.powf(self.power) - low) / (high - low) - 1.0)
    }

    /// Electrons a second in each grid point, projected on the Hermite functions: a coefficient is
    /// the integral of the flux a sample times the function, damped by the line-spread function.
    fn basis(&self) -> Vec<Vec<f32>> {
        let dlog = STEP * std::f64::consts::LN_10;
        let norm: f64 = OBSERVED
            .wavelengths
            .iter()
            .map(|w| self.passband.transmission(*w) * dlog)
            .sum();
        let electrons = 10f64.powf(0.4 * (self.zero_point - 22.5)) * NANOMAGGIES / norm;
        let mut basis = vec![Vec::new(); COEFFICIENTS];
        for wavelength in &OBSERVED.wavelengths {
            let detected =
                electrons * self.passband.transmission(*wavelength) * wavelength.powi(2) * dlog;
            let functions = hermite(self.place(*wavelength));
            for (n, (row, function)) in basis.iter_mut().zip(functions).enumerate() {
                let damping = (-0.5 * BLUR * BLUR * (n as f64 + 0.5)).exp();
                row.push((detected * function * damping / self.samples) as f32);
            }
        }
        rotate(&mut basis);
        basis
    }
}

/// Reflects the basis (Householder) so that the average star has only the first coefficient.
fn rotate(basis: &mut [Vec<f32>]) {
    let spectrum = AVERAGE.spectrum();
    let first = first_rest_position(0.0);
    let flux: Vec<f32> = (0..OBSERVED.len())
        .map(|i| sample(&spectrum, first + i as f64))
        .collect();
    let star: Vec<f64> = basis.iter().map(|row| project(row, &flux)).collect();
    let length = star.iter().map(|c| c * c).sum::<f64>().sqrt();
    let mut normal: Vec<f64> = star.iter().map(|c| c / length).collect();
    normal[0] -= 1.0;
    let norm: f64 = normal.iter().map(|c| c * c).sum();
    for i in 0..OBSERVED.len() {
        let along: f64 = basis
            .iter()
            .zip(&normal)
            .map(|(row, n)| f64::from(row[i]) * n)
            .sum();
        for (row, n) in basis.iter_mut().zip(&normal) {
            row[i] -= (2.0 * along / norm * n) as f32;
        }
    }
}

/// The product of a row of the basis with a spectrum on the observed grid.
fn project(row: &[f32], flux: &[f32]) -> f64 {
    let sum: f32 = row.iter().zip(flux).map(|(w, f)| w * f).sum();
    f64::from(sum)
}

/// The first orthonormal Hermite functions at `x`, by recurrence.
fn hermite(x: f64) -> [f64; COEFFICIENTS] {
    let mut values = [0.0; COEFFICIENTS];
    let mut before = 0.0;
    let mut current = std::f64::consts::PI.powf(-0.25) * (-0.5 * x * x).exp();
    for (n, value) in values.iter_mut().enumerate() {
        *value = current;
        let n = n as f64;
        let next = (2.0 / (n + 1.0)).sqrt() * x * current - (n / (n + 1.0)).sqrt() * before;
        before = current;
        current = next;
    }
    values
}

/// Coefficients of an arm with noise: detector, photons, and a calibration error of half a permille
/// of the first.
fn coefficients(basis: &[Vec<f32>], target: &Target, draws: &mut Draws) -> Measurement {
    let clean: Vec<f64> = basis
        .iter()
        .map(|row| project(row, &target.sed.flux))
        .collect();
    let brightness = clean.first().copied().unwrap_or(0.0).abs();
    let error = (0.16 + 0.0012 * brightness + (5e-4 * brightness).powi(2)).sqrt();
    let noisy = clean.iter().map(|c| draws.normal(*c, error) as f32);
    Measurement::Coefficients(noisy.collect())
}

/// Everything that Gaia publishes of the target, by codec name, without the position.
pub(super) fn measure(target: &Target, seed: u64, index: u64) -> Vec<(&'static str, Measurement)> {
    let mut draws = Draws::new(seed, index, Purpose::Gaia);
    let mut found = vec![
        (
            "bp_coefficients",
            coefficients(&BP_BASIS, target, &mut draws),
        ),
        (
            "rp_coefficients",
            coefficients(&RP_BASIS, target, &mut draws),
        ),
    ];
    for (passband, codec, zero_point) in FLUXES {
        let flux = target.sed.through(passband) * 10f64.powf(0.4 * (zero_point - 22.5));
        // Some 200 transits of 4.4 s, and a floor of a permille.
        let error = (flux / 900.0 + 4.0 + (0.001 * flux).powi(2)).sqrt();
        found.push((codec, Measurement::Scalar(draws.normal(flux, error) as f32)));
    }
    let g = magnitude(target.sed.through(Passband::GaiaG));
    let error = 0.02 * (1.0 + 10f64.powf(0.4 * (g - 14.5))).sqrt() * draws.log_normal(1.0, 0.15);
    let parallax = draws.normal(target.truth.parallax, error);
    found.push(("parallax", Measurement::Scalar(parallax as f32)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hermite_functions_are_orthonormal() {
        let step = 0.01;
        let product = |a: usize, b: usize| -> f64 {
            (-1500..1500)
                .map(|i| hermite(f64::from(i) * step))
                .map(|h| h[a] * h[b] * step)
                .sum()
        };
        assert!((product(0, 0) - 1.0).abs() < 1e-6 && (product(54, 54) - 1.0).abs() < 1e-6);
        assert!(product(3, 5).abs() < 1e-6 && product(50, 54).abs() < 1e-6);
    }

    #[test]
    fn pseudo_wavelength_grows() {
        for prism in [BP, RP] {
            assert!((prism.place(prism.ends.0) + REACH).abs() < 1e-9);
            assert!((prism.place(prism.ends.1) - REACH).abs() < 1e-9);
            assert!(prism.place(prism.ends.0 + 500.0) > -REACH);
        }
    }
}
