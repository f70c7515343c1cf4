//! Masked pretraining of the transformer: predict some tokens from others (paper §4).

use std::collections::BTreeMap;

use aion_data::{ModalityId, ObjectTokens};
use aion_model::sequence::SequenceToken;
use aion_model::{Transformer, Visible, VisibleTokens};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::config::Balance;
use crate::data::mixture::Mixture;
use crate::error::TrainError;
use crate::masking::spans::Piece;
use crate::masking::{ByModality, MaskConfig, counts};
use crate::plan::work::Work;
use crate::random::{Purpose, stream};
use crate::step::{Step, StepLoss};

/// What the encoder is shown of each object, and what is to be predicted.
pub type Masked = (Vec<VisibleTokens>, Vec<VisibleTokens>);

/// The task.
#[derive(Debug)]
pub struct Pretraining {
    /// What is learned from.
    pub examples: Mixture,
    /// What is watched.
    pub validation: Validation,
    /// How masks are drawn.
    pub mask: MaskConfig,
    /// What counts alike in the loss.
    pub balance: Balance,
    /// How smooth the targets are.
    pub smoothing: Smoothing,
    /// Objects in a batch.
    pub batch: u64,
    /// Seed of order and masks.
    pub seed: u64,
}

/// Width of smoothed targets: it shrinks evenly and is gone after half of the run, so that a model learns
/// first where codes lie and then which of them there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smoothing {
    /// Standard deviation at the start, in codes.
    pub width: f32,
    /// Batches in the run.
    pub batches: u64,
}

impl Smoothing {
    /// The width for the batch at `position`, in codes.
    pub fn at(&self, position: u64) -> f32 {
        let done = position as f64 / self.batches.max(1) as f64;
        self.width * (1.0 - 2.0 * done).max(0.0) as f32
    }
}

impl Step for Pretraining {
    type Model = Transformer;
    /// Masked objects, and the width of their smoothed targets in codes.
    type Batch = (Masked, f32);

    const HELD_OUT: &'static str = "validation/mean/token";

    fn batch(&self, position: u64) -> Result<(Masked, f32), TrainError> {
        let samples = position * self.batch..(position + 1) * self.batch;
        let objects: Result<Vec<(u64, ObjectTokens)>, TrainError> = samples
            .map(|sample| Ok((sample, self.examples.get(sample)?)))
            .collect();
        let masked = |(sample, tokens): (u64, ObjectTokens)| {
            let mut rng = stream(self.seed, Purpose::Mask, sample);
            pair(&self.mask, &tokens, &mut rng)
        };
        let objects = objects?.into_par_iter().filter_map(masked).unzip();
        Ok((objects, self.smoothing.at(position)))
    }

    fn loss(
        &self,
        model: &Transformer,
        ((shown, hidden), smoothing): (Masked, f32),
    ) -> Result<StepLoss, TrainError> {
        let objects = hidden.len();
        let pairs = shown.iter().zip(&hidden);
        let work = pairs.map(|(shown, hidden)| Work::of_object(model.config(), shown, hidden));
        let operations = work.map(|work| work.training(model.recomputes())).sum();
        let loss = model.loss(&shown, &hidden, smoothing)?;
        let seen: usize = shown.iter().flatten().map(|(_, tokens)| tokens.len()).sum();
        let mut sums = Sums::default();
        sums.add(&loss.by_modality);
        let mut terms = sums.means("");
        let (sum, targets) = sums.total();
        // The paper divides by the budget, whether targets fill it or not.
        let budget = (objects * self.mask.target_budget) as f64;
        terms.push(("mean/budget".to_owned(), sum / budget));
        Ok(StepLoss {
            total: match self.balance {
                Balance::Token => loss.mean,
                Balance::Modality => loss.balanced,
            },
            terms,
            weight: match self.balance {
                Balance::Token => targets as f64,
                Balance::Modality => 1.0,
            },
            tokens: (seen + targets) as u64,
            operations,
        })
    }

    fn validate(&self, model: &Transformer) -> Result<Vec<(String, f64)>, TrainError> {
        self.validation.losses(model)
    }
}

/// Objects with masks that stay the same, so that losses at different steps can be compared.
#[derive(Debug, Default)]
pub struct Validation {
    batches: Vec<Masked>,
}

