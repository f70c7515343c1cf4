//! From logits to answers: probabilities, the likeliest token, samples, and for scalars a
//! distribution over the physical value.

use std::collections::BTreeMap;

use aion_data::{ModalityId, ObjectTokens};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::ModelError;
use crate::states::Encoded;
use crate::transformer::Transformer;
use crate::visible::{Target, Targets};

impl Transformer {
    /// Predicts all positions of the targets from all tokens of each object.
    ///
    /// # Errors
    /// See [`Transformer::encode`] and [`Transformer::decode`].
    pub fn predict(
        &self,
        batch: &[ObjectTokens],
        targets: &[ModalityId],
    ) -> Result<Vec<BTreeMap<ModalityId, Prediction>>, ModelError> {
        let encoded = self.encode(batch)?;
        self.predict_encoded(&encoded, targets)
    }

    /// Predicts all positions of the targets of each encoded object.
    ///
    /// # Errors
    /// See [`Transformer::decode`].
    pub fn predict_encoded(
        &self,
        encoded: &Encoded,
        targets: &[ModalityId],
    ) -> Result<Vec<BTreeMap<ModalityId, Prediction>>, ModelError> {
        let objects = encoded.layout.objects().lengths().len();
        let all = targets.iter().map(|&target| {
            let positions = (0..=u16::MAX).take(target.info().num_tokens());
            (target, Target::At(positions.collect()))
        });
        let questions: Targets = all.collect();
        let decoded = self.decode(encoded, &vec![questions.clone(); objects])?;
        let mut predictions = vec![BTreeMap::new(); objects];
        for &target in questions.keys() {
            let logits = self.logits(&decoded, target)?.into_data();
            let logits: Vec<f32> = logits.iter::<f32>().collect();
            let vocabulary = target.info().vocabulary;
            let size = target.info().num_tokens() * vocabulary;
            for (object, logits) in predictions.iter_mut().zip(logits.chunks(size)) {
                object.insert(target, Prediction::new(vocabulary, logits.to_vec()));
            }
        }
        Ok(predictions)
    }
}

/// Logits of one modality of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    vocabulary: usize,
    logits: Vec<f32>,
}

impl Prediction {
    /// Logits `(tokens, vocabulary)`, row-major.
    pub fn new(vocabulary: usize, logits: Vec<f32>) -> Self {
        Prediction { vocabulary, logits }
    }

    /// Size of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Logits `(tokens, vocabulary)`, row-major.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Logits of each token.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.vocabulary.max(1))
    }

    /// Probabilities of each token's values, each list adding up to one.
    pub fn probabilities(&self) -> Vec<Vec<f64>> {
        self.rows().map(|row| softmax(row, 1.0)).collect()
    }

    /// Cross-entropy of the true tokens, summed over them, nats. Each must be in the vocabulary.
    pub fn cross_entropy(&self, tokens: &[u16]) -> f64 {
        let of_token = |(row, token): (&[f32], &u16)| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let above = |logit: &f32| f64::from(*logit) - f64::from(largest);
            let sum: f64 = row.iter().map(|logit| above(logit).exp()).sum();
            let logit = row.get(usize::from(*token));
            sum.ln() - logit.map_or(f64::NEG_INFINITY, above)
        };
        self.rows().zip(tokens).map(of_token).sum()
    }

    /// The likeliest tokens; the smallest of equals.
    pub fn argmax(&self) -> Vec<u16> {
        let best = |row: &[f32]| {
            let mut best = (0, f32::NEG_INFINITY);
            for (token, &logit) in (0..=u16::MAX).zip(row) {
                if logit > best.1 {
                    best = (token, logit);
                }
            }
            best.0
        };
        self.rows().map(best).collect()
    }

    /// `count` draws of all tokens, each token by itself. A temperature above 1 flattens the
    /// distribution, 0 takes the likeliest token. Draws depend on the seed and on the object's
    /// number alone, not on its neighbours in a batch.
    pub fn sample(&self, temperature: f64, count: usize, seed: u64, object: u64) -> Vec<Vec<u16>> {
        if temperature <= 0.0 {
            return vec![self.argmax(); count];
        }
        let cumulative: Vec<Vec<f64>> = self
            .rows()
            .map(|row| running_sum(&softmax(row, temperature)))
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ scramble(object));
        let mut draw = |row: &Vec<f64>| {
            let level = rng.random::<f64>() * row.last().copied().unwrap_or_default();
            let token = row.partition_point(|&sum| sum <= level);
            token.min(row.len().saturating_sub(1)) as u16
        };
        (0..count)
            .map(|_| cumulative.iter().map(&mut draw).collect())
            .collect()
    }

    /// The distribution over a scalar's value, where token `i` means `grid[i]`. Tokens beyond the
    /// grid (a vocabulary may have a spare one) are dropped and the rest renormalised. `None` when
    /// there is not exactly one token or the grid is empty or longer than the vocabulary.
    pub fn distribution(&self, grid: &[f32]) -> Option<Distribution> {
        let mut rows = self.rows();
        let (Some(row), None) = (rows.next(), rows.next()) else {
            return None;
        };
        let row = row.get(..grid.len())?;
        (!row.is_empty()).then(|| Distribution::new(grid, softmax(row, 1.0)))
    }
}

/// A scalar's value as the model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Values of the bins, increasing, in the modality's unit.
    pub grid: Vec<f32>,
    /// Probability of each bin.
    pub probabilities: Vec<f64>,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// 16 % quantile.
    pub q16: f64,
    /// 84 % quantile.
    pub q84: f64,
}

