//! Absorption features of stars: vacuum wavelengths, and how strength goes with temperature.
//! Strengths are set by eye to look like stars at R = 2000; they are no line-formation calculation.

use std::sync::LazyLock;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What absorbs, which decides at which temperatures it does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Species {
    /// Hydrogen, strongest near 9300 K.
    Hydrogen,
    /// Ionised calcium.
    Calcium,
    /// Iron, magnesium and other neutral metals.
    Metal,
    /// Sodium and other lines that grow strong in K and M stars.
    CoolMetal,
    /// CH and CN, G and K stars.
    Carbon,
    /// Titanium oxide, M stars: band heads that degrade to the red.
    Titanium,
}

/// One line or band.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feature {
    pub(super) species: Species,
    /// Centre, or the band's head for titanium oxide; vacuum Angstrom.
    pub(super) wavelength: f64,
    /// Optical depth at the centre where the species is strongest, at solar metallicity.
    pub(super) depth: f64,
    /// Gaussian sigma; Lorentzian half-width for hydrogen; length for titanium oxide; Angstrom.
    pub(super) width: f64,
}

const fn feature(species: Species, wavelength: f64, depth: f64, width: f64) -> Feature {
    Feature {
        species,
        wavelength,
        depth,
        width,
    }
}

use Species::{Calcium, Carbon, CoolMetal, Hydrogen, Metal, Titanium};

/// The features that have names.
const NAMED: [Feature; 64] = [
    feature(Hydrogen, 6564.6, 1.30, 7.0),
    feature(Hydrogen, 4862.7, 1.45, 7.0),
    feature(Hydrogen, 4341.7, 1.45, 7.0),
    feature(Hydrogen, 4102.9, 1.40, 7.0),
    feature(Hydrogen, 3971.2, 1.30, 6.5),
    feature(Hydrogen, 3890.2, 1.20, 6.0),
    feature(Hydrogen, 3836.5, 1.05, 5.0),
    feature(Hydrogen, 3799.0, 0.90, 4.5),
    feature(Hydrogen, 3771.7, 0.75, 4.0),
    feature(Hydrogen, 3751.2, 0.60, 3.5),
    feature(Calcium, 3934.8, 2.20, 6.5),
    feature(Calcium, 3969.6, 1.90, 6.0),
    feature(Calcium, 8500.4, 0.45, 2.6),
    feature(Calcium, 8544.4, 0.75, 3.2),
    feature(Calcium, 8664.5, 0.65, 3.0),
    feature(Carbon, 3860.0, 0.35, 22.0),
    feature(Carbon, 4190.0, 0.12, 18.0),
    feature(Carbon, 4304.0, 0.50, 9.0),
    feature(Carbon, 4325.0, 0.20, 7.0),
    feature(Carbon, 4715.0, 0.10, 14.0),
    feature(Metal, 2600.0, 0.80, 14.0),
    feature(Metal, 2749.0, 0.50, 10.0),
    feature(Metal, 2799.1, 1.10, 7.0),
    feature(Metal, 2853.0, 0.80, 5.0),
    feature(Metal, 3581.0, 0.40, 8.0),
    feature(Metal, 3735.0, 0.45, 9.0),
    feature(Metal, 3820.0, 0.45, 9.0),
    feature(Metal, 4046.0, 0.25, 3.0),
    feature(Metal, 4145.0, 0.20, 4.0),
    feature(Metal, 4227.9, 0.45, 3.0),
    feature(Metal, 4272.0, 0.22, 4.0),
    feature(Metal, 4384.8, 0.40, 4.0),
    feature(Metal, 4456.0, 0.20, 4.0),
    feature(Metal, 4532.0, 0.22, 6.0),
    feature(Metal, 4669.0, 0.18, 7.0),
    feature(Metal, 4958.0, 0.20, 3.0),
    feature(Metal, 5016.0, 0.22, 6.0),
    feature(Metal, 5168.7, 0.50, 3.0),
    feature(Metal, 5174.1, 0.55, 3.0),
    feature(Metal, 5185.0, 0.60, 3.2),
    feature(Metal, 5270.9, 0.38, 4.0),
    feature(Metal, 5329.5, 0.32, 4.0),
    feature(Metal, 5406.0, 0.18, 3.5),
    feature(Metal, 5711.0, 0.12, 4.0),
    feature(Metal, 6123.9, 0.12, 2.5),
    feature(Metal, 6163.9, 0.12, 2.5),
    feature(Metal, 6496.9, 0.18, 3.0),
    feature(Metal, 8691.0, 0.12, 2.5),
    feature(Metal, 8809.2, 0.20, 2.5),
    feature(CoolMetal, 5110.0, 0.35, 55.0),
    feature(CoolMetal, 5891.6, 0.90, 2.6),
    feature(CoolMetal, 5897.6, 0.80, 2.6),
    feature(CoolMetal, 8185.5, 0.35, 2.5),
    feature(CoolMetal, 8197.0, 0.45, 2.5),
    feature(Titanium, 4763.0, 0.60, 90.0),
    feature(Titanium, 4956.0, 0.75, 90.0),
    feature(Titanium, 5169.0, 0.60, 110.0),
    feature(Titanium, 5450.0, 0.55, 130.0),
    feature(Titanium, 5862.0, 0.60, 140.0),
    feature(Titanium, 6160.0, 0.80, 180.0),
    feature(Titanium, 7055.0, 0.95, 230.0),
    feature(Titanium, 7590.0, 0.35, 140.0),
    feature(Titanium, 8434.0, 0.40, 150.0),
    feature(Titanium, 8862.0, 0.45, 180.0),
];