impl Validation {
    /// Draws the masks of the first `objects` samples of a stream, or of one round if it has fewer, in
    /// batches of `batch`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(
        examples: &Mixture,
        mask: &MaskConfig,
        (objects, batch, seed): (u64, u64, u64),
    ) -> Result<Self, TrainError> {
        let mut masked = Vec::new();
        for sample in 0..objects.min(examples.len()) {
            let tokens = examples.get(sample)?;
            let mut rng = stream(seed, Purpose::Validation, sample);
            masked.extend(pair(mask, &tokens, &mut rng));
        }
        let batches = masked.chunks(batch.max(1) as usize);
        Ok(Validation {
            batches: batches.map(|batch| batch.iter().cloned().unzip()).collect(),
        })
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Cross-entropy on all objects, nats: `validation/<modality>`, and the means over tokens and
    /// modalities. Gradients are not kept.
    ///
    /// # Errors
    /// The objects do not fit the model.
    pub fn losses(&self, model: &Transformer) -> Result<Vec<(String, f64)>, TrainError> {
        let mut sums = Sums::default();
        for (shown, hidden) in &self.batches {
            sums.add(&model.loss(shown, hidden, 0.0)?.by_modality);
        }
        Ok(sums.means("validation/"))
    }
}

/// Sums of cross-entropy and numbers of tokens.
#[derive(Debug, Default)]
struct Sums(BTreeMap<ModalityId, (f64, usize)>);

impl Sums {
    fn add(&mut self, sums: &BTreeMap<ModalityId, (f64, usize)>) {
        for (id, (sum, count)) in sums {
            let total = self.0.entry(*id).or_default();
            *total = (total.0 + sum, total.1 + count);
        }
    }

    fn total(&self) -> (f64, usize) {
        let add = |a: (f64, usize), b: &(f64, usize)| (a.0 + b.0, a.1 + b.1);
        self.0.values().fold((0.0, 0), add)
    }

    /// The mean of each modality, over all tokens (`mean/token`), and over modalities (`mean/modality`).
    fn means(&self, prefix: &str) -> Vec<(String, f64)> {
        let mean = |(sum, count): (f64, usize)| sum / count as f64;
        let each = self.0.iter().map(|(id, sums)| (id.key(), mean(*sums)));
        let modalities = each.clone().map(|(_, mean)| mean).sum::<f64>() / self.0.len() as f64;
        let all = [
            ("mean/token", mean(self.total())),
            ("mean/modality", modalities),
        ];
        let named = each.chain(all);
        named
            .map(|(name, value)| (format!("{prefix}{name}"), value))
            .filter(|(_, value)| value.is_finite())
            .collect()
    }
}

/// What of an object is shown and what is predicted, by a mask drawn for it; none where nothing can be
/// predicted from anything.
fn pair(
    mask: &MaskConfig,
    tokens: &ObjectTokens,
    rng: &mut ChaCha8Rng,
) -> Option<(VisibleTokens, VisibleTokens)> {
    let mask = mask.draw(&counts(tokens), rng)?;
    let mut shown = pick(tokens, &mask.input);
    let mut hidden = pick(tokens, &mask.target);
    for (id, spans) in &mask.spans {
        let codes = tokens.get(id)?;
        let tokens = |pieces: &[Piece], entry: &dyn Fn(SequenceToken) -> u16| {
            let tokens = pieces.iter().filter_map(|piece| piece.token(codes));
            Visible::all(&tokens.map(entry).collect::<Vec<u16>>())
        };
        shown.insert(*id, tokens(&spans.shown, &|token| token.shown(*id)));
        hidden.insert(*id, tokens(&spans.said, &SequenceToken::said));
    }
    for side in [&mut shown, &mut hidden] {
        side.retain(|_, tokens| !tokens.is_empty());
    }
    Some((shown, hidden))
}

/// The tokens at some positions.
fn pick(tokens: &ObjectTokens, positions: &ByModality<Vec<u16>>) -> VisibleTokens {
    let visible = |id: &ModalityId, positions: &Vec<u16>| {
        let tokens = tokens.get(id)?;
        let at = |position: &u16| tokens.get(usize::from(*position)).copied();
        Some(Visible {
            tokens: positions.iter().filter_map(at).collect(),
            positions: positions.clone(),
        })
    };
    let picked = positions.iter();
    picked
        .filter_map(|(id, positions)| Some((*id, visible(id, positions)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_sharp_after_half_of_the_run() {
        let smoothing = Smoothing {
            width: 12.0,
            batches: 100,
        };
        let widths = [0, 25, 50, 99].map(|position| smoothing.at(position));
        assert_eq!(widths, [12.0, 6.0, 0.0, 0.0]);
    }
}