impl Distribution {
    fn new(grid: &[f32], probabilities: Vec<f64>) -> Self {
        let mut bins: Vec<(f32, f64)> = grid.iter().copied().zip(probabilities).collect();
        bins.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (grid, probabilities): (Vec<f32>, Vec<f64>) = bins.into_iter().unzip();
        let products = grid.iter().zip(&probabilities);
        let mean = products.map(|(value, p)| f64::from(*value) * p).sum();
        let quantile = |level| quantile(&grid, &probabilities, level);
        Distribution {
            mean,
            median: quantile(0.5),
            q16: quantile(0.16),
            q84: quantile(0.84),
            grid,
            probabilities,
        }
    }

    /// The probability below a value, the inverse of the quantiles.
    pub fn cdf(&self, value: f64) -> f64 {
        let mut below: Option<(f64, f64)> = None;
        let mut sum = 0.0;
        for (&bin, p) in self.grid.iter().zip(&self.probabilities) {
            let (bin, reached) = (f64::from(bin), sum + p / 2.0);
            if bin >= value {
                return match below {
                    Some((left, at)) => at + (reached - at) * (value - left) / (bin - left),
                    None if bin == value => reached,
                    None => 0.0,
                };
            }
            below = Some((bin, reached));
            sum += p;
        }
        1.0
    }
}

/// The value below which `level` of the probability lies: half of a bin's probability is taken to
/// lie on either side of its value, and values between bins are interpolated.
fn quantile(grid: &[f32], probabilities: &[f64], level: f64) -> f64 {
    let mut below: Option<(f64, f64)> = None;
    let mut sum = 0.0;
    for (&value, p) in grid.iter().zip(probabilities) {
        let (value, reached) = (f64::from(value), sum + p / 2.0);
        if reached >= level {
            return match below {
                Some((left, at)) if reached > at => {
                    left + (value - left) * (level - at) / (reached - at)
                }
                _ => value,
            };
        }
        below = Some((value, reached));
        sum += p;
    }
    below.map_or(f64::NAN, |(value, _)| value)
}

fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |logit: &f32| ((f64::from(*logit) - f64::from(largest)) / temperature).exp();
    let weights: Vec<f64> = logits.iter().map(exponential).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn running_sum(values: &[f64]) -> Vec<f64> {
    let sums = values.iter().scan(0.0, |sum, value| {
        *sum += value;
        Some(*sum)
    });
    sums.collect()
}

/// Spreads an object's number over all bits (SplitMix64), so that seeds of neighbours differ.
fn scramble(object: u64) -> u64 {
    let mut z = object.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_tokens_are_left_out_of_the_distribution() {
        let prediction = Prediction::new(4, vec![0.0, 2f32.ln(), 0.0, 50.0]);
        let found = prediction.distribution(&[1.0, 2.0, 3.0]).expect("a scalar");
        assert!((found.probabilities[1] - 0.5).abs() < 1e-6);
        assert!((found.mean - 2.0).abs() < 1e-6);
        assert!((found.median - 2.0).abs() < 1e-6);
        assert!((found.q84 + found.q16 - 4.0).abs() < 1e-6);
        assert!(found.q84 > 2.5 && found.q84 < 3.0);
    }

    #[test]
    fn the_cdf_inverts_the_quantiles() {
        let logits = [0.3, -1.0, 2.0, 0.5].to_vec();
        let found = Prediction::new(4, logits).distribution(&[0.0, 0.2, 0.3, 1.0]);
        let found = found.expect("a scalar");
        for (level, value) in [(0.16, found.q16), (0.5, found.median), (0.84, found.q84)] {
            assert!((found.cdf(value) - level).abs() < 1e-9, "{level}");
        }
        assert_eq!((found.cdf(-0.1), found.cdf(1.1)), (0.0, 1.0));
    }

    #[test]
    fn cross_entropy_is_minus_the_log_of_the_probability() {
        let prediction = Prediction::new(2, vec![0.0, 3f32.ln(), 900.0, 900.0]);
        let expected = 4f64.ln() + 2f64.ln();
        assert!((prediction.cross_entropy(&[0, 1]) - expected).abs() < 1e-6);
    }

    #[test]
    fn a_sharp_distribution_has_its_quantiles_together() {
        let prediction = Prediction::new(3, vec![-200.0, 0.0, -200.0]);
        let found = prediction.distribution(&[0.0, 0.5, 1.0]).expect("a scalar");
        assert!((found.median - 0.5).abs() < 1e-6);
        assert_eq!(prediction.argmax(), [1]);
    }

    #[test]
    fn samples_follow_the_probabilities_and_the_seed() {
        let prediction = Prediction::new(2, vec![0.0, 3f32.ln(), 0.0, 0.0]);
        let draws = prediction.sample(1.0, 4000, 1, 5);
        let ones = draws.iter().filter(|draw| draw[0] == 1).count() as f64;
        assert!((ones / 4000.0 - 0.75).abs() < 0.03, "{ones}");
        assert_eq!(draws, prediction.sample(1.0, 4000, 1, 5));
        assert_ne!(draws, prediction.sample(1.0, 4000, 1, 6));
        assert_eq!(prediction.sample(0.0, 1, 0, 0), [[1, 0]]);
    }

    #[test]
    fn large_logits_stay_finite() {
        let found = Prediction::new(2, vec![1e30, 1e30]).probabilities();
        assert_eq!(found, [[0.5, 0.5]]);
    }
}
