//! The unigram: how often each code occurs in the training set, whatever else an object has.

use std::collections::BTreeMap;

use aion_data::{ModalityId, ObjectTokens};

/// Added to the count of every code, so that none is impossible.
const PSEUDO_COUNT: f64 = 0.5;
/// Standard deviations of the kernels, in codes, that counts of numbers are spread with over
/// neighbouring codes.
const BANDWIDTHS: [f64; 5] = [0.0, 2.0, 8.0, 32.0, 128.0];

/// Counts of codes by modality.
#[derive(Debug, Default)]
pub(super) struct Unigrams(BTreeMap<ModalityId, Vec<f64>>);

impl Unigrams {
    /// Counts an object's tokens, `times` times.
    pub fn add(&mut self, tokens: &ObjectTokens, times: u64) {
        for (id, tokens) in tokens {
            let counts = self.0.entry(*id);
            let counts = counts.or_insert_with(|| vec![0.0; id.info().vocabulary]);
            for token in tokens {
                if let Some(count) = counts.get_mut(usize::from(*token)) {
                    *count += times as f64;
                }
            }
        }
    }

    /// Minus the log-probability of each code, nats. Codes of numbers are ordered and there are few
    /// examples of each, so their counts are spread over neighbouring codes: with the one of
    /// [`BANDWIDTHS`] that does best on the very tokens that it is judged on, in the unigram's favour.
    pub fn costs<'a>(
        &self,
        id: ModalityId,
        judged: impl Iterator<Item = &'a u16> + Clone,
    ) -> Vec<f64> {
        let vocabulary = id.info().vocabulary;
        let none = vec![0.0; vocabulary];
        let counts = self.0.get(&id).unwrap_or(&none);
        let bandwidths = if id.info().is_number() {
            &BANDWIDTHS[..]
        } else {
            &[0.0][..]
        };
        let mut best = (f64::INFINITY, Vec::new());
        for bandwidth in bandwidths {
            let costs = costs(&spread(counts, *bandwidth));
            let cost = |token: &u16| costs.get(usize::from(*token)).copied().unwrap_or(0.0);
            let sum = judged.clone().map(cost).sum();
            if sum < best.0 {
                best = (sum, costs);
            }
        }
        best.1
    }
}

/// Counts spread with a normal kernel; what would leave the ends stays inside.
fn spread(counts: &[f64], bandwidth: f64) -> Vec<f64> {
    if bandwidth == 0.0 {
        return counts.to_vec();
    }
    let reach = (4.0 * bandwidth) as usize;
    let mut spread = vec![0.0; counts.len()];
    for (code, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let near = code.saturating_sub(reach)..(code + reach + 1).min(counts.len());
        let weight =
            |other: usize| (-0.5 * (other.abs_diff(code) as f64 / bandwidth).powi(2)).exp();
        let total: f64 = near.clone().map(weight).sum();
        for other in near {
            spread[other] += count * weight(other) / total;
        }
    }
    spread
}

fn costs(counts: &[f64]) -> Vec<f64> {
    let total: f64 = counts.iter().map(|count| count + PSEUDO_COUNT).sum();
    let cost = |count: &f64| -((count + PSEUDO_COUNT) / total).ln();
    counts.iter().map(cost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> ModalityId {
        ModalityId::from_key(key).expect("a known key")
    }

    #[test]
    fn frequencies_become_costs_that_are_probabilities() {
        let spectrum = key("tok_spectrum_desi");
        let mut unigrams = Unigrams::default();
        unigrams.add(&ObjectTokens::from([(spectrum, vec![3, 3, 3, 7])]), 2);
        let costs = unigrams.costs(spectrum, [3].iter());
        let sum: f64 = costs.iter().map(|cost| (-cost).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert!((costs[3] + (6.5_f64 / (8.0 + 512.0)).ln()).abs() < 1e-9);
        assert!(costs[3] < costs[7] && costs[7] < costs[8]);
    }

    #[test]
    fn numbers_lend_to_their_neighbours_where_that_helps() {
        let flux = key("tok_flux_r");
        let mut unigrams = Unigrams::default();
        for token in (100..200).step_by(10) {
            unigrams.add(&ObjectTokens::from([(flux, vec![token])]), 1);
        }
        let between = unigrams.costs(flux, [145].iter());
        assert!(between[145] < between[600]);
        let at = unigrams.costs(flux, [150].iter());
        assert!(at[150] < between[150]);
        for costs in [between, at] {
            let sum: f64 = costs.iter().map(|cost| (-cost).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn what_was_never_seen_is_even() {
        let costs = Unigrams::default().costs(key("tok_z"), [0].iter());
        assert!(costs.iter().all(|cost| (cost - 1025_f64.ln()).abs() < 1e-9));
    }
}
