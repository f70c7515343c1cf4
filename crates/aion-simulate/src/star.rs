//! Stars of the Milky Way: temperature, gravity and metallicity by stellar population, radius from
//! gravity and mass, distance from the brightness.

use super::atmosphere::Atmosphere;
use super::cosmology::LIGHT_KM_S;
use super::draws::{Draws, Purpose};
use super::morphology::Morphology;
use super::passband::Passband;
use super::sed::{OBSERVED, Sed, WISE_MICRON, first_rest_position, nanomaggies, sample};
use super::target::{Target, magnitude};
use super::truth::{Class, Truth};

/// Gravity of the Sun, log10 of cm/s2, and its temperature, K.
const SUN: (f64, f64) = (4.438, 5772.0);
/// (Solar radius / parsec)^2 in units of 1e-17.
const DILUTION: f64 = 50.83;

/// What decides how a star looks.
struct Star {
    atmosphere: Atmosphere,
    /// Radius in solar radii.
    radius: f64,
    /// Radial velocity, km/s.
    velocity: f64,
}

/// Draws the star with this index.
pub(super) fn draw(seed: u64, index: u64) -> Target {
    let mut draws = Draws::new(seed, index, Purpose::Star);
    let star = Star::draw(&mut draws);
    let redshift = star.velocity / LIGHT_KM_S;
    let mut sed = star.sed_at_10_pc(redshift);
    let absolute = magnitude(sed.through(Passband::GaiaG));
    // Counts grow with magnitude; Gaia publishes XP spectra down to G = 17.65.
    let apparent = 17.6 + draws.uniform(0.01_f64, 1.0).log10() / 0.33;
    let without_dust = 10.0 * 10f64.powf(0.2 * (apparent - absolute));
    let ebv = draws.log_normal(0.04, 0.6).min(0.4) * (without_dust / (without_dust + 300.0));
    sed.redden(ebv);
    let reddened = magnitude(sed.through(Passband::GaiaG));
    let distance = 10.0 * 10f64.powf(0.2 * (apparent - reddened));
    sed.scale((10.0 / distance).powi(2));
    let truth = Truth {
        metallicity: Some(star.atmosphere.feh),
        teff: Some(star.atmosphere.teff),
        logg: Some(star.atmosphere.logg),
        parallax: 1000.0 / distance,
        ..Truth::new(Class::Star, redshift, ebv)
    };
    Target::new(sed, Morphology::point(), truth)
}

impl Star {
    fn draw(draws: &mut Draws) -> Self {
        let (feh, velocity_spread) = match draws.uniform(0.0, 1.0) {
            share if share < 0.78 => (draws.normal(-0.10, 0.20), 35.0),
            share if share < 0.93 => (draws.normal(-0.55, 0.25), 65.0),
            _ => (draws.normal(-1.5, 0.4), 150.0),
        };
        let velocity = draws.normal(0.0, velocity_spread);
        let feh = feh.clamp(-2.7, 0.5);
        if draws.chance(0.22) {
            Star::giant(draws, feh, velocity)
        } else {
            Star::dwarf(draws, feh, velocity)
        }
    }

    /// Main sequence, 3500 to 12,000 K with many more cool ones; mass and radius as powers of the
    /// temperature, the radius up to 0.25 dex larger by evolution in stars hot enough to evolve.
    fn dwarf(draws: &mut Draws, feh: f64, velocity: f64) -> Self {
        let hottest: f64 = if feh < -0.4 { 6600.0 } else { 12_000.0 };
        let place = draws.uniform(0.0, 1.0).powf(1.6);
        let teff = 3500.0 * (hottest / 3500.0).powf(place);
        let relative = teff / SUN.1;
        let evolution = if teff > 5200.0 {
            draws.uniform(0.0, 0.25)
        } else {
            0.0
        };
        let log_mass = 1.9 * relative.log10();
        let log_radius = 1.8 * relative.log10() + evolution;
        Star {
            atmosphere: Atmosphere {
                teff,
                logg: SUN.0 + log_mass - 2.0 * log_radius,
                feh,
            },
            radius: 10f64.powf(log_radius),
            velocity,
        }
    }

    /// Giant branch of a star of 1.1 solar masses: cooler as it grows, hotter when metal-poor.
    fn giant(draws: &mut Draws, feh: f64, velocity: f64) -> Self {
        let logg = 0.8 + 2.7 * draws.uniform(0.0, 1.0).sqrt();
        let teff = draws.normal(3800.0 + 430.0 * (logg - 0.8) - 200.0 * feh, 60.0);
        Star {
            atmosphere: Atmosphere {
                teff: teff.max(3500.0),
                logg,
                feh,
            },
            radius: (1.1 * 10f64.powf(SUN.0 - logg)).sqrt(),
            velocity,
        }
    }

    fn sed_at_10_pc(&self, redshift: f64) -> Sed {
        let dilution = DILUTION * (self.radius / 10.0).powi(2);
        let surface = self.atmosphere.spectrum();
        let first = first_rest_position(redshift);
        let flux = (0..OBSERVED.len())
            .map(|i| dilution as f32 * sample(&surface, first + i as f64))
            .collect();
        let wise = WISE_MICRON.map(|micron| {
            let wavelength = micron * 1e4;
            nanomaggies(dilution * self.atmosphere.infrared(wavelength), wavelength)
        });
        Sed { flux, wise }
    }
}
