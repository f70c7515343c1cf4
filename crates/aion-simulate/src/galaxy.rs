//! Galaxies: redshift, mass, star formation, dust and size drawn from the relations between them.

use super::cosmology::{age, kpc_per_arcsec, luminosity_distance};
use super::draws::{Draws, Purpose};
use super::emission::Nebula;
use super::morphology::Morphology;
use super::passband::Passband;
use super::population::{Population, attenuation};
use super::sed::{KM_S_PER_POINT, OBSERVED, Sed, WISE_MICRON, dimming, nanomaggies, smooth};
use super::target::{Target, magnitude, milky_way_reddening};
use super::truth::{Class, Truth};

/// The faintest z-band magnitude, as the Legacy Survey sample is cut.
const MAGNITUDE_LIMIT: f64 = 21.0;
/// Flux density of the Sun at 5500 Angstrom from 10 pc (absolute AB magnitude 4.81), 1e-17 erg/s/cm2/Angstrom.
const SUN_AT_10_PC: f64 = 4.286e6;
/// Solar luminosity, 1e-17 erg/s, over 4 pi Mpc2 in cm2.
const SOLAR_LUMINOSITY_PER_MPC2: f64 = 3.828e33 / 1e-17 / (4.0 * std::f64::consts::PI * 9.521_4e48);

/// What decides how a galaxy looks.
struct Galaxy {
    redshift: f64,
    log_mass: f64,
    /// log10 of the star formation rate over the mass, 1/yr.
    log_specific_rate: f64,
    old_age: f64,
    metallicity: f64,
    /// Attenuation in V, mag.
    attenuation: f64,
    /// Velocity dispersion of the stars, km/s.
    dispersion: f64,
    /// Half-light radius along the major axis, kpc.
    radius: f64,
    axis_ratio: f64,
    angle: f64,
    bulge: f64,
}

/// Draws the galaxy with this index.
pub(super) fn draw(seed: u64, index: u64) -> Target {
    let mut draws = Draws::new(seed, index, Purpose::Galaxy);
    let ebv = milky_way_reddening(&mut draws);
    let mut galaxy = Galaxy::draw(&mut draws);
    let mut sed = galaxy.sed();
    // What came out too faint for the survey is a more massive galaxy of the same kind.
    let magnitude = magnitude(sed.through(Passband::DecamZ));
    if magnitude > MAGNITUDE_LIMIT {
        let brighter = magnitude - MAGNITUDE_LIMIT + draws.uniform(0.0, 0.6);
        galaxy.log_mass += 0.4 * brighter;
        sed.scale(dimming(-brighter));
    }
    sed.redden(ebv);
    galaxy.target(sed, ebv)
}

/// Redshift from z^2 exp(-(z/z0)^1.5), which peaks near 0.3, by rejection.
fn draw_redshift(draws: &mut Draws) -> f64 {
    const SCALE: f64 = 0.25;
    let density = |z: f64| z * z * (-(z / SCALE).powf(1.5)).exp();
    let peak = density(SCALE * (4.0_f64 / 3.0).powf(2.0 / 3.0));
    for _ in 0..100 {
        let z = draws.uniform(0.01, 1.3);
        if draws.chance(density(z) / peak) {
            return z;
        }
    }
    0.3
}

/// log10 of the mass from a Schechter function above what is bright enough at this redshift.
fn draw_log_mass(draws: &mut Draws, z: f64) -> f64 {
    const KNEE: f64 = 10.75;
    let limit = 10.0 + 2.0 * (z / 0.3).log10() + 0.35 * (z - 0.3);
    let lowest = limit.clamp(7.0, 11.6);
    let density = |log_mass: f64| {
        let x = 10f64.powf(log_mass - KNEE);
        x.powf(-0.15) * (-x).exp()
    };
    for _ in 0..200 {
        let log_mass = draws.uniform(lowest, lowest.max(11.4) + 0.5);
        if draws.chance(density(log_mass) / density(lowest)) {
            return log_mass;
        }
    }
    lowest
}

