//! Codebooks of equal mass: quantiles of a sample kept by reservoir sampling (paper §2.3).

use aion_kernel::Weights;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::bucketize;

/// Quantiles of a distribution, used as code values.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebook {
    values: Vec<f32>,
}

impl Codebook {
    /// Reads the quantiles, and the sample that they came from, which is kept for saving.
    pub fn new(weights: &Weights, size: usize, reservoir_size: usize, initial: f32) -> Self {
        weights.table("_reservoir", &[reservoir_size], || {
            vec![initial; reservoir_size]
        });
        Codebook {
            values: weights.table("_index_to_val", &[size], || vec![initial; size]),
        }
    }

    /// A codebook of given values, in ascending order.
    pub fn of(values: Vec<f32>) -> Self {
        Codebook { values }
    }

    /// Values by code.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The code of a value. The last code takes everything above the last but one boundary.
    pub fn encode(&self, value: f32) -> u16 {
        let boundaries = self.values.len().saturating_sub(1);
        bucketize(value, &self.values[..boundaries]) as u16
    }

    /// The value of a code; codes beyond the codebook have the last value.
    pub fn decode(&self, code: u16) -> f32 {
        let last = self.values.len().saturating_sub(1);
        self.values
            .get(usize::from(code).min(last))
            .copied()
            .unwrap_or_default()
    }

    /// Whether the sample that made the codebook spans `value`.
    pub fn spans(&self, value: f32) -> bool {
        let ends = (self.values.first(), self.values.last());
        matches!(ends, (Some(low), Some(high)) if (*low..=*high).contains(&value))
    }
}

/// A uniform sample of a stream of any length (Vitter's algorithm R), reproducible from its seed.
#[derive(Debug, Clone)]
pub struct Reservoir {
    sample: Vec<f32>,
    size: usize,
    seen: u64,
    rng: ChaCha8Rng,
}

impl Reservoir {
    /// An empty sample of at most `size` values.
    pub fn new(size: usize, seed: u64) -> Self {
        Reservoir {
            sample: Vec::new(),
            size,
            seen: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Offers a value; values that are not finite are left out.
    pub fn push(&mut self, value: f32) {
        if !value.is_finite() {
            return;
        }
        self.seen += 1;
        if self.sample.len() < self.size {
            self.sample.push(value);
            return;
        }
        let place = self.rng.random_range(0..self.seen);
        if let Some(kept) = self.sample.get_mut(place as usize) {
            *kept = value;
        }
    }

    /// Number of values offered.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The sample, in order of value.
    pub fn sorted(&self) -> Vec<f32> {
        let mut sample = self.sample.clone();
        sample.sort_by(f32::total_cmp);
        sample
    }

    /// `size` quantiles, evenly spaced in probability from 0 to 1, linear between sample values.
    /// `None` for an empty sample.
    pub fn quantiles(&self, size: usize) -> Option<Vec<f32>> {
        let sorted = self.sorted();
        let last = sorted.len().checked_sub(1)?;
        let quantile = |index: usize| {
            let place = index as f64 / (size.max(2) - 1) as f64 * last as f64;
            let low = (place as usize).min(last);
            let high = (low + 1).min(last);
            let fraction = place - low as f64;
            let (low, high) = (f64::from(sorted[low]), f64::from(sorted[high]));
            (low + (high - low) * fraction) as f32
        };
        Some((0..size).map(quantile).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_uniform_stream_are_even() {
        let mut reservoir = Reservoir::new(4000, 1);
        for index in 0..100_000 {
            reservoir.push(index as f32 / 100_000.0);
        }
        reservoir.push(f32::NAN);
        assert_eq!(reservoir.seen(), 100_000);
        let quantiles = reservoir.quantiles(5).expect("not empty");
        for (found, expected) in quantiles.iter().zip([0.0, 0.25, 0.5, 0.75, 1.0]) {
            assert!((found - expected).abs() < 0.03, "{found} {expected}");
        }
        assert_eq!(Reservoir::new(3, 0).quantiles(4), None);
    }

    #[test]
    fn equal_mass_codes_are_used_equally() {
        let mut reservoir = Reservoir::new(10_000, 2);
        for index in 0..10_000 {
            reservoir.push((index as f32 / 10_000.0).powi(3));
        }
        let codebook = Codebook {
            values: reservoir.quantiles(64).expect("not empty"),
        };
        let mut counts = [0; 64];
        for value in reservoir.sorted() {
            counts[usize::from(codebook.encode(value))] += 1;
        }
        // The first code holds only the minimum, as published.
        assert!(counts[1..].iter().all(|count| (140..=180).contains(count)));
        assert_eq!(codebook.encode(f32::MAX), 63);
        assert!(!codebook.spans(2.0) && codebook.spans(0.5));
    }
}
