//! Quasars: a power law with broad lines, absorbed by hydrogen between them and us.

use super::cosmology::LIGHT_KM_S;
use super::draws::{Draws, Purpose};
use super::morphology::Morphology;
use super::passband::Passband;
use super::sed::{OBSERVED, Sed, WISE_MICRON, nanomaggies};
use super::target::{Target, magnitude, milky_way_reddening};
use super::truth::{Class, Truth};

/// Vacuum wavelength (Angstrom), equivalent width (Angstrom), width relative to the object's.
const LINES: [(f64, f64, f64); 13] = [
    (1033.8, 10.0, 1.0),
    (1215.7, 75.0, 1.1),
    (1240.1, 18.0, 1.0),
    (1399.8, 9.0, 1.1),
    (1549.1, 32.0, 1.0),
    (1640.4, 6.0, 1.3),
    (1908.7, 21.0, 1.2),
    (2480.0, 25.0, 9.0),
    (2799.1, 33.0, 0.8),
    (3200.0, 18.0, 7.0),
    (4341.7, 13.0, 0.9),
    (4862.7, 48.0, 0.9),
    (6564.6, 190.0, 0.8),
];
/// The narrow lines.
const NARROW_LINES: [(f64, f64); 4] = [(3728.5, 1.6), (4960.3, 4.0), (5008.2, 13.0), (6585.3, 3.0)];
const LYMAN_ALPHA: f64 = 1215.67;
const LYMAN_LIMIT: f64 = 911.75;

/// Draws the quasar with this index.
pub(super) fn draw(seed: u64, index: u64) -> Target {
    let mut draws = Draws::new(seed, index, Purpose::Quasar);
    let ebv = milky_way_reddening(&mut draws);
    let redshift = 0.3 + 1.6 * (draws.uniform(0.0, 1.0) + draws.uniform(0.0, 1.0));
    let slope = draws.normal(-1.55, 0.25);
    let mut sed = Sed::dark();
    for (flux, wavelength) in sed.flux.iter_mut().zip(&OBSERVED.wavelengths) {
        *flux = continuum(*wavelength / (1.0 + redshift), slope) as f32;
    }
    add_lines(&mut sed, redshift, slope, &mut draws);
    absorb(&mut sed, redshift, &mut draws);
    // Power law in the infrared: f_nu grows with the wavelength.
    let anchor = nanomaggies(f64::from(sed.at(10_000.0)), 10_000.0);
    sed.wise = WISE_MICRON.map(|micron| anchor * micron.powf(1.1));
    sed.redden(ebv);
    let wanted = draws.uniform(17.0, 21.3).max(draws.uniform(17.0, 21.3));
    let found = magnitude(sed.through(Passband::DecamR));
    sed.scale(10f64.powf(0.4 * (found - wanted)));
    Target::new(
        sed,
        Morphology::point(),
        Truth::new(Class::Quasar, redshift, ebv),
    )
}

/// Power law, flatter beyond 5000 Angstrom where the host and hot dust come in.
fn continuum(rest: f64, slope: f64) -> f64 {
    let scaled = (rest / 3000.0).powf(slope);
    scaled * (1.0 + (rest / 5500.0).powi(3) * 0.35)
}

fn add_lines(sed: &mut Sed, redshift: f64, slope: f64, draws: &mut Draws) {
    let dispersion = draws.log_normal(1900.0, 0.3);
    let strength = draws.log_normal(1.0, 0.25);
    for (wavelength, width, relative) in LINES {
        let equivalent = width * strength * draws.log_normal(1.0, 0.2);
        add_line(
            sed,
            redshift,
            slope,
            wavelength,
            equivalent,
            dispersion * relative,
        );
    }
    let narrow = draws.log_normal(1.0, 0.6);
    for (wavelength, width) in NARROW_LINES {
        add_line(sed, redshift, slope, wavelength, width * narrow, 220.0);
    }
}

/// Adds one line of a rest-frame equivalent width; dispersion in km/s.
fn add_line(sed: &mut Sed, redshift: f64, slope: f64, rest: f64, equivalent: f64, dispersion: f64) {
    let observed = rest * (1.0 + redshift);
    let flux = continuum(rest, slope) * equivalent * (1.0 + redshift);
    sed.add_line(flux, observed, observed * dispersion / LIGHT_KM_S);
}

/// The Lyman-alpha forest (mean depth of Faucher-Giguere et al. 2008, broken up by random
/// absorbers) and the Lyman limit.
fn absorb(sed: &mut Sed, redshift: f64, draws: &mut Draws) {
    let mut absorber = 1.0;
    for (i, (flux, wavelength)) in sed.flux.iter_mut().zip(&OBSERVED.wavelengths).enumerate() {
        let rest = wavelength / (1.0 + redshift);
        if rest > LYMAN_ALPHA {
            break;
        }
        if i % 3 == 0 {
            absorber = draws.log_normal(0.6, 1.0);
        }
        let depth = 0.0018 * (wavelength / LYMAN_ALPHA).powf(3.92) * absorber;
        *flux *= (-depth).exp() as f32;
        if rest < LYMAN_LIMIT {
            *flux *= 0.25;
        }
    }
}
