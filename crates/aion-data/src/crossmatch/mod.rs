//! Cross-matching: which rows of two catalogues are the same object on the sky, and both sides of
//! each pair as one row of one dataset.
//!
//! [`positions`] reads where everything is, [`epoch`] moves stars to a common year, [`matching`]
//! finds the mutual nearest neighbours, [`gather`] collects the rows that they need in bounded
//! memory, and [`pairs`] writes them. [`crate::survey::pairs`] reads them back.

mod cells;
mod epoch;
mod gather;
mod matching;
mod object_columns;
mod pairs;
mod positions;
mod rows;
mod statistics;

use std::path::Path;

pub use epoch::{Epochs, Motion};
pub use matching::{Matches, Pair, Places, mutual_neighbours};
pub use positions::Input;
pub use statistics::{Report, SideCounts, Statistics};

use crate::error::{DataError, Place, Problem, Result};
use crate::read_options::ReadOptions;
use crate::sky::{ARCSEC, UnitVector};
use epoch::common_epoch;
use positions::Positions;

/// How to match.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The largest separation of a pair, arcsec.
    pub radius: f64,
    /// The years of the positions.
    pub epochs: Epochs,
    /// How files of objects (spectra, images) are read.
    pub read: ReadOptions,
    /// Bytes of rows held in memory on each side; more goes through files beside the output.
    pub memory: usize,
}

impl Options {
    /// Matching within `radius` arcsec, positions as they stand unless a file gives motions.
    pub fn within(radius: f64) -> Self {
        Options {
            radius,
            epochs: Epochs::default(),
            read: ReadOptions::default(),
            memory: 512 << 20,
        }
    }
}

/// Matches the rows of two inputs and writes the pairs to `output` (`.parquet` or `.csv`), sorted
/// by the HEALPix cell of the mean position.
///
/// `problem` is told of each row that cannot be used; it may end the work.
///
/// # Errors
/// A radius that is no angle; an input that cannot be read or has no positions; a year that nothing
/// can be moved to; columns of two files of a side that contradict each other; whatever `problem`
/// returns. Nothing is written then. No pair at all is no error.
pub fn crossmatch(
    left: &[Input],
    right: &[Input],
    options: &Options,
    output: &Path,
    problem: &mut dyn FnMut(DataError) -> Result<()>,
) -> Result<Report> {
    pairs::check_output(output)?;
    let radius = options.radius / ARCSEC;
    if !(radius > 0.0 && radius <= std::f64::consts::PI) {
        let what = format!(
            "the radius is {} arcsec, expected above 0 and at most 648000",
            options.radius
        );
        return Err(DataError::new(Place::default(), Problem::Values(what)));
    }
    let read = |inputs: &[Input]| Positions::read(inputs, &options.read);
    let (left, right) = rayon::join(|| read(left), || read(right));
    let (mut left, mut right) = (left?, right?);
    for side in [&mut left, &mut right] {
        for wrong in std::mem::take(&mut side.problems) {
            problem(wrong)?;
        }
    }
    let years = [options.epochs.left, options.epochs.right];
    let [known_left, known_right] = [left.known(years[0]), right.known(years[1])];
    let common = common_epoch(&options.epochs, known_left, known_right)
        .map_err(|what| DataError::new(Place::default(), Problem::Missing(what)))?;
    let directions = |side: &Positions, given: Option<f64>| -> Vec<UnitVector> {
        (0..side.len())
            .map(|row| side.direction(row, common.year, given))
            .collect()
    };
    let directions = [directions(&left, years[0]), directions(&right, years[1])];
    let matches = mutual_neighbours(&directions[0], &directions[1], radius)?;
    let statistics = Statistics::of(&matches.pairs, &directions, options.radius);
    let report = Report {
        left: left.counts(),
        right: right.counts(),
        pairs: matches.pairs.len(),
        ambiguous: matches.pairs.iter().filter(|pair| pair.ambiguous).count(),
        not_mutual: matches.not_mutual,
        radius_arcsec: options.radius,
        epoch: common.year,
        notes: common.notes,
        statistics,
    };
    let sky = pairs::Sky::of(matches.pairs, &directions);
    drop(directions);
    pairs::write(output, [&left, &right], &sky, options, &report)?;
    Ok(report)
}
