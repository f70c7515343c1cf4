//! Fibre spectrographs: DESI and SDSS, with fibre aperture, resolution, sky lines and bad pixels.

use std::sync::LazyLock;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::camera::effective_psf_variance;
use super::draws::{Draws, Purpose};
use super::sed::{OBSERVED, sample, smooth};
use super::target::Target;
use aion_data::observation::{Measurement, Spectrum};

/// A spectrograph and its survey's typical exposure.
struct Spectrograph {
    purpose: Purpose,
    wavelength: Vec<f32>,
    /// Sigma of the line-spread function, pixels.
    resolution: f64,
    /// Radius of the fibre, arcsec.
    fibre: f64,
    /// Noise of the sky in a pixel by (wavelength, sigma), 1e-17 erg/s/cm2/Angstrom.
    noise: &'static [(f64, f64)],
    /// Variance added by an object of flux 1, over the sky's sigma.
    photons: f64,
    /// Chance of a pixel to start a run of bad ones.
    bad: f64,
}

/// 3600 to 9824 Angstrom in steps of 0.8, full width at half maximum 1.8 Angstrom (R = 2000 to 5500).
/// Noise as measured on a published spectrum of a dark-time exposure.
static DESI: LazyLock<Spectrograph> = LazyLock::new(|| Spectrograph {
    purpose: Purpose::Desi,
    wavelength: (0..7781)
        .map(|i| (3600.0 + 0.8 * f64::from(i)) as f32)
        .collect(),
    resolution: 0.96,
    fibre: 0.75,
    noise: &[
        (3600.0, 3.2),
        (3700.0, 2.2),
        (3900.0, 1.6),
        (4200.0, 1.05),
        (4800.0, 0.82),
        (5700.0, 0.72),
        (5770.0, 0.62),
        (6300.0, 0.56),
        (7500.0, 0.45),
        (7600.0, 0.42),
        (8500.0, 0.42),
        (9300.0, 0.48),
        (9824.0, 0.62),
    ],
    photons: 0.06,
    bad: 0.0012,
});

/// SDSS-I/II: 3799 to 9219 Angstrom in steps of 1e-4 in log10, R near 2000. Noise as measured on
/// published spectra from faint sky fibres to bright stars.
static SDSS: LazyLock<Spectrograph> = LazyLock::new(|| Spectrograph {
    purpose: Purpose::Sdss,
    wavelength: (0..3851)
        .map(|i| 10f64.powf(3.5797 + 1e-4 * f64::from(i)) as f32)
        .collect(),
    resolution: 0.95,
    fibre: 1.5,
    noise: &[
        (3800.0, 2.0),
        (3900.0, 1.5),
        (4200.0, 0.95),
        (4800.0, 0.70),
        (5600.0, 0.57),
        (6300.0, 0.40),
        (7500.0, 0.46),
        (8500.0, 0.65),
        (9220.0, 1.1),
    ],
    photons: 0.09,
    bad: 0.004,
});

/// Number of weak sky lines.
const SKY_LINES: usize = 130;