impl Galaxy {
    fn draw(draws: &mut Draws) -> Self {
        let redshift = draw_redshift(draws);
        let log_mass = draw_log_mass(draws, redshift);
        let quiescent_share = 0.9 / (1.0 + ((10.5 - log_mass) / 0.3).exp());
        let quiescent = draws.chance(quiescent_share);
        let main_sequence = -10.0 - 0.2 * (log_mass - 10.5) + 2.5 * (1.0 + redshift).log10();
        let log_specific_rate = if quiescent {
            main_sequence - draws.normal(1.8, 0.4).max(0.7)
        } else {
            draws.normal(main_sequence, 0.35)
        };
        let oldest = age(redshift) - 1.0;
        let old_age = if quiescent {
            oldest * draws.uniform(0.6, 1.0)
        } else {
            oldest * draws.uniform(0.25, 0.9)
        };
        let bulge = if quiescent {
            draws.normal(0.7, 0.2).clamp(0.15, 1.0)
        } else {
            draws
                .normal(0.12 + 0.12 * (log_mass - 9.5), 0.12)
                .clamp(0.0, 0.7)
        };
        let axis_ratio = if draws.chance(bulge) {
            draws.uniform(0.55, 1.0)
        } else {
            let cosine = draws.uniform(0.0, 1.0);
            (cosine * cosine * (1.0 - 0.04) + 0.04).sqrt()
        };
        let disc_size = 0.70 + 0.22 * (log_mass - 10.5);
        let bulge_size = 0.45 + 0.60 * (log_mass - 10.5).max(-1.0);
        let log_radius = if quiescent { bulge_size } else { disc_size };
        let dust = if quiescent {
            draws.uniform(0.0, 0.25)
        } else {
            let edge_on = 1.0 + 0.6 * (1.0 - axis_ratio);
            (0.35 + 0.35 * (log_mass - 9.5)).max(0.1) * edge_on * draws.log_normal(1.0, 0.3)
        };
        Galaxy {
            redshift,
            log_mass,
            log_specific_rate: log_specific_rate.clamp(-13.0, -8.3),
            old_age,
            metallicity: draws
                .normal(-0.05 + 0.30 * (log_mass - 10.5), 0.1)
                .clamp(-1.0, 0.3),
            attenuation: dust.min(2.5),
            dispersion: (160.0 * 10f64.powf(0.25 * (log_mass - 10.7))).clamp(40.0, 350.0),
            radius: 10f64.powf(draws.normal(log_radius, 0.15)) * (1.0 + redshift).powf(-0.7),
            axis_ratio,
            angle: draws.uniform(0.0, std::f64::consts::PI),
            bulge,
        }
    }

    /// Star formation rate, solar masses a year.
    fn star_formation_rate(&self) -> f64 {
        10f64.powf(self.log_mass + self.log_specific_rate)
    }

    fn population(&self) -> Population {
        Population::new(
            10f64.powf(self.log_specific_rate),
            self.old_age,
            self.metallicity,
        )
    }

    /// Light at the top of the Milky Way's dust.
    fn sed(&self) -> Sed {
        let z = self.redshift;
        let distance = luminosity_distance(z);
        let mass = 10f64.powf(self.log_mass);
        let population = self.population();
        let dilution = SUN_AT_10_PC * mass * (1e-5 / distance).powi(2) / (1.0 + z);
        let ebv_stars = self.attenuation / 4.05;
        let mut sed = Sed {
            flux: population.spectrum(z),
            wise: [0.0; 4],
        };
        for (flux, wavelength) in sed.flux.iter_mut().zip(&OBSERVED.wavelengths) {
            let dust = dimming(attenuation(wavelength / (1.0 + z)) * ebv_stars);
            *flux *= (dilution * dust) as f32;
        }
        smooth(&mut sed.flux, self.dispersion / KM_S_PER_POINT);
        // H-alpha of Kennicutt & Evans (2012): 10^41.27 erg/s for a solar mass a year.
        let hbeta = 10f64.powf(41.27) / 2.86 / 3.828e33
            * self.star_formation_rate()
            * SOLAR_LUMINOSITY_PER_MPC2
            / distance.powi(2);
        let gas = Nebula {
            hbeta,
            metallicity: self.metallicity,
            dispersion: (0.5 * self.dispersion).clamp(45.0, 140.0),
        };
        gas.shine(&mut sed, z, |wavelength| {
            dimming(attenuation(wavelength) * ebv_stars / 0.44)
        });
        sed.wise = self.infrared(dilution * population.near_infrared(), distance);
        sed
    }

    /// WISE fluxes, nanomaggies: starlight falling as wavelength^-3.6 from its flux density at 2.2
    /// micrometre, and warm dust with nu L_nu of 2e9 solar luminosities for a solar mass a year
    /// from 8 micrometre on, cut exponentially below.
    fn infrared(&self, starlight: f64, distance: f64) -> [f64; 4] {
        let dust = 2e9 * self.star_formation_rate() * SOLAR_LUMINOSITY_PER_MPC2 / distance.powi(2);
        WISE_MICRON.map(|micron| {
            let rest = micron / (1.0 + self.redshift);
            let stars = starlight * (rest / 2.2).powf(-3.6);
            let cut = (-3.0 * (8.0 / rest - 1.0).max(0.0)).exp();
            let observed = micron * 1e4;
            nanomaggies(stars + dust * cut / observed, observed)
        })
    }

    fn target(&self, sed: Sed, ebv: f64) -> Target {
        let half_light = (self.radius / kpc_per_arcsec(self.redshift)).clamp(0.12, 12.0);
        let morphology = Morphology::galaxy(half_light, self.axis_ratio, self.angle, self.bulge);
        let truth = Truth {
            half_light_radius: half_light,
            sersic_index: Some(morphology.sersic_index()),
            axis_ratio: Some(self.axis_ratio),
            position_angle: Some(self.angle.to_degrees()),
            log_mass: Some(self.log_mass),
            log_sfr: Some(self.log_mass + self.log_specific_rate),
            age: Some(self.population().age()),
            metallicity: Some(self.metallicity),
            attenuation: Some(self.attenuation),
            ..Truth::new(Class::Galaxy, self.redshift, ebv)
        };
        Target::new(sed, morphology, truth)
    }
}
