//! A fixed grid of values.

use aion_kernel::Weights;

use super::bucketize;

/// Evenly spaced values, read from the checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearQuantizer {
    buckets: Vec<f32>,
}

impl LinearQuantizer {
    /// `size` values from `low` to `high`, or as stored.
    pub fn new(weights: &Weights, size: usize, (low, high): (f32, f32)) -> Self {
        let step = (f64::from(high) - f64::from(low)) / (size.max(2) - 1) as f64;
        let grid = move || {
            (0..size)
                .map(|index| (f64::from(low) + step * index as f64) as f32)
                .collect()
        };
        LinearQuantizer {
            buckets: weights.table("buckets", &[size], grid),
        }
    }

    /// Values by code.
    pub fn values(&self) -> &[f32] {
        &self.buckets
    }

    /// The first code whose value is not below `value`; values beyond the grid take the last.
    pub fn encode(&self, value: f32) -> u16 {
        bucketize(value, &self.buckets).min(self.buckets.len().saturating_sub(1)) as u16
    }

    /// The value of a code; codes beyond the grid have the last value.
    pub fn decode(&self, code: u16) -> f32 {
        let last = self.buckets.len().saturating_sub(1);
        self.buckets
            .get(usize::from(code).min(last))
            .copied()
            .unwrap_or_default()
    }

    /// Whether the grid spans `value`.
    pub fn spans(&self, value: f32) -> bool {
        let ends = (self.buckets.first(), self.buckets.last());
        matches!(ends, (Some(low), Some(high)) if (*low..=*high).contains(&value))
    }
}