/// Emission of the night sky on the observed grid, as a factor on the noise's variance: the named
/// oxygen, sodium and mercury lines and hydroxyl bands filled with lines at fixed pseudo-random places.
static SKY: LazyLock<Vec<f32>> = LazyLock::new(|| {
    const NAMED: [(f64, f64); 5] = [
        (5578.9, 60.0),
        (5891.6, 6.0),
        (5897.6, 5.0),
        (6302.0, 22.0),
        (6365.5, 8.0),
    ];
    const HYDROXYL: [(f64, f64, f64); 6] = [
        (7240.0, 7530.0, 5.0),
        (7710.0, 8070.0, 8.0),
        (8270.0, 8510.0, 9.0),
        (8750.0, 9080.0, 14.0),
        (9300.0, 9720.0, 12.0),
        (6820.0, 7000.0, 3.0),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(5577);
    let mut lines = NAMED.to_vec();
    for (i, (low, high, strength)) in HYDROXYL.into_iter().cycle().take(SKY_LINES).enumerate() {
        let place = low + (high - low) * rng.random::<f64>();
        let weaker = 0.15 + rng.random::<f64>().powi(2);
        lines.push((place, strength * weaker * if i < 12 { 1.5 } else { 1.0 }));
    }
    let mut sky = vec![1.0_f32; OBSERVED.len()];
    for (centre, strength) in lines {
        let sigma = centre / 5000.0;
        for (i, wavelength) in OBSERVED.around(centre, 5.0 * sigma) {
            sky[i] += (strength * (-0.5 * ((wavelength - centre) / sigma).powi(2)).exp()) as f32;
        }
    }
    sky
});

/// Linear interpolation in a table of increasing abscissae; the ends' values outside.
fn interpolate(table: &[(f64, f64)], x: f64) -> f64 {
    let after = table.partition_point(|(abscissa, _)| *abscissa <= x);
    match (
        after.checked_sub(1).and_then(|i| table.get(i)),
        table.get(after),
    ) {
        (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0),
        (Some(end), None) | (None, Some(end)) => end.1,
        (None, None) => 0.0,
    }
}

/// A DESI spectrum.
pub(super) fn desi(target: &Target, seed: u64, index: u64) -> Measurement {
    Measurement::Spectrum(DESI.observe(target, seed, index))
}

/// An SDSS spectrum.
pub(super) fn sdss(target: &Target, seed: u64, index: u64) -> Measurement {
    Measurement::Spectrum(SDSS.observe(target, seed, index))
}

impl Spectrograph {
    /// Flux in the fibre, calibrated on point sources as both surveys do.
    fn observe(&self, target: &Target, seed: u64, index: u64) -> Spectrum {
        let mut draws = Draws::new(seed, index, self.purpose);
        let psf = effective_psf_variance(1.1 * draws.log_normal(1.0, 0.1));
        let point = super::morphology::Morphology::point().aperture(self.fibre, psf);
        let share = (target.morphology.aperture(self.fibre, psf) / point) as f32;
        // Calibration is good to some percent, with a slope.
        let gain = draws.normal(1.0, 0.03) as f32;
        let tilt = draws.normal(0.0, 0.02) as f32;
        let exposure = draws.log_normal(1.0, 0.25);
        let positions = self
            .wavelength
            .iter()
            .map(|w| OBSERVED.position(f64::from(*w)));
        let (mut flux, mut variance): (Vec<f32>, Vec<f32>) = positions
            .zip(&self.wavelength)
            .map(|(position, wavelength)| {
                let calibration = gain + tilt * (wavelength / 6500.0 - 1.0);
                let flux = sample(&target.sed.flux, position) * share * calibration;
                let sky = exposure * interpolate(self.noise, f64::from(*wavelength));
                let lines = f64::from(sample(&SKY, position));
                let photons = self.photons * sky * f64::from(flux.max(0.0));
                (flux, (sky * sky * lines + photons) as f32)
            })
            .unzip();
        smooth(&mut flux, self.resolution);
        draws.add_noise(&mut flux, &variance);
        let mask = self.spoil(&mut flux, &mut variance, &mut draws);
        let ivar = variance
            .iter()
            .zip(&mask)
            .map(|(v, bad)| if *bad { 0.0 } else { 1.0 / v })
            .collect();
        Spectrum {
            flux,
            ivar,
            wavelength: self.wavelength.clone(),
            mask,
        }
    }

    /// Hits a few runs of one to three pixels by cosmic rays; true marks them.
    fn spoil(&self, flux: &mut [f32], variance: &mut [f32], draws: &mut Draws) -> Vec<bool> {
        let mut mask = vec![false; flux.len()];
        let hits = self.bad * flux.len() as f64 * draws.log_normal(1.0, 0.4);
        for _ in 0..hits as usize {
            let start = draws.uniform(0.0, flux.len() as f64) as usize;
            let length = draws.uniform(1.0, 4.0) as usize;
            let height = draws.uniform(0.0, 25.0) as f32;
            let run = flux.iter_mut().zip(variance.iter()).zip(&mut mask);
            for ((flux, variance), bad) in run.skip(start).take(length) {
                *flux += height * variance.sqrt();
                *bad = true;
            }
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_the_surveys() {
        let desi = &DESI.wavelength;
        assert_eq!((desi[0], desi[7780]), (3600.0, 9824.0));
        let step = |i: usize| SDSS.wavelength[i + 1].log10() - SDSS.wavelength[i].log10();
        assert!((step(0) - 1e-4).abs() < 1e-6 && (step(3000) - 1e-4).abs() < 1e-6);
        assert!(SDSS.wavelength[0] < 3800.5 && SDSS.wavelength[3850] > 9215.0);
    }

    #[test]
    fn interpolation_keeps_the_ends() {
        let table = [(1.0, 2.0), (3.0, 4.0)];
        assert_eq!(interpolate(&table, 0.0), 2.0);
        assert_eq!(interpolate(&table, 2.0), 3.0);
        assert_eq!(interpolate(&table, 9.0), 4.0);
    }
}
