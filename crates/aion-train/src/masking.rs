//! Which tokens of an object the model sees and which it has to predict (paper §4.2).
//!
//! Input: one modality, chosen at random, gives a uniform number of its tokens; the rest of the
//! input budget is filled uniformly from the tokens of the others, so that large modalities fill
//! it and small ones still appear. Targets: one modality with tokens left and then the others, in
//! random order, each give a Beta-distributed fraction of what is left, skewed towards few.
//!
//! Sequences of varying length (catalogues) are input only, as a whole or not at all.

use std::collections::BTreeMap;

use aion_data::ModalityId;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Numbers of tokens of an object, or positions of some of them, by modality.
pub type ByModality<T> = BTreeMap<ModalityId, T>;

/// The largest Beta parameter; beyond it the sampler would reject nearly every draw.
const LARGEST_BETA: f64 = 4.0;

/// Settings of the sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// Most tokens given to the encoder.
    pub input_budget: usize,
    /// Most tokens to be predicted.
    pub target_budget: usize,
    /// Parameters of the Beta distribution of target fractions; not published, these are ours.
    pub target_beta: [f64; 2],
}

impl Default for MaskConfig {
    fn default() -> Self {
        MaskConfig {
            input_budget: 256,
            target_budget: 128,
            target_beta: [0.5, 1.0],
        }
    }
}

/// Positions of an object's tokens, ascending; no position is in both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mask {
    /// What the encoder sees.
    pub input: ByModality<Vec<u16>>,
    /// What is to be predicted.
    pub target: ByModality<Vec<u16>>,
}

impl MaskConfig {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        for (key, budget) in [
            ("mask.input_budget", self.input_budget),
            ("mask.target_budget", self.target_budget),
        ] {
            if budget == 0 {
                return Err(TrainError::config(key, "is 0, expected at least 1"));
            }
        }
        let fine = |beta: &f64| *beta > 0.0 && *beta <= LARGEST_BETA;
        if self.target_beta.iter().all(fine) {
            return Ok(());
        }
        let reason = format!(
            "is {:?}, expected two numbers above 0, at most {LARGEST_BETA}",
            self.target_beta
        );
        Err(TrainError::config("mask.target_beta", reason))
    }

    /// Draws a mask for an object with these numbers of tokens. `None` when the object has nothing
    /// to predict something from: no token of a grid, or no other token beside it.
    pub fn draw(&self, counts: &ByModality<usize>, rng: &mut ChaCha8Rng) -> Option<Mask> {
        let input = self.input_counts(counts, rng)?;
        let left = |id: &ModalityId, count: usize| count - input.get(id).copied().unwrap_or(0);
        let remaining: Vec<(ModalityId, usize)> = counts
            .iter()
            .filter(|(id, _)| !id.info().is_sequence())
            .map(|(id, count)| (*id, left(id, *count)))
            .filter(|(_, left)| *left > 0)
            .collect();
        let target = self.target_counts(remaining, rng);
        let mut mask = Mask::default();
        for (id, count) in counts {
            let taken = input.get(id).copied().unwrap_or(0);
            let wanted = target.get(id).copied().unwrap_or(0);
            let chosen = index::sample(rng, *count, taken + wanted).into_vec();
            let (seen, predicted) = chosen.split_at(taken);
            for (side, positions) in [(&mut mask.input, seen), (&mut mask.target, predicted)] {
                let mut positions: Vec<u16> = positions.iter().map(|p| *p as u16).collect();
                positions.sort_unstable();
                if !positions.is_empty() {
                    side.insert(*id, positions);
                }
            }
        }
        Some(mask)
    }

    fn input_counts(
        &self,
        counts: &ByModality<usize>,
        rng: &mut ChaCha8Rng,
    ) -> Option<ByModality<usize>> {
        let (sequences, grids): (Vec<_>, Vec<_>) = counts
            .iter()
            .map(|(id, count)| (*id, *count))
            .filter(|(_, count)| *count > 0)
            .partition(|(id, _)| id.info().is_sequence());
        // At least one token of a grid has to stay, to be predicted.
        let spare: usize = grids.iter().map(|(_, count)| count).sum::<usize>();
        let mut spare = spare.checked_sub(1)?;
        let mut left = self.input_budget;
        let mut input = ByModality::new();
        let present: Vec<_> = grids.iter().chain(&sequences).copied().collect();
        let (first, available) = *present.choose(rng)?;
        let most = available.min(left).min(spare);
        if !first.info().is_sequence() && most > 0 {
            let count = rng.random_range(1..=most);
            input.insert(first, count);
            left -= count;
            spare -= count;
        }
        let pool: Vec<_> = present
            .iter()
            .copied()
            .filter(|(id, _)| *id != first)
            .collect();
        let mut pool_size: usize = pool.iter().map(|(_, count)| count).sum();
        for (id, count) in &sequences {
            // The chance that each of its tokens would have alone.
            let chance = (left as f64 / pool_size.max(1) as f64).min(1.0);
            let wanted = *id == first || spare == 0 || rng.random_bool(chance);
            if wanted && *count <= left {
                input.insert(*id, *count);
                left -= count;
            }
            if *id != first {
                pool_size -= count;
            }
        }
        let grids: Vec<_> = pool
            .into_iter()
            .filter(|(id, _)| !id.info().is_sequence())
            .collect();
        fill(&mut input, &grids, left.min(spare), rng);
        (!input.is_empty()).then_some(input)
    }

    fn target_counts(
        &self,
        mut remaining: Vec<(ModalityId, usize)>,
        rng: &mut ChaCha8Rng,
    ) -> ByModality<usize> {
        remaining.shuffle(rng);
        let mut left = self.target_budget;
        let mut target = ByModality::new();
        for (id, available) in remaining {
            let fraction = beta(self.target_beta, rng);
            let count = if target.is_empty() {
                let most = available.min(left);
                ((fraction * most as f64).round() as usize).max(1).min(most)
            } else {
                // Rounded at random: a single token is a target with probability `fraction`.
                let count = fraction * available as f64 + rng.random::<f64>();
                (count as usize).min(available).min(left)
            };
            target.insert(id, count);
            left -= count;
        }
        target
    }
}

