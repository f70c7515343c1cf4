//! Which tokens of an object the model sees and which it has to predict.
//!
//! [`aion`] draws as AION-1 does (paper §4.2), in two readings of what is not published; [`dirichlet`] as 4M
//! does. [`statistics`] counts what a sampler feeds. Positions of the chosen tokens are drawn uniformly,
//! and no token is both input and target.
//!
//! Sequences of varying length (catalogues) are input only, as a whole or not at all, unless
//! [`MaskConfig::spans`] has spans of them hidden and predicted ([`spans`]).

mod aion;
mod dirichlet;
mod draws;
pub mod spans;
pub mod statistics;

use std::collections::BTreeMap;

use aion_data::{ModalityId, ObjectTokens};
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use spans::Spans;

/// Numbers of tokens of an object, or positions of some of them, by modality.
pub type ByModality<T> = BTreeMap<ModalityId, T>;

/// The largest Beta parameter; beyond it the sampler would reject nearly every draw.
const LARGEST_BETA: f64 = 4.0;
/// The largest Dirichlet parameter; far beyond 10 shares are equal.
const LARGEST_ALPHA: f64 = 1000.0;

/// Settings of the sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// How numbers of tokens are drawn.
    pub sampler: Sampler,
    /// Most tokens given to the encoder.
    pub input_budget: usize,
    /// Most tokens to be predicted.
    pub target_budget: usize,
    /// Of AION's samplers, parameters of the Beta distribution of target fractions; not published, these
    /// are ours.
    pub target_beta: [f64; 2],
    /// Of AION's samplers, the chance that a modality is kept out of an object's input altogether; ours. (Absent
    /// from run files that do without.)
    #[serde(skip_serializing_if = "is_zero")]
    pub withheld: f64,
    /// Sequences are predicted too, span by span; else they are input only. (Absent from run files that were
    /// written before, and from those that do without.)
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub spans: bool,
    /// Of 4M's sampler, concentrations, one of which is drawn for each object: small ones choose few
    /// modalities, large ones share evenly. These are those of 4M-21.
    pub dirichlet_alphas: Vec<f64>,
}

fn is_zero(chance: &f64) -> bool {
    *chance == 0.0
}

/// How numbers of tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampler {
    /// One modality gives a uniform number, the rest of the input is uniform over the tokens of all others.
    #[default]
    Aion,
    /// One modality gives a uniform number, then each other one in random order.
    AionOrdered,
    /// Budgets are shared by a draw from a Dirichlet distribution.
    Dirichlet,
}

impl Sampler {
    /// All of them.
    pub const ALL: [Sampler; 3] = [Sampler::Aion, Sampler::AionOrdered, Sampler::Dirichlet];

    /// The name in run files.
    pub const fn name(self) -> &'static str {
        match self {
            Sampler::Aion => "aion",
            Sampler::AionOrdered => "aion-ordered",
            Sampler::Dirichlet => "dirichlet",
        }
    }
}

impl Default for MaskConfig {
    fn default() -> Self {
        MaskConfig {
            sampler: Sampler::default(),
            input_budget: 256,
            target_budget: 128,
            target_beta: [0.5, 1.0],
            withheld: 0.0,
            spans: false,
            dirichlet_alphas: vec![0.01, 0.1, 1.0, 10.0],
        }
    }
}

/// Positions of an object's tokens, ascending; no position is in both. Sequences of which spans are hidden
/// are in `spans` alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mask {
    /// What the encoder sees.
    pub input: ByModality<Vec<u16>>,
    /// What is to be predicted.
    pub target: ByModality<Vec<u16>>,
    /// Both of sequences.
    pub spans: ByModality<Spans>,
}

impl Mask {
    /// Number of tokens of a modality that the encoder sees, sentinels included.
    pub fn num_shown(&self, id: ModalityId) -> usize {
        let spans = self.spans.get(&id).map(|spans| spans.shown.len());
        spans.unwrap_or_else(|| self.input.get(&id).map_or(0, Vec::len))
    }

