//! Spectra of stars: a Planck function, dimmed at the blue by metals and beyond the Balmer jump by
//! hydrogen, times the absorption features. Simple, but every feature goes with temperature,
//! gravity and metallicity as it does in stars.

use super::features::{FEATURES, Feature, Species, below, hydrogen_strength};
use super::sed::REST;

/// Surface properties of a star.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Atmosphere {
    /// Effective temperature, K.
    pub(super) teff: f64,
    /// log10 of the surface gravity in cm/s2.
    pub(super) logg: f64,
    /// log10 of the iron abundance over the Sun's.
    pub(super) feh: f64,
}

/// Planck's function times pi, erg/s/cm2/Angstrom at the surface; wavelength in Angstrom.
fn planck(teff: f64, wavelength: f64) -> f64 {
    // Second radiation constant hc/k in Angstrom K, first one 2 pi h c^2 in erg/s/cm2 Angstrom^4.
    let exponent = 1.438_777e8 / (wavelength * teff);
    3.741_772e27 / wavelength.powi(5) / exponent.exp_m1()
}

impl Atmosphere {
    /// Surface flux on the rest grid, erg/s/cm2/Angstrom.
    pub(super) fn spectrum(&self) -> Vec<f32> {
        let wavelengths = &REST.wavelengths;
        let mut depth: Vec<f64> = wavelengths
            .iter()
            .map(|w| self.continuous_depth(*w))
            .collect();
        for feature in FEATURES.iter() {
            self.absorb(feature, &mut depth);
        }
        wavelengths
            .iter()
            .zip(depth)
            .map(|(wavelength, depth)| (planck(self.teff, *wavelength) * (-depth).exp()) as f32)
            .collect()
    }

    /// Flux at a wavelength in the infrared, where no features are drawn, erg/s/cm2/Angstrom.
    pub(super) fn infrared(&self, wavelength: f64) -> f64 {
        planck(self.teff, wavelength)
    }

    /// Optical depth of the blanketing by metals and of the Balmer jump.
    fn continuous_depth(&self, wavelength: f64) -> f64 {
        let cool = below(self.teff, 6000.0, 500.0) * 10f64.powf(0.3 * self.feh);
        let jump = hydrogen_strength(self.teff);
        0.50 * cool * below(wavelength, 4000.0, 25.0)
            + 0.10 * cool * below(wavelength, 4550.0, 180.0)
            + 0.5 * cool * below(wavelength, 3150.0, 100.0)
            + 0.9 * cool * below(wavelength, 2640.0, 20.0)
            + 0.9 * jump * below(wavelength, 3680.0, 15.0)
    }

    /// Adds the optical depth of one feature.
    fn absorb(&self, feature: &Feature, depth: &mut [f64]) {
        let Feature {
            species,
            wavelength,
            depth: solar,
            width,
        } = *feature;
        let metals = if species.is_metal() {
            10f64.powf(0.35 * self.feh)
        } else {
            1.0
        };
        let strength = solar * species.strength(self.teff, self.logg) * metals;
        if strength < 0.01 {
            return;
        }
        // Pressure broadens the wings of hydrogen in dwarfs.
        let width = match species {
            Species::Hydrogen => width * (0.35 + 0.22 * (self.logg - 1.0).max(0.0)),
            _ => width,
        };
        let reach = match species {
            Species::Hydrogen => 14.0 * width,
            _ => 4.0 * width,
        };
        for (i, point) in REST.around(wavelength, reach) {
            let offset = (point - wavelength) / width;
            depth[i] += strength
                * match species {
                    Species::Hydrogen => 1.0 / (1.0 + offset * offset),
                    Species::Titanium if offset < 0.0 => 0.0,
                    Species::Titanium => (-offset).exp(),
                    _ => (-0.5 * offset * offset).exp(),
                };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sed::sample;
    use super::*;

    fn at(star: Atmosphere, wavelength: f64) -> f64 {
        f64::from(sample(&star.spectrum(), REST.position(wavelength)))
    }

    const SUN: Atmosphere = Atmosphere {
        teff: 5772.0,
        logg: 4.44,
        feh: 0.0,
    };

    #[test]
    fn planck_integrates_to_stefan_boltzmann() {
        let total: f64 = (0..60_000)
            .map(|i| planck(5772.0, 500.0 + 5.0 * f64::from(i)) * 5.0)
            .sum();
        let expected = 5.670_37e-5 * 5772f64.powi(4);
        assert!(
            (total / expected - 1.0).abs() < 0.01,
            "{}",
            total / expected
        );
    }

    #[test]
    fn features_go_with_temperature() {
        let hot = Atmosphere {
            teff: 9500.0,
            logg: 4.0,
            feh: 0.0,
        };
        let cool = Atmosphere {
            teff: 3600.0,
            logg: 4.8,
            feh: 0.0,
        };
        let balmer = |star| at(star, 4862.7) / at(star, 4940.0);
        let titanium = |star| at(star, 7060.0) / at(star, 7045.0);
        assert!(balmer(hot) < 0.5 * balmer(SUN));
        assert!(titanium(cool) < 0.7 * titanium(SUN));
        assert!(at(SUN, 3934.8) < 0.5 * at(SUN, 4010.0));
    }
}
