//! Proper motions: where an object was, or will be, in another year.
//!
//! The motion is uniform and along a straight line in space, without radial velocity (the standard
//! model of the Hipparcos and Gaia catalogues, ESA 1997, vol. 1, section 1.5.5): the direction
//! moves in the plane tangent to the sky and is brought back to length 1. Parallax is left out: it
//! displaces a star by less than 0.8 arcsec, by less than 10 mas beyond 100 pc.

use crate::sky::{ARCSEC, UnitVector, normalised, unit_vector};

/// How an object moves, and when it stood at its catalogued position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// Along right ascension, with the factor cos(dec), milliarcseconds a year.
    pub pmra: f64,
    /// Along declination, milliarcseconds a year.
    pub pmdec: f64,
    /// Julian year of the position.
    pub epoch: f64,
}

impl Motion {
    /// The direction in the Julian year `epoch` of what stood at `ra`, `dec` (degrees) in the year
    /// of this motion.
    pub fn direction(&self, ra: f64, dec: f64, epoch: f64) -> UnitVector {
        let from = unit_vector(ra, dec);
        let (sin_ra, cos_ra) = ra.to_radians().sin_cos();
        let (sin_dec, cos_dec) = dec.to_radians().sin_cos();
        let east = [-sin_ra, cos_ra, 0.0];
        let north = [-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec];
        let years = epoch - self.epoch;
        let [along, up] = [self.pmra, self.pmdec].map(|mas| mas / 1000.0 / ARCSEC * years);
        let moved = std::array::from_fn(|axis| from[axis] + along * east[axis] + up * north[axis]);
        normalised(moved).unwrap_or(from)
    }
}

/// The years that a user gives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Epochs {
    /// The year at which positions are compared.
    pub common: Option<f64>,
    /// The year of the left side's positions, where its files do not say it.
    pub left: Option<f64>,
    /// The year of the right side's positions, where its files do not say it.
    pub right: Option<f64>,
}

/// What one side knows about years.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Known {
    /// Rows whose motion and its year are known.
    pub moving: usize,
    /// Rows whose motion is known but not its year.
    pub undated: usize,
    /// The middle of the years of the moving rows, or the one given for all.
    pub epoch: Option<f64>,
}

/// The year at which the sides are compared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CommonEpoch {
    /// The year; none when positions are compared as they stand.
    pub year: Option<f64>,
    /// What a reader of the result has to know, in sentences.
    pub notes: Vec<String>,
}

/// Chooses the year: the one asked for; else that of the side that cannot be moved; else, where
/// both move, the left side's.
///
/// The error says what is missing: motions where a year was asked for.
pub fn common_epoch(
    asked: &Epochs,
    left: Known,
    right: Known,
) -> std::result::Result<CommonEpoch, String> {
    let mut notes = Vec::new();
    for (side, known) in [("left", left), ("right", right)] {
        if known.undated > 0 {
            notes.push(format!(
                "{} proper motions of the {side} side are not used, because their year is \
                 unknown; --{side}-epoch gives it",
                known.undated
            ));
        }
    }
    let moving = [left.moving, right.moving].map(|rows| rows > 0);
    let year = match moving {
        [false, false] if asked.common.is_some() => {
            return Err(
                "neither side has proper motions with a year, so that --epoch has \
                        nothing to move"
                    .into(),
            );
        }
        [false, false] => None,
        _ if asked.common.is_some() => asked.common,
        [true, true] => left.epoch,
        [true, false] => right.epoch,
        [false, true] => left.epoch,
    };
    if year.is_none() && moving != [false, false] {
        let (moving, still) = match moving {
            [true, _] => ("left", "right"),
            _ => ("right", "left"),
        };
        notes.push(format!(
            "the proper motions of the {moving} side are not applied, because the year of the \
             {still} side's positions is unknown; --{still}-epoch gives it"
        ));
    }
    Ok(CommonEpoch { year, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Known = Known {
        moving: 0,
        undated: 0,
        epoch: None,
    };
    const GAIA: Known = Known {
        moving: 5,
        undated: 0,
        epoch: Some(2016.0),
    };

    fn still(epoch: f64) -> Known {
        Known {
            epoch: Some(epoch),
            ..NOTHING
        }
    }

    #[test]
    fn the_side_that_cannot_move_says_the_year() {
        let years = |asked: Epochs, left, right| common_epoch(&asked, left, right);
        let free = Epochs::default();
        let chosen = years(free, GAIA, still(2020.5)).expect("a year");
        assert_eq!((chosen.year, chosen.notes.len()), (Some(2020.5), 0));
        let chosen = years(free, GAIA, NOTHING).expect("no year");
        assert_eq!(chosen.year, None);
        assert!(chosen.notes[0].contains("--right-epoch"), "{chosen:?}");
        let chosen = years(free, NOTHING, GAIA).expect("no year");
        assert!(chosen.notes[0].contains("--left-epoch"), "{chosen:?}");
        let at_2000 = Epochs {
            common: Some(2000.0),
            ..free
        };
        assert_eq!(
            years(at_2000, GAIA, GAIA).expect("a year").year,
            Some(2000.0)
        );
        assert!(years(at_2000, NOTHING, still(2010.0)).is_err());
        assert_eq!(
            years(free, still(2015.5), GAIA).expect("y").year,
            Some(2015.5)
        );
        assert_eq!(
            years(free, NOTHING, NOTHING).expect("y"),
            CommonEpoch::default()
        );
    }

    #[test]
    fn motions_without_a_year_are_named() {
        let undated = Known {
            undated: 3,
            ..NOTHING
        };
        let chosen = common_epoch(&Epochs::default(), undated, NOTHING).expect("no year");
        assert!(chosen.notes[0].starts_with("3 proper motions of the left"));
    }
}
