//! Emission lines of ionised gas, with strengths tied by star formation rate and metallicity.

use super::sed::{STEP, Sed};

/// What a line's strength goes with.
#[derive(Debug, Clone, Copy)]
enum Scale {
    /// A fixed multiple of H-beta.
    Hydrogen(f64),
    /// A multiple of the doubly ionised oxygen line at 5008.
    Oxygen3(f64),
    /// A multiple of the ionised nitrogen line at 6585.
    Nitrogen2(f64),
    /// A multiple of the low-ionisation lines as a whole.
    LowIonisation(f64),
}

/// Vacuum wavelength (Angstrom) and strength.
const LINES: [(f64, Scale); 20] = {
    use Scale::{Hydrogen, LowIonisation, Nitrogen2, Oxygen3};
    [
        (3727.1, LowIonisation(1.20)),
        (3729.9, LowIonisation(1.65)),
        (3869.9, Oxygen3(0.09)),
        (3890.2, Hydrogen(0.19)),
        (3971.2, Hydrogen(0.16)),
        (4102.9, Hydrogen(0.26)),
        (4341.7, Hydrogen(0.47)),
        (4862.7, Hydrogen(1.0)),
        (4960.3, Oxygen3(0.34)),
        (5008.2, Oxygen3(1.0)),
        (5877.2, Hydrogen(0.11)),
        (6302.0, LowIonisation(0.10)),
        (6549.9, Nitrogen2(0.34)),
        (6564.6, Hydrogen(2.86)),
        (6585.3, Nitrogen2(1.0)),
        (6718.3, LowIonisation(0.45)),
        (6732.7, LowIonisation(0.33)),
        (7137.8, Oxygen3(0.04)),
        (9071.1, LowIonisation(0.16)),
        (9533.2, LowIonisation(0.40)),
    ]
};

/// Gas that shines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nebula {
    /// Flux of H-beta before dust, 1e-17 erg/s/cm2.
    pub(super) hbeta: f64,
    /// log10 of the metallicity over the Sun's.
    pub(super) metallicity: f64,
    /// Velocity dispersion, km/s.
    pub(super) dispersion: f64,
}

impl Nebula {
    /// Ratio of a line to H-beta. Nitrogen grows with metallicity; oxygen follows from it along the
    /// sequence of star-forming galaxies of Kewley et al. (2013).
    fn ratio(&self, scale: Scale) -> f64 {
        let nitrogen = (-0.48 + 0.9 * self.metallicity).clamp(-1.6, -0.22);
        match scale {
            Scale::Hydrogen(factor) => factor,
            Scale::Nitrogen2(factor) => factor * 2.86 * 10f64.powf(nitrogen),
            Scale::Oxygen3(factor) => factor * 10f64.powf(0.61 / (nitrogen + 0.08) + 1.1),
            Scale::LowIonisation(factor) => factor * 10f64.powf(-0.25 * self.metallicity),
        }
    }

    /// Adds all lines at redshift `z`; `transmitted` is the share that dust lets through at a rest
    /// wavelength.
    pub(super) fn shine(&self, sed: &mut Sed, z: f64, transmitted: impl Fn(f64) -> f64) {
        let sigma_points = self.dispersion / super::sed::KM_S_PER_POINT;
        let relative = sigma_points * STEP * std::f64::consts::LN_10;
        for (wavelength, scale) in LINES {
            let centre = wavelength * (1.0 + z);
            let flux = self.hbeta * self.ratio(scale) * transmitted(wavelength);
            sed.add_line(flux, centre, relative * centre);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ratios_are_those_of_star_forming_galaxies() {
        let at = |metallicity| Nebula {
            hbeta: 1.0,
            metallicity,
            dispersion: 80.0,
        };
        let oxygen = |m| at(m).ratio(Scale::Oxygen3(1.0));
        let nitrogen = |m| at(m).ratio(Scale::Nitrogen2(1.0));
        assert!(oxygen(-0.7) > 2.0 && oxygen(-0.7) < 8.0);
        assert!(oxygen(0.2) < 0.8);
        assert!(nitrogen(0.2) > 3.0 * nitrogen(-0.7));
    }
}