    /// Number of tokens of a modality that are to be predicted, sentinels included.
    pub fn num_predicted(&self, id: ModalityId) -> usize {
        let spans = self.spans.get(&id).map(Spans::predicted);
        spans.unwrap_or_else(|| self.target.get(&id).map_or(0, Vec::len))
    }
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
        let beyond = |most: f64| move |value: &f64| !(*value > 0.0 && *value <= most);
        if self.target_beta.iter().any(beyond(LARGEST_BETA)) {
            let found = self.target_beta;
            let reason =
                format!("is {found:?}, expected two numbers above 0, at most {LARGEST_BETA}");
            return Err(TrainError::config("mask.target_beta", reason));
        }
        if !(0.0..1.0).contains(&self.withheld) {
            let reason = format!("is {}, expected at least 0, below 1", self.withheld);
            return Err(TrainError::config("mask.withheld", reason));
        }
        let alphas = &self.dirichlet_alphas;
        if alphas.is_empty() || alphas.iter().any(beyond(LARGEST_ALPHA)) {
            let reason =
                format!("is {alphas:?}, expected numbers above 0, at most {LARGEST_ALPHA}");
            return Err(TrainError::config("mask.dirichlet_alphas", reason));
        }
        Ok(())
    }

    /// Whether a mask can be drawn for an object: it has a token to predict, and another one to predict it
    /// from.
    pub fn can_use(&self, tokens: &ObjectTokens) -> bool {
        self.can_mask(&counts(tokens))
    }

    fn can_mask(&self, counts: &ByModality<usize>) -> bool {
        let parts = counts.iter().filter(|(id, _)| !self.is_whole(**id));
        let fits = |(id, count): (&ModalityId, &usize)| {
            self.is_whole(*id) && (1..=self.input_budget).contains(count)
        };
        match parts.map(|(_, count)| count).sum::<usize>() {
            0 => false,
            1 => counts.iter().any(fits),
            _ => true,
        }
    }

    /// Whether a modality is shown whole or not at all, and never predicted.
    fn is_whole(&self, id: ModalityId) -> bool {
        id.info().is_sequence() && !self.spans
    }

    /// How many tokens of a modality can be predicted when `input` of its `count` are shown. The end of a
    /// sequence is one of them.
    fn predictable(&self, id: ModalityId, count: usize, input: usize) -> usize {
        match count.saturating_sub(input) {
            _ if self.is_whole(id) => 0,
            left if left > 0 && id.info().is_sequence() => left + 1,
            left => left,
        }
    }

    /// Draws a mask for an object with these numbers of tokens. `None` when the object has nothing
    /// to predict something from: no token that can be predicted, or no other token beside it.
    pub fn draw(&self, counts: &ByModality<usize>, rng: &mut ChaCha8Rng) -> Option<Mask> {
        if !self.can_mask(counts) {
            return None;
        }
        let drawn = match self.sampler {
            Sampler::Aion | Sampler::AionOrdered => aion::draw(self, counts, rng)?,
            Sampler::Dirichlet => dirichlet::draw(self, counts, rng)?,
        };
        Some(drawn.place(self, counts, rng))
    }
}

/// Numbers of tokens on both sides.
struct Drawn {
    input: ByModality<usize>,
    target: ByModality<usize>,
}

