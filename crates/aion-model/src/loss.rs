//! The training loss: cross-entropy of masked tokens, averaged over all of them (paper, section 4.2)
//! or over modalities (4M).

use std::collections::BTreeMap;

use aion_data::ModalityId;
use aion_kernel::layer::cross_entropy;
use burn::tensor::{Tensor, TensorData, activation};

use crate::error::ModelError;
use crate::transformer::Transformer;
use crate::visible::{Target, Targets, Visible, VisibleTokens, check_tokens};

/// A batch's loss.
#[derive(Debug, Clone)]
pub struct Loss {
    /// Mean cross-entropy over all target tokens, nats; a scalar to differentiate.
    pub mean: Tensor<1>,
    /// Mean over modalities of each one's mean cross-entropy: a number counts as much as an image. Its
    /// targets are smoothed as was asked for.
    pub balanced: Tensor<1>,
    /// Sum of the cross-entropy and number of tokens of each modality.
    pub by_modality: BTreeMap<ModalityId, (f64, usize)>,
}

impl Transformer {
    /// Cross-entropy of the target tokens, given those shown. Each object has a pair of both. Of a sequence the
    /// first token is given, and each other one follows from those before it.
    ///
    /// In [`Loss::balanced`], codes that are ordered are asked for with their neighbours: as a normal
    /// distribution with a standard deviation of `smoothing` codes, or alone where that is 0. A number's
    /// thousand codes, each told apart from all others, would need many examples before any is known; but a
    /// model held to smooth targets never learns that a few codes hold most objects.
    ///
    /// # Errors
    /// See [`Transformer::encode_visible`] and [`Transformer::decode`]; and a target's token is
    /// outside its vocabulary.
    pub fn loss(
        &self,
        shown: &[VisibleTokens],
        hidden: &[VisibleTokens],
        smoothing: f32,
    ) -> Result<Loss, ModelError> {
        for (object, tokens) in hidden.iter().enumerate() {
            for (&modality, tokens) in tokens {
                check_tokens(object, modality, tokens)?;
            }
        }
        let encoded = self.encode_visible(shown)?;
        let questions: Vec<Targets> = hidden.iter().map(questions).collect();
        let decoded = self.decode(&encoded, &questions)?;
        let mut answers: BTreeMap<ModalityId, Vec<i64>> = BTreeMap::new();
        for (modality, tokens) in hidden.iter().flatten() {
            let (_, tokens) = ask(*modality, tokens);
            let tokens = tokens.iter().map(|token| i64::from(*token));
            answers.entry(*modality).or_default().extend(tokens);
        }
        answers.retain(|_, tokens| !tokens.is_empty());
        let (mut sums, mut smooth) = (Vec::new(), Vec::new());
        for (modality, tokens) in &answers {
            let logits = self.logits(&decoded, *modality)?;
            let sum = cross_entropy(logits.clone(), tokens);
            smooth.push(if smoothing > 0.0 && modality.info().is_number() {
                smoothed(activation::log_softmax(logits, 1), tokens, smoothing)
            } else {
                sum.clone()
            });
            sums.push(sum);
        }
        let count: usize = answers.values().map(Vec::len).sum();
        let sums = Tensor::cat(sums, 0);
        let values = sums.clone().detach().into_data();
        let by_modality = answers
            .iter()
            .zip(values.iter::<f64>())
            .map(|((modality, tokens), sum)| (*modality, (sum, tokens.len())))
            .collect();
        let shares: Vec<f32> = answers
            .values()
            .map(|tokens| 1.0 / (tokens.len() * answers.len()) as f32)
            .collect();
        let shares = Tensor::from_floats(shares.as_slice(), &sums.device());
        Ok(Loss {
            balanced: (Tensor::cat(smooth, 0) * shares).sum(),
            mean: sums.sum() / count as f64,
            by_modality,
        })
    }
}

fn questions(hidden: &VisibleTokens) -> Targets {
    let questions = hidden.iter();
    questions
        .map(|(modality, tokens)| (*modality, ask(*modality, tokens).0))
        .collect()
}

/// What is asked for the hidden tokens of a modality, and the answers.
fn ask(modality: ModalityId, hidden: &Visible) -> (Target, &[u16]) {
    let Visible { positions, tokens } = hidden;
    if !modality.info().is_sequence() {
        return (Target::At(positions.clone()), tokens);
    }
    let before = tokens.len().saturating_sub(1);
    let after = tokens.get(1..).unwrap_or_default();
    (Target::After(tokens[..before].to_vec()), after)
}

/// Minus the log-probabilities of normal distributions over the codes around each token, with a standard
/// deviation of `width` codes, summed over rows: `(rows, vocabulary)` → `(1)`.
fn smoothed(log: Tensor<2>, tokens: &[i64], width: f32) -> Tensor<1> {
    let [rows, vocabulary] = log.dims();
    let mut targets = Vec::with_capacity(rows * vocabulary);
    for &token in tokens {
        let weight = |code: usize| {
            let distance = (code as f32 - token as f32) / width;
            (-0.5 * distance * distance).exp()
        };
        let total: f32 = (0..vocabulary).map(weight).sum();
        targets.extend((0..vocabulary).map(|code| weight(code) / total));
    }
    let targets = TensorData::new(targets, [rows, vocabulary]);
    -(log.clone() * Tensor::from_data(targets, &log.device())).sum()
}