/// Number of weak lines.
const WEAK_LINES: usize = 420;

/// The named features and a forest of weak metal lines at fixed pseudo-random places, denser and
/// stronger to the blue, that stands in for iron.
pub(super) static FEATURES: LazyLock<Vec<Feature>> = LazyLock::new(|| {
    let mut rng = ChaCha8Rng::seed_from_u64(26);
    let mut features = NAMED.to_vec();
    features.extend((0..WEAK_LINES).map(|_| {
        let toward_blue: f64 = rng.random::<f64>().powf(1.8);
        let wavelength = 3300.0 * (9300.0_f64 / 3300.0).powf(toward_blue);
        let strength: f64 = rng.random::<f64>().powi(3);
        let fading = (4200.0 / wavelength).powf(2.0).min(1.2);
        feature(
            Metal,
            wavelength,
            (0.03 + 0.45 * strength) * fading,
            1.0 + 1.2 * rng.random::<f64>(),
        )
    }));
    features
});

/// Logistic step from 1 below `centre` to 0 above it.
pub(super) fn below(x: f64, centre: f64, width: f64) -> f64 {
    1.0 / (1.0 + ((x - centre) / width).exp())
}

/// Strength of hydrogen lines and of the Balmer jump, 1 at 9300 K.
pub(super) fn hydrogen_strength(teff: f64) -> f64 {
    let offset = (teff / 9300.0).ln();
    let width = if offset < 0.0 { 0.40 } else { 0.45 };
    (-(offset / width).powi(2)).exp()
}

impl Species {
    /// Strength relative to where it is greatest, for a star of solar metallicity.
    pub(super) fn strength(self, teff: f64, logg: f64) -> f64 {
        match self {
            Hydrogen => hydrogen_strength(teff),
            Calcium => below(teff, 7300.0, 600.0) * (1.0 + 0.10 * (4.0 - logg)),
            Metal => 0.15 * below(teff, 8500.0, 600.0) + 0.85 * below(teff, 5400.0, 600.0),
            CoolMetal => {
                0.2 * below(teff, 6300.0, 500.0)
                    + 0.8 * below(teff, 4500.0, 350.0) * (1.0 + 0.25 * (logg - 4.0))
            }
            Carbon => below(teff, 6000.0, 350.0) * (1.0 - below(teff, 3900.0, 200.0)),
            Titanium => below(teff, 3850.0, 120.0),
        }
    }

    /// Whether the strength goes with the metallicity.
    pub(super) fn is_metal(self) -> bool {
        self != Hydrogen
    }
}
