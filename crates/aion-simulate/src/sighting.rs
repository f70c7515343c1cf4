//! Where each survey finds an object: stars move from one survey's year to the next, and every survey
//! has its own errors of position.

use aion_data::Survey;

use super::draws::{Draws, Purpose};
use super::region::Region;
use super::truth::{Class, Truth};

/// Year of the true positions, Gaia DR3's reference epoch.
pub(super) const EPOCH: f64 = 2016.0;
/// Speed in km/s of an astronomical unit a year.
const AU_A_YEAR: f64 = 4.740_47;
/// The fastest motion along an axis, mas/yr.
const FASTEST: f64 = 1000.0;
/// Errors beyond this many standard deviations do not occur.
const LARGEST_ERROR: f64 = 4.0;

/// Where and when a survey finds things.
struct Habits {
    survey: Survey,
    /// Mean Julian year of its positions, and half of their range.
    epoch: (f64, f64),
    /// One-sigma error along an axis, arcsec.
    error: f64,
}

/// Years from the surveys' descriptions (DR10's coadds of 2014 to 2019, HSC's Wide of 2014 to 2019,
/// SDSS's imaging of 1998 to 2009, DESI's targets moved to 2015.5).
const HABITS: [Habits; 5] = [
    habits(Survey::LegacySurvey, (2016.5, 2.5), 0.05),
    habits(Survey::Hsc, (2016.5, 2.5), 0.08),
    habits(Survey::Sdss, (2003.5, 5.5), 0.12),
    habits(Survey::Desi, (2015.5, 0.0), 0.05),
    habits(Survey::Gaia, (EPOCH, 0.0), 0.0002),
];

const fn habits(survey: Survey, epoch: (f64, f64), error: f64) -> Habits {
    Habits {
        survey,
        epoch,
        error,
    }
}

/// Motion over the sky, mas/yr.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Motion {
    /// Along right ascension, with the factor cos dec.
    pub(super) ra: f64,
    /// Along declination.
    pub(super) dec: f64,
}

/// A survey's position of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sighting {
    /// Right ascension, degrees.
    pub(super) ra: f64,
    /// Declination, degrees.
    pub(super) dec: f64,
    /// Julian year of the position.
    pub(super) epoch: f64,
}

/// The motion of an object: stars' speeds across the line of sight spread like those along it, more
/// in metal-poor, older populations.
pub(super) fn motion(seed: u64, index: u64, truth: &Truth) -> Motion {
    if truth.class != Class::Star {
        return Motion::default();
    }
    let mut draws = Draws::new(seed, index, Purpose::Motion);
    let speed = match truth.metallicity.unwrap_or(0.0) {
        feh if feh > -0.4 => 35.0,
        feh if feh > -1.0 => 65.0,
        _ => 150.0,
    };
    let mut component = || {
        let motion = draws.normal(0.0, speed) / AU_A_YEAR * truth.parallax;
        motion.clamp(-FASTEST, FASTEST)
    };
    Motion {
        ra: component(),
        dec: component(),
    }
}

/// Where `survey` finds the object. Near the region's edge a survey sees the true position instead of one
/// outside.
pub(super) fn sight(
    region: &Region,
    seed: u64,
    index: u64,
    survey: Survey,
    motion: Motion,
) -> Sighting {
    let (ra, dec) = region.position(index);
    let mut sighting = Sighting {
        ra,
        dec,
        epoch: EPOCH,
    };
    let Some((number, habits)) = HABITS
        .iter()
        .enumerate()
        .find(|(_, habits)| habits.survey == survey)
    else {
        return sighting;
    };
    let mut draws = Draws::new(seed, index, Purpose::Sighting);
    draws.skip(16 * number as u64);
    let (year, range) = habits.epoch;
    sighting.epoch = year + draws.uniform(-range, range);
    let years = sighting.epoch - EPOCH;
    let mut offset = |motion: f64| {
        let limit = LARGEST_ERROR * habits.error;
        let error = draws.normal(0.0, habits.error).clamp(-limit, limit);
        (motion * years / 1000.0 + error) / 3600.0
    };
    let (east, north) = (offset(motion.ra), offset(motion.dec));
    let seen = moved((ra, dec), east, north);
    if region.allows((ra, dec), seen) {
        (sighting.ra, sighting.dec) = seen;
    } else {
        sighting.epoch = EPOCH;
    }
    sighting
}

/// A position some degrees to the east and to the north.
fn moved((ra, dec): (f64, f64), east: f64, north: f64) -> (f64, f64) {
    let ra = ra + east / dec.to_radians().cos().max(1e-6);
    (ra.rem_euclid(360.0), (dec + north).clamp(-90.0, 90.0))
}

/// Gaia's measurement of the motion, with errors like the parallax's.
pub(super) fn measured(motion: Motion, seed: u64, index: u64, truth: &Truth) -> Motion {
    let mut draws = Draws::new(seed, index, Purpose::Sighting);
    draws.skip(16 * HABITS.len() as u64);
    let error = 0.02 * (1.0 + 10f64.powf(0.4 * (truth.magnitude_r - 14.5))).sqrt();
    Motion {
        ra: draws.normal(motion.ra, error),
        dec: draws.normal(motion.dec, error),
    }
}

#[cfg(test)]
mod tests {
    use aion_data::sky::{ARCSEC, separation, unit_vector};

    use super::super::Sky;
    use super::*;

    #[test]
    fn galaxies_stay_and_stars_move() {
        let sky = Sky::new(5).with_coverage(super::super::Coverage::NONE);
        let region = Region::new(5, 2000, Some(40.0));
        let mut furthest = 0.0_f64;
        for index in 0..2000 {
            let truth = sky.object(index).truth;
            let motion = motion(5, index, &truth);
            let gaia = sight(&region, 5, index, Survey::Gaia, motion);
            let sdss = sight(&region, 5, index, Survey::Sdss, motion);
            let apart = separation(
                unit_vector(gaia.ra, gaia.dec),
                unit_vector(sdss.ra, sdss.dec),
            ) * ARCSEC;
            let years = gaia.epoch - sdss.epoch;
            let travelled = motion.ra.hypot(motion.dec) * years / 1000.0;
            assert!((apart - travelled).abs() < 0.7, "{apart} {travelled}");
            if truth.class == Class::Star {
                furthest = furthest.max(travelled);
                assert!(gaia.epoch == 2016.0 && (1998.0..2016.1).contains(&sdss.epoch));
            } else {
                assert_eq!(travelled, 0.0);
            }
        }
        assert!(furthest > 1.0 && furthest < super::super::region::REACH);
    }

    #[test]
    fn motion_and_parallax_give_the_speeds_of_the_disc() {
        let sky = Sky::new(8).with_coverage(super::super::Coverage::NONE);
        let mut speeds: Vec<f64> = (0..600)
            .map(|index| sky.star(index).truth)
            .enumerate()
            .map(|(index, truth)| {
                let motion = motion(8, index as u64, &truth);
                motion.ra.hypot(motion.dec) / truth.parallax * AU_A_YEAR
            })
            .collect();
        speeds.sort_by(f64::total_cmp);
        assert!((35.0..60.0).contains(&speeds[300]), "{}", speeds[300]);
    }
}