/// Adds `wanted` tokens, each token of `pool` equally likely.
fn fill(
    input: &mut ByModality<usize>,
    pool: &[(ModalityId, usize)],
    wanted: usize,
    rng: &mut ChaCha8Rng,
) {
    let size: usize = pool.iter().map(|(_, count)| count).sum();
    let mut chosen = index::sample(rng, size, wanted.min(size)).into_vec();
    chosen.sort_unstable();
    let mut chosen = chosen.into_iter().peekable();
    let mut end = 0;
    for (id, count) in pool {
        end += count;
        let mut taken = 0;
        while chosen.next_if(|index| *index < end).is_some() {
            taken += 1;
        }
        if taken > 0 {
            input.insert(*id, taken);
        }
    }
}

/// A draw from Beta(a, b) (Jöhnk's method, fit for small parameters).
fn beta([a, b]: [f64; 2], rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let x = rng.random::<f64>().powf(1.0 / a);
        let y = rng.random::<f64>().powf(1.0 / b);
        let sum = x + y;
        if sum > 0.0 && sum <= 1.0 {
            return x / sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};
    use proptest::prelude::*;

    fn size(positions: &ByModality<Vec<u16>>) -> usize {
        positions.values().map(Vec::len).sum()
    }

    /// An object with a random set of modalities, catalogues of a random length.
    fn counts() -> impl Strategy<Value = ByModality<usize>> {
        let ids: Vec<ModalityId> = ModalityId::all().collect();
        proptest::sample::subsequence(ids, 1..12).prop_flat_map(|ids| {
            (1usize..=50).prop_map(move |rows| {
                let count = |id: &ModalityId| match id.info().is_sequence() {
                    true => rows,
                    false => id.info().num_tokens(),
                };
                ids.iter().map(|id| (*id, count(id))).collect()
            })
        })
    }

    proptest! {
        #[test]
        fn keeps_its_promises(counts in counts(), seed: u64, input in 1usize..300, target in 1usize..200) {
            let config = MaskConfig { input_budget: input, target_budget: target, ..MaskConfig::default() };
            let Some(mask) = config.draw(&counts, &mut stream(seed, Purpose::Mask, 0)) else {
                return Ok(());
            };
            let again = config.draw(&counts, &mut stream(seed, Purpose::Mask, 0));
            prop_assert_eq!(Some(&mask), again.as_ref());
            prop_assert!((1..=input).contains(&size(&mask.input)));
            prop_assert!((1..=target).contains(&size(&mask.target)));
            for (id, positions) in mask.input.iter().chain(&mask.target) {
                prop_assert!(positions.is_sorted_by(|a, b| a < b));
                prop_assert!(positions.iter().all(|position| usize::from(*position) < counts[id]));
            }
            for (id, positions) in &mask.target {
                prop_assert!(!id.info().is_sequence());
                let seen = mask.input.get(id).cloned().unwrap_or_default();
                prop_assert!(positions.iter().all(|position| !seen.contains(position)));
            }
            for (id, positions) in mask.input.iter().filter(|(id, _)| id.info().is_sequence()) {
                prop_assert_eq!(positions.len(), counts[id]);
            }
        }
    }

    #[test]
    fn every_modality_is_seen_and_predicted_sometimes() {
        let counts: ByModality<usize> = ["tok_image", "tok_z", "tok_flux_g", "catalog"]
            .iter()
            .filter_map(|key| ModalityId::from_key(key))
            .map(|id| (id, id.info().num_tokens()))
            .collect();
        let mut seen = ByModality::<(usize, usize)>::new();
        for position in 0..400 {
            let mut rng = stream(1, Purpose::Mask, position);
            let mask = MaskConfig::default().draw(&counts, &mut rng);
            let mask = mask.expect("the object has many tokens");
            for id in mask.input.keys() {
                seen.entry(*id).or_default().0 += 1;
            }
            for id in mask.target.keys() {
                seen.entry(*id).or_default().1 += 1;
            }
        }
        for id in counts.keys() {
            let (input, target) = seen[id];
            assert!(input > 40, "{id} was input {input} times");
            assert!(target > 40 || id.info().is_sequence(), "{id}: {target}");
        }
    }

    #[test]
    fn nothing_to_learn_gives_no_mask() {
        let single = |key: &str, count| {
            let id = ModalityId::from_key(key).expect("a known key");
            ByModality::from([(id, count)])
        };
        let mut rng = stream(0, Purpose::Mask, 0);
        let config = MaskConfig::default();
        assert_eq!(config.draw(&single("catalog", 20), &mut rng), None);
        assert_eq!(config.draw(&single("tok_z", 1), &mut rng), None);
        assert_eq!(config.draw(&ByModality::new(), &mut rng), None);
        assert!(config.draw(&single("tok_xp_bp", 55), &mut rng).is_some());
    }

    #[test]
    fn beta_has_the_right_mean() {
        let mut rng = stream(5, Purpose::Mask, 0);
        let mean = (0..20_000).map(|_| beta([0.5, 1.0], &mut rng)).sum::<f64>() / 20_000.0;
        assert!((mean - 1.0 / 3.0).abs() < 0.01, "{mean}");
    }
}