impl Drawn {
    /// Chooses the positions.
    fn place(&self, config: &MaskConfig, counts: &ByModality<usize>, rng: &mut ChaCha8Rng) -> Mask {
        let mut mask = Mask::default();
        for (id, count) in counts {
            let taken = self.input.get(id).copied().unwrap_or(0);
            let wanted = self.target.get(id).copied().unwrap_or(0);
            if id.info().is_sequence() && config.spans {
                if taken + wanted > 0 {
                    let spans = Spans::draw(*count, taken, wanted, rng);
                    mask.spans.insert(*id, spans);
                }
                continue;
            }
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
        mask
    }
}

/// Number of tokens of each modality that an object has.
pub(crate) fn counts(tokens: &ObjectTokens) -> ByModality<usize> {
    let present = tokens.iter().filter(|(_, tokens)| !tokens.is_empty());
    present.map(|(id, tokens)| (*id, tokens.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};
    use proptest::prelude::*;

    fn shown(mask: &Mask) -> usize {
        ModalityId::all().map(|id| mask.num_shown(id)).sum()
    }

    fn predicted(mask: &Mask) -> usize {
        ModalityId::all().map(|id| mask.num_predicted(id)).sum()
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

    fn sampler() -> impl Strategy<Value = Sampler> {
        proptest::sample::select(&Sampler::ALL[..])
    }

    proptest! {
        #[test]
        fn keeps_its_promises(
            counts in counts(),
            sampler in sampler(),
            spans: bool,
            withheld in 0.0..0.99,
            seed: u64,
            input in 1usize..300,
            target in 1usize..200,
        ) {
            let config = MaskConfig {
                sampler,
                spans,
                withheld,
                input_budget: input,
                target_budget: target,
                ..MaskConfig::default()
            };
            let mask = config.draw(&counts, &mut stream(seed, Purpose::Mask, 0));
            prop_assert_eq!(mask.is_some(), config.can_mask(&counts));
            let Some(mask) = mask else { return Ok(()) };
            let again = config.draw(&counts, &mut stream(seed, Purpose::Mask, 0));
            prop_assert_eq!(Some(&mask), again.as_ref());
            prop_assert!((1..=input).contains(&shown(&mask)));
            prop_assert!((1..=target).contains(&predicted(&mask)));
            prop_assert!(spans || mask.spans.is_empty());
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
        for sampler in Sampler::ALL {
            each_is_seen_and_predicted(sampler, false, &counts);
            each_is_seen_and_predicted(sampler, true, &counts);
        }
    }

    fn each_is_seen_and_predicted(sampler: Sampler, spans: bool, counts: &ByModality<usize>) {
        let config = MaskConfig {
            sampler,
            spans,
            ..MaskConfig::default()
        };
        let mut seen = ByModality::<(usize, usize)>::new();
        for position in 0..400 {
            let mut rng = stream(1, Purpose::Mask, position);
            let mask = config.draw(counts, &mut rng);
            let mask = mask.expect("the object has many tokens");
            for id in counts.keys() {
                let of = seen.entry(*id).or_default();
                of.0 += usize::from(mask.num_shown(*id) > 0);
                of.1 += usize::from(mask.num_predicted(*id) > 0);
            }
        }
        for id in counts.keys() {
            let (input, target) = seen[id];
            assert!(input > 40, "{sampler:?}: {id} was input {input} times");
            assert!(
                if config.is_whole(*id) {
                    target == 0
                } else {
                    target > 40
                },
                "{sampler:?}: {id}: {target}"
            );
        }
    }

    #[test]
    fn withheld_modalities_are_asked_for_unseen() {
        let keys = ["tok_image", "tok_spectrum_sdss", "tok_z"];
        let counts: ByModality<usize> = keys
            .iter()
            .filter_map(|key| ModalityId::from_key(key))
            .map(|id| (id, id.info().num_tokens()))
            .collect();
        let spectrum = ModalityId::from_key("tok_spectrum_sdss").expect("a known key");
        for sampler in [Sampler::Aion, Sampler::AionOrdered] {
            let unseen = |withheld| {
                let config = MaskConfig {
                    sampler,
                    withheld,
                    ..MaskConfig::default()
                };
                let asked = |position: &u64| {
                    let mask = config.draw(&counts, &mut stream(3, Purpose::Mask, *position));
                    let mask = mask.expect("the object has many tokens");
                    mask.num_shown(spectrum) == 0 && mask.num_predicted(spectrum) > 0
                };
                (0..400).filter(asked).count()
            };
            let (never, half) = (unseen(0.0), unseen(0.5));
            assert!(never < 20 && half > 100, "{sampler:?}: {never}, {half}");
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
        let config = MaskConfig {
            spans: true,
            ..MaskConfig::default()
        };
        assert_eq!(config.draw(&single("catalog", 1), &mut rng), None);
        assert!(config.draw(&single("catalog", 20), &mut rng).is_some());
    }
}
