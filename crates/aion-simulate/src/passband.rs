//! Passbands as smooth boxes: half-power edges and softnesses chosen after the published curves
//! (DECam and HSC filters with atmosphere and CCDs, Gaia DR3's G, BP, RP), no tabulated ripple. Pivot
//! wavelengths agree with the published ones within 3 %.

use std::sync::LazyLock;

use super::sed::{NANOMAGGIES, OBSERVED, STEP};

/// A passband of the simulated instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passband {
    DecamG,
    DecamR,
    DecamI,
    DecamZ,
    HscG,
    HscR,
    HscI,
    HscZ,
    HscY,
    GaiaG,
    GaiaBp,
    GaiaRp,
}

/// DECam's bands in the order of the image planes.
pub(super) const DECAM: [Passband; 4] = [
    Passband::DecamG,
    Passband::DecamR,
    Passband::DecamI,
    Passband::DecamZ,
];

/// HSC's bands in the order of the image planes.
pub(super) const HSC: [Passband; 5] = [
    Passband::HscG,
    Passband::HscR,
    Passband::HscI,
    Passband::HscZ,
    Passband::HscY,
];

/// Blue edge, its softness, red edge, its softness; Angstrom. In the order of [`Passband`].
const EDGES: [(f64, f64, f64, f64); 12] = [
    (3980.0, 25.0, 5480.0, 20.0),
    (5680.0, 20.0, 7160.0, 20.0),
    (7080.0, 20.0, 8560.0, 20.0),
    (8500.0, 25.0, 10000.0, 90.0),
    (4010.0, 25.0, 5450.0, 20.0),
    (5450.0, 20.0, 7000.0, 20.0),
    (6930.0, 20.0, 8470.0, 20.0),
    (8520.0, 20.0, 9300.0, 20.0),
    (9330.0, 25.0, 10650.0, 80.0),
    (4050.0, 220.0, 8700.0, 420.0),
    (3850.0, 150.0, 6720.0, 25.0),
    (6330.0, 25.0, 9250.0, 350.0),
];

impl Passband {
    /// Relative transmission at a wavelength in Angstrom, in photons.
    pub(super) fn transmission(self, wavelength: f64) -> f64 {
        let (blue, blue_soft, red, red_soft) = EDGES[self as usize];
        let edge = |x: f64| 1.0 / (1.0 + (-x).exp());
        edge((wavelength - blue) / blue_soft) * edge((red - wavelength) / red_soft)
    }

    /// The middle of the band, Angstrom.
    pub(super) fn centre(self) -> f64 {
        let (blue, _, red, _) = EDGES[self as usize];
        (blue * red).sqrt()
    }
}

/// Weights on the observed grid from `first` on; their product with a spectrum is nanomaggies.
struct Weights {
    first: usize,
    weights: Vec<f32>,
}

static WEIGHTS: LazyLock<[Weights; 12]> = LazyLock::new(|| {
    use Passband::{
        DecamG, DecamI, DecamR, DecamZ, GaiaBp, GaiaG, GaiaRp, HscG, HscI, HscR, HscY, HscZ,
    };
    [
        DecamG, DecamR, DecamI, DecamZ, HscG, HscR, HscI, HscZ, HscY, GaiaG, GaiaBp, GaiaRp,
    ]
    .map(weights)
});

/// The AB flux is the photon-weighted mean: integral of f_lambda T lambda over that of T/lambda.
fn weights(passband: Passband) -> Weights {
    let dlog = STEP * std::f64::consts::LN_10;
    let curve: Vec<(f64, f64)> = OBSERVED
        .wavelengths
        .iter()
        .map(|&wavelength| (wavelength, passband.transmission(wavelength)))
        .collect();
    let norm: f64 = curve.iter().map(|(_, t)| t * dlog).sum();
    let first = curve.iter().position(|(_, t)| *t > 1e-4).unwrap_or(0);
    let last = curve.iter().rposition(|(_, t)| *t > 1e-4).unwrap_or(0);
    let weights = curve[first..=last]
        .iter()
        .map(|(w, t)| (t * w * w * dlog / norm * NANOMAGGIES) as f32)
        .collect();
    Weights { first, weights }
}

/// Nanomaggies of a spectrum on the observed grid.
pub(super) fn synthesize(passband: Passband, flux: &[f32]) -> f64 {
    let band = &WEIGHTS[passband as usize];
    let sum: f32 = flux
        .get(band.first..)
        .unwrap_or_default()
        .iter()
        .zip(&band.weights)
        .map(|(f, w)| f * w)
        .sum();
    f64::from(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pivot wavelengths: DECam and HSC as the Spanish Virtual Observatory's filter service has them,
    /// Gaia from Riello et al. (2021).
    #[test]
    fn pivot_wavelengths_are_near_the_published() {
        let published = [
            4826.9, 6432.0, 7826.7, 9178.9, 4816.1, 6234.1, 7740.6, 8912.0, 9780.4, 6217.9, 5109.7,
            7769.1,
        ];
        use Passband::{GaiaBp, GaiaG, GaiaRp};
        let all = DECAM.into_iter().chain(HSC).chain([GaiaG, GaiaBp, GaiaRp]);
        for (passband, published) in all.zip(published) {
            let moment = |power: i32| -> f64 {
                (3000..11_500)
                    .map(f64::from)
                    .map(|w| passband.transmission(w) * w.powi(power))
                    .sum()
            };
            let pivot = (moment(1) / moment(-1)).sqrt();
            assert!(
                (pivot / published - 1.0).abs() < 0.03,
                "{passband:?} {pivot}"
            );
        }
    }

    #[test]
    fn a_flat_spectrum_has_magnitude_zero() {
        // A constant f_nu of one nanomaggy.
        let flux: Vec<f32> = OBSERVED
            .wavelengths
            .iter()
            .map(|w| (1.0 / (NANOMAGGIES * w * w)) as f32)
            .collect();
        for passband in DECAM.into_iter().chain(HSC) {
            let value = synthesize(passband, &flux);
            assert!((value - 1.0).abs() < 2e-3, "{passband:?} {value}");
        }
    }
}
