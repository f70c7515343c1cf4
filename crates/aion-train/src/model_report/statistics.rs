//! How good redshifts are: the field's statistics of point estimates and of distributions.
//!
//! With residuals δ = (ẑ - z) / (1 + z), the medians of the distributions as ẑ: bias is the median of δ,
//! σ_NMAD is 1.4826 times the median of |δ - bias|, an outlier has |δ| > 0.15. R² is that of the
//! distributions' means, which minimise squared errors. PIT is the probability that a distribution has
//! below the true value: evenly spread where distributions are calibrated. The central interval of
//! level c covers the truth where |PIT - 1/2| ≤ c/2.

use serde::Serialize;

use crate::codec_report::{MAD, median};

/// A redshift that is off by more than this, in units of 1 + z, is an outlier.
const OUTLIER: f64 = 0.15;
/// Levels of the central intervals.
pub const LEVELS: [f64; 4] = [0.50, 0.68, 0.90, 0.95];
/// Bins of the PIT histogram.
pub const PIT_BINS: usize = 10;

/// A redshift as it was predicted, beside the true one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// True redshift.
    pub z: f64,
    /// Mean of the distribution.
    pub mean: f64,
    /// Its median.
    pub median: f64,
    /// Its 16 % quantile.
    pub q16: f64,
    /// Its 84 % quantile.
    pub q84: f64,
    /// The probability below the true redshift.
    pub pit: f64,
}

/// The statistics of a sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quality {
    /// Redshifts.
    pub objects: usize,
    /// Part of the variance that is predicted; none where nothing varies.
    pub r2: Option<f64>,
    /// Median of δ.
    pub bias: f64,
    /// Scatter of δ.
    pub sigma_nmad: f64,
    /// Share of outliers.
    pub outliers: f64,
    /// Share of the redshifts in the central intervals of [`LEVELS`].
    pub coverage: [f64; LEVELS.len()],
    /// Share of the redshifts in equal bins of PIT.
    pub pit: [f64; PIT_BINS],
}

impl Quality {
    /// The statistics of a sample; none of an empty one.
    pub fn of(estimates: &[Estimate]) -> Option<Quality> {
        let residual = |e: &Estimate| (e.median - e.z) / (1.0 + e.z);
        let residuals: Vec<f64> = estimates.iter().map(residual).collect();
        let bias = median(residuals.clone())?;
        let deviations = residuals.iter().map(|d| (d - bias).abs()).collect();
        let share = |is: &dyn Fn(&Estimate) -> bool| {
            estimates.iter().filter(|e| is(e)).count() as f64 / estimates.len() as f64
        };
        let bin = |e: &Estimate| ((e.pit * PIT_BINS as f64) as usize).min(PIT_BINS - 1);
        Some(Quality {
            objects: estimates.len(),
            r2: r2(estimates),
            bias,
            sigma_nmad: MAD * median(deviations)?,
            outliers: share(&|e| residual(e).abs() > OUTLIER),
            coverage: LEVELS.map(|level| share(&|e| (e.pit - 0.5).abs() <= level / 2.0)),
            pit: std::array::from_fn(|place| share(&|e| bin(e) == place)),
        })
    }
}

fn r2(estimates: &[Estimate]) -> Option<f64> {
    // Of equal values a mean may differ in its last digit.
    if estimates.windows(2).all(|pair| pair[0].z == pair[1].z) {
        return None;
    }
    let mean = estimates.iter().map(|e| e.z).sum::<f64>() / estimates.len() as f64;
    let variance: f64 = estimates.iter().map(|e| (e.z - mean).powi(2)).sum();
    let lost: f64 = estimates.iter().map(|e| (e.z - e.mean).powi(2)).sum();
    Some(1.0 - lost / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(z: f64, median: f64, pit: f64) -> Estimate {
        Estimate {
            z,
            mean: median,
            median,
            q16: median - 0.1,
            q84: median + 0.1,
            pit,
        }
    }

    #[test]
    fn point_statistics_are_those_of_the_definitions() {
        // δ: 0.1, 0, -0.05, 0.5.
        let sample = [
            estimate(0.0, 0.1, 0.5),
            estimate(1.0, 1.0, 0.5),
            estimate(1.0, 0.9, 0.5),
            estimate(1.0, 2.0, 0.5),
        ];
        let found = Quality::of(&sample).expect("a sample");
        assert!((found.bias - 0.05).abs() < 1e-12, "{found:?}");
        // |δ - bias|: 0.05, 0.05, 0.1, 0.45.
        assert!((found.sigma_nmad - MAD * 0.075).abs() < 1e-12);
        assert_eq!(found.outliers, 0.25);
        // Mean 0.75, variance sum 0.75, lost 0.01 + 0 + 0.01 + 1.
        let r2 = found.r2.expect("it varies");
        assert!((r2 - (1.0 - 1.02 / 0.75)).abs() < 1e-12);
    }

    #[test]
    fn even_pit_is_covered_as_its_levels_say() {
        let pit = |i: u32| (f64::from(i) + 0.5) / 1000.0;
        let sample: Vec<Estimate> = (0..1000).map(|i| estimate(0.3, 0.3, pit(i))).collect();
        let found = Quality::of(&sample).expect("a sample");
        for (level, share) in LEVELS.iter().zip(found.coverage) {
            assert!((share - level).abs() < 2e-3, "{level}: {share}");
        }
        assert!(found.pit.iter().all(|share| (share - 0.1).abs() < 1e-9));
        assert_eq!(found.r2, None);
    }

    #[test]
    fn too_narrow_distributions_cover_too_little() {
        let sample = [0.0, 1.0, 1.0, 0.5].map(|pit| estimate(0.3, 0.3, pit));
        let found = Quality::of(&sample).expect("a sample");
        assert_eq!(found.coverage, [0.25; 4]);
        assert_eq!((found.pit[0], found.pit[9]), (0.25, 0.5));
        assert!(Quality::of(&[]).is_none());
    }
}
