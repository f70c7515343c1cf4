//! Numbers about a match: how many, how far apart, and whether one side is shifted.

use serde::Serialize;

use crate::crossmatch::matching::Pair;
use crate::crossmatch::positions::Positions;
use crate::sky::{ARCSEC, UnitVector, position};

/// Bins of the histogram of separations.
const BINS: usize = 50;

/// Rows of one side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideCounts {
    /// Files read.
    pub files: usize,
    /// Rows in them.
    pub rows: usize,
    /// Rows with a position, which were matched.
    pub usable: usize,
    /// Rows whose position is missing.
    pub without_position: usize,
    /// Rows left out because something in them is wrong.
    pub bad: usize,
}

impl Positions {
    pub(super) fn counts(&self) -> SideCounts {
        let usable = self.usable();
        SideCounts {
            files: self.files.len(),
            rows: self.len(),
            usable,
            without_position: self.without,
            bad: self.len() - usable - self.without,
        }
    }
}

/// How a match went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The left side.
    pub left: SideCounts,
    /// The right side.
    pub right: SideCounts,
    /// Pairs found.
    pub pairs: usize,
    /// Pairs of which a side has another candidate within the radius.
    pub ambiguous: usize,
    /// Left rows whose nearest neighbour within the radius belongs to a nearer left row.
    pub not_mutual: usize,
    /// The largest separation allowed.
    pub radius_arcsec: f64,
    /// The Julian year at which positions were compared; none when they were taken as they stand.
    pub epoch: Option<f64>,
    /// What else a user has to know.
    pub notes: Vec<String>,
    /// Separations; none without pairs.
    pub statistics: Option<Statistics>,
}

/// Separations and offsets of the pairs, arcsec.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// Mean separation.
    pub mean: f64,
    /// Middle separation.
    pub median: f64,
    /// 95 of 100 pairs are closer.
    pub p95: f64,
    /// Largest separation.
    pub max: f64,
    /// Middle offset right minus left along right ascension, with cos(dec).
    pub offset_ra: f64,
    /// Middle offset right minus left along declination.
    pub offset_dec: f64,
    /// Pairs in equal bins of separation from 0 to the radius.
    pub histogram: Vec<usize>,
}

impl Statistics {
    /// The statistics of pairs among two sets of directions; none without pairs.
    pub(super) fn of(
        pairs: &[Pair],
        [left, right]: &[Vec<UnitVector>; 2],
        radius: f64,
    ) -> Option<Self> {
        let mut separations: Vec<f64> = pairs.iter().map(|pair| pair.separation * ARCSEC).collect();
        separations.sort_unstable_by(f64::total_cmp);
        let offsets: (Vec<f64>, Vec<f64>) = pairs
            .iter()
            .map(|pair| offset(left[pair.left as usize], right[pair.right as usize]))
            .unzip();
        let mut histogram = vec![0; BINS];
        for separation in &separations {
            let bin = (separation / radius * BINS as f64) as usize;
            histogram[bin.min(BINS - 1)] += 1;
        }
        Some(Statistics {
            mean: separations.iter().sum::<f64>() / separations.len() as f64,
            median: quantile(&separations, 0.5)?,
            p95: quantile(&separations, 0.95)?,
            max: *separations.last()?,
            offset_ra: median(offsets.0)?,
            offset_dec: median(offsets.1)?,
            histogram,
        })
    }
}

/// The offset from a direction to another in the plane tangent at the first: east and north,
/// arcsec.
fn offset(from: UnitVector, to: UnitVector) -> (f64, f64) {
    let (ra, dec) = position(from);
    let (sin_ra, cos_ra) = ra.to_radians().sin_cos();
    let (sin_dec, cos_dec) = dec.to_radians().sin_cos();
    let east = to[1] * cos_ra - to[0] * sin_ra;
    let north = to[2] * cos_dec - (to[0] * cos_ra + to[1] * sin_ra) * sin_dec;
    (east * ARCSEC, north * ARCSEC)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The value below which a share of sorted values lies.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let (low, high) = (sorted.get(low)?, sorted.get(high)?);
    Some(low + (high - low) * place.fract())
}
