//! Stellar populations: galaxies' starlight as sums of stars.
//!
//! Four ages at two metallicities, each a fixed mixture of stars by their share of the light at
//! 5500 Angstrom, with mass-to-light ratios near those of published population models.

use std::sync::LazyLock;

use super::atmosphere::Atmosphere;
use super::sed::{OBSERVED, REST, first_rest_position, sample};

/// Wavelength at which the templates are 1, Angstrom.
const PIVOT: f64 = 5500.0;
/// log10 metallicity of the two sets of templates.
const METALLICITIES: [f64; 2] = [-1.0, 0.3];

/// One age.
struct Age {
    /// Age in Gyr, for the mean over ages.
    gyr: f64,
    /// Solar masses for a solar luminosity at the pivot.
    mass_to_light: f64,
    /// Effective temperature, surface gravity, share of the light at the pivot.
    stars: &'static [(f64, f64, f64)],
}

const AGES: [Age; 4] = [
    Age {
        gyr: 0.05,
        mass_to_light: 0.035,
        stars: &[
            (9000.0, 4.0, 0.20),
            (13_000.0, 4.0, 0.30),
            (25_000.0, 4.0, 0.50),
        ],
    },
    Age {
        gyr: 0.6,
        mass_to_light: 0.45,
        stars: &[
            (4500.0, 2.3, 0.22),
            (7200.0, 4.1, 0.33),
            (9300.0, 4.0, 0.45),
        ],
    },
    Age {
        gyr: 2.5,
        mass_to_light: 1.4,
        stars: &[
            (3700.0, 1.2, 0.03),
            (4600.0, 2.4, 0.37),
            (6500.0, 4.2, 0.60),
        ],
    },
    Age {
        gyr: 9.0,
        mass_to_light: 3.2,
        stars: &[
            (3600.0, 1.0, 0.04),
            (4400.0, 2.2, 0.23),
            (4900.0, 3.2, 0.21),
            (5800.0, 4.3, 0.52),
        ],
    },
];

/// A template on the rest grid, 1 at the pivot, and at 2.2 micrometre.
struct Template {
    flux: Vec<f32>,
    near_infrared: f64,
}

static TEMPLATES: LazyLock<Vec<[Template; 2]>> = LazyLock::new(|| {
    AGES.iter()
        .map(|age| METALLICITIES.map(|feh| mixture(age.stars, feh)))
        .collect()
});

fn mixture(stars: &[(f64, f64, f64)], feh: f64) -> Template {
    let mut flux = vec![0.0_f32; REST.len()];
    let mut near_infrared = 0.0;
    for &(teff, logg, share) in stars {
        let star = Atmosphere { teff, logg, feh };
        let spectrum = star.spectrum();
        let norm = share / f64::from(sample(&spectrum, REST.position(PIVOT)));
        for (sum, value) in flux.iter_mut().zip(&spectrum) {
            *sum += norm as f32 * value;
        }
        near_infrared += norm * star.infrared(22_000.0);
    }
    Template {
        flux,
        near_infrared,
    }
}

/// The history of star formation, as masses formed by age (shares that add up to 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Population {
    shares: [f64; 4],
    /// log10 of the metallicity over the Sun's.
    metallicity: f64,
}

impl Population {
    /// From the specific star formation rate (1/yr), the age of the old stars (Gyr) and the
    /// metallicity (log10 over solar). The present rate fills the youngest bin (100 Myr), three
    /// times it the next one, which a declining history does over a gigayear.
    pub(super) fn new(specific_rate: f64, old_age: f64, metallicity: f64) -> Self {
        let young = (specific_rate * 1e8).min(0.2);
        let middle = (specific_rate * 2e9).min(0.4);
        let rest = 1.0 - young - middle;
        let old = ((old_age - AGES[2].gyr) / (AGES[3].gyr - AGES[2].gyr)).clamp(0.0, 1.0);
        Population {
            shares: [young, middle, rest * (1.0 - old), rest * old],
            metallicity,
        }
    }

    /// Mass-weighted age, Gyr.
    pub(super) fn age(&self) -> f64 {
        self.shares
            .iter()
            .zip(&AGES)
            .map(|(s, age)| s * age.gyr)
            .sum()
    }

    /// Light at the pivot of one solar mass, by age, in solar luminosities.
    fn light(&self) -> [f64; 4] {
        std::array::from_fn(|i| self.shares[i] / AGES[i].mass_to_light)
    }

    /// Share of the more metal-rich templates.
    fn rich(&self) -> f64 {
        let [poor, rich] = METALLICITIES;
        ((self.metallicity - poor) / (rich - poor)).clamp(0.0, 1.0)
    }

    /// Spectrum on the observed grid at redshift `z`, relative to the Sun's flux density at the
    /// pivot, for one solar mass; wavelengths are shifted, the flux is not diluted.
    pub(super) fn spectrum(&self, z: f64) -> Vec<f32> {
        let first = first_rest_position(z);
        let mut flux = vec![0.0_f32; OBSERVED.len()];
        let rich = self.rich();
        for (light, [poor_template, rich_template]) in self.light().iter().zip(TEMPLATES.iter()) {
            for (share, template) in [(1.0 - rich, poor_template), (rich, rich_template)] {
                let weight = (light * share) as f32;
                for (i, sum) in flux.iter_mut().enumerate() {
                    *sum += weight * sample(&template.flux, first + i as f64);
                }
            }
        }
        flux
    }

    /// Flux density at 2.2 micrometre in the same unit as [`Population::spectrum`].
    pub(super) fn near_infrared(&self) -> f64 {
        let rich = self.rich();
        self.light()
            .iter()
            .zip(TEMPLATES.iter())
            .map(|(light, [poor, metal_rich])| {
                light * ((1.0 - rich) * poor.near_infrared + rich * metal_rich.near_infrared)
            })
            .sum()
    }
}

/// Calzetti et al. (2000): attenuation in magnitudes per magnitude of E(B-V) of the stars.
pub(super) fn attenuation(wavelength: f64) -> f64 {
    let micron = (wavelength * 1e-4).clamp(0.12, 2.2);
    let slope = if micron < 0.63 {
        -2.156 + 1.509 / micron - 0.198 / micron.powi(2) + 0.011 / micron.powi(3)
    } else {
        -1.857 + 1.040 / micron
    };
    (2.659 * slope + 4.05).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratio of the flux density at 4050-4250 to 3750-3950 Angstrom.
    fn break_strength(population: Population) -> f64 {
        let flux = population.spectrum(0.0);
        let mean = |low: f64, high: f64| {
            let first = OBSERVED.position(low) as usize;
            let last = OBSERVED.position(high) as usize;
            flux[first..last].iter().map(|f| f64::from(*f)).sum::<f64>() / (last - first) as f64
        };
        mean(4050.0, 4250.0) / mean(3750.0, 3950.0)
    }

    #[test]
    fn old_populations_have_the_break() {
        let old = break_strength(Population::new(1e-12, 9.0, 0.1));
        let young = break_strength(Population::new(5e-10, 3.0, -0.3));
        assert!((1.6..2.6).contains(&old), "{old}");
        assert!((0.9..1.4).contains(&young), "{young}");
    }

    #[test]
    fn attenuation_falls_to_the_red() {
        assert!((attenuation(5500.0) - 4.05).abs() < 0.1);
        assert!(attenuation(3000.0) > attenuation(8000.0));
    }
}
