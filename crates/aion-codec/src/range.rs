//! How much of the input lies outside what a codec can express.

use std::collections::BTreeMap;

use aion_data::ModalityId;

/// Counts for one modality of one object.
///
/// "Outside" means that the value was replaced by the nearest one that the codec has: a clipped
/// pixel, a spectrum pixel beyond the latent grid, a scalar beyond its codebook, a flux at or
/// below the floor of a logarithmic codebook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Number of values.
    pub values: usize,
    /// Values outside the range.
    pub outside: usize,
    /// NaN or infinite values, which were set to zero, clipped or left out.
    pub not_finite: usize,
}

impl Coverage {
    /// Counts over `values`; `inside` judges the finite ones.
    pub fn of(values: impl Iterator<Item = f32>, mut inside: impl FnMut(f32) -> bool) -> Self {
        let mut coverage = Coverage::default();
        for value in values {
            coverage.values += 1;
            if !value.is_finite() {
                coverage.not_finite += 1;
            } else if !inside(value) {
                coverage.outside += 1;
            }
        }
        coverage
    }

    /// Fraction of the values outside the range, in [0, 1].
    pub fn fraction_outside(&self) -> f64 {
        self.outside as f64 / self.values.max(1) as f64
    }

    /// Sums the counts.
    pub fn add(&mut self, other: Coverage) {
        self.values += other.values;
        self.outside += other.outside;
        self.not_finite += other.not_finite;
    }
}

/// Counts of one object, by modality.
pub type RangeReport = BTreeMap<ModalityId, Coverage>;
