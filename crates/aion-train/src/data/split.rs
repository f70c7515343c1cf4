//! Which part of the data an object belongs to: training, validation or test.
//!
//! Whole cells of the sky go to one part (paper §4.1; cells and shares are not published, ours are
//! those of the fact sheet: nside 16, 98/1/1), so that an object falls into the same part in every
//! survey and in every set of pairs. The rule knows nothing of a run, so that all runs, and the tests of
//! what they train, agree: FNV-1a (64 bits) of the cell's number in decimal digits, modulo a million,
//! lies in the first share for the test part, in the next for validation. An object without a position
//! is placed by its identifier in the same way.

use aion_data::fnv::fnv1a;
use aion_data::sky::{CELL_ORDER, coarser, healpix29};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The hash is looked at in so many steps.
const STEPS: f64 = 1e6;

/// Section `data.split`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Resolution of the cells, a power of two: 12 nside² nested HEALPix cells make the sky.
    pub nside: u32,
    /// Share of cells in the validation part.
    pub validation: f64,
    /// Share of cells in the test part, which no run looks at.
    pub test: f64,
    /// Most objects of the validation part that a validation pass looks at.
    pub validation_objects: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        SplitConfig {
            nside: 16,
            validation: 0.01,
            test: 0.01,
            validation_objects: 512,
        }
    }
}

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Learned from.
    Train,
    /// Watched while learning.
    Validation,
    /// Kept for the end.
    Test,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 3] = [Part::Train, Part::Validation, Part::Test];
}

impl SplitConfig {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if !self.nside.is_power_of_two() || self.nside.ilog2() > u32::from(CELL_ORDER) {
            let reason = format!(
                "is {}, expected a power of two, at most 2^{CELL_ORDER}",
                self.nside
            );
            return Err(TrainError::config("data.split.nside", reason));
        }
        for (key, share) in [
            ("data.split.validation", self.validation),
            ("data.split.test", self.test),
        ] {
            if !(0.0..1.0).contains(&share) {
                let reason = format!("is {share}, expected a share from 0 to below 1");
                return Err(TrainError::config(key, reason));
            }
        }
        if self.validation + self.test >= 1.0 {
            let reason = "and `data.split.test` leave nothing to train on";
            return Err(TrainError::config("data.split.validation", reason));
        }
        if self.validation_objects == 0 {
            let reason = "is 0, expected at least 1";
            return Err(TrainError::config("data.split.validation_objects", reason));
        }
        Ok(())
    }

    /// The cell of a position (ICRS, degrees); none where that is no position.
    pub fn cell(&self, ra: Option<f64>, dec: Option<f64>) -> Option<i64> {
        let cell = healpix29(ra?, dec?)?;
        Some(coarser(cell, self.nside.ilog2() as u8))
    }

    /// The part of an object that lies in a cell, or, without one, has this identifier.
    pub fn part(&self, cell: Option<i64>, id: &str) -> Part {
        let hash = cell.map_or_else(|| fnv1a(id), |cell| fnv1a(&cell.to_string()));
        let place = (hash % STEPS as u64) as f64 / STEPS;
        if place < self.test {
            Part::Test
        } else if place < self.test + self.validation {
            Part::Validation
        } else {
            Part::Train
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_shared_out_evenly() {
        let split = SplitConfig {
            validation: 0.05,
            test: 0.1,
            ..SplitConfig::default()
        };
        let mut counts = [0; 3];
        for cell in 0..3072 {
            counts[split.part(Some(cell), "") as usize] += 1;
        }
        let [train, validation, test] = counts.map(|count| f64::from(count) / 3072.0);
        assert!((train - 0.85).abs() < 0.02, "{counts:?}");
        assert!((validation - 0.05).abs() < 0.012, "{counts:?}");
        assert!((test - 0.1).abs() < 0.02, "{counts:?}");
    }

    #[test]
    fn a_cell_is_in_one_part_whatever_lies_in_it() {
        let split = SplitConfig::default();
        let cell = split.cell(Some(187.5), Some(10.1));
        assert!(cell.is_some_and(|cell| (0..3072).contains(&cell)));
        assert_eq!(split.cell(Some(187.5001), Some(10.1)), cell);
        assert_eq!(split.part(cell, "a"), split.part(cell, "b"));
        assert_eq!(split.cell(Some(10.0), None), None);
        assert_eq!(split.cell(Some(10.0), Some(91.0)), None);
    }

    #[test]
    fn published_parts() {
        // Anyone can recompute these: FNV-1a of the digits, modulo 1,000,000.
        let split = SplitConfig::default();
        let test: Vec<i64> = (0..3072)
            .filter(|cell| split.part(Some(*cell), "") == Part::Test)
            .take(3)
            .collect();
        assert_eq!(test, FIRST_TEST_CELLS);
    }

    /// Computed in Python.
    const FIRST_TEST_CELLS: [i64; 3] = [134, 446, 679];

    #[test]
    fn identifiers_stand_in_for_positions() {
        let split = SplitConfig {
            test: 0.5,
            ..SplitConfig::default()
        };
        let test = (0..1000)
            .filter(|i| split.part(None, &format!("object-{i}")) == Part::Test)
            .count();
        assert!((440..560).contains(&test), "{test}");
    }

    #[test]
    fn impossible_splits_name_their_key() {
        let wrong = |change: fn(&mut SplitConfig)| {
            let mut split = SplitConfig::default();
            change(&mut split);
            split.check().expect_err("refused").to_string()
        };
        assert!(wrong(|split| split.nside = 12).contains("data.split.nside"));
        assert!(wrong(|split| split.nside = 0).contains("data.split.nside"));
        assert!(wrong(|split| split.test = f64::NAN).contains("data.split.test"));
        assert!(wrong(|split| split.validation = -0.1).contains("data.split.validation"));
        assert!(wrong(|split| split.validation = 0.995).contains("leave nothing"));
    }
}
