//! The training loss: cross-entropy of masked tokens, averaged over all of them (paper, section 4.2)
//! or over modalities (4M).

use std::collections::BTreeMap;

use aion_data::ModalityId;
use burn::tensor::{Tensor, activation};

use crate::error::ModelError;
use crate::layout::indices;
use crate::transformer::Transformer;
use crate::visible::{Targets, VisibleTokens, check_tokens};

/// A batch's loss.
#[derive(Debug, Clone)]
pub struct Loss {
    /// Mean cross-entropy over all target tokens, nats; a scalar to differentiate.
    pub mean: Tensor<1>,
    /// Mean over modalities of each one's mean cross-entropy: a number counts as much as an image,
    /// which a small model that sees few objects needs to learn it at all.
    pub balanced: Tensor<1>,
    /// Sum of the cross-entropy and number of tokens of each modality.
    pub by_modality: BTreeMap<ModalityId, (f64, usize)>,
}

impl Transformer {
    /// Cross-entropy of the target tokens, given those shown. Each object has a pair of both.
    ///
    /// # Errors
    /// See [`Transformer::encode_visible`] and [`Transformer::decode`]; and a target's token is
    /// outside its vocabulary.
    pub fn loss(
        &self,
        shown: &[VisibleTokens],
        hidden: &[VisibleTokens],
    ) -> Result<Loss, ModelError> {
        for (object, tokens) in hidden.iter().enumerate() {
            for (&modality, tokens) in tokens {
                check_tokens(object, modality, tokens)?;
            }
        }
        let encoded = self.encode_visible(shown)?;
        let questions: Vec<Targets> = hidden.iter().map(positions).collect();
        let decoded = self.decode(&encoded, &questions)?;
        let mut answers: BTreeMap<ModalityId, Vec<i64>> = BTreeMap::new();
        for (modality, tokens) in hidden.iter().flatten() {
            let tokens = tokens.tokens.iter().map(|token| i64::from(*token));
            answers.entry(*modality).or_default().extend(tokens);
        }
        answers.retain(|_, tokens| !tokens.is_empty());
        let mut sums = Vec::with_capacity(answers.len());
        for (modality, tokens) in &answers {
            let logits = self.logits(&decoded, *modality)?;
            sums.push(cross_entropy(logits, tokens.clone()));
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
            balanced: (sums.clone() * shares).sum(),
            mean: sums.sum() / count as f64,
            by_modality,
        })
    }
}

fn positions(tokens: &VisibleTokens) -> Targets {
    let positions = tokens.iter();
    positions
        .map(|(modality, tokens)| (*modality, tokens.positions.clone()))
        .collect()
}

/// Summed over rows: `(rows, vocabulary)` → `(1)`.
fn cross_entropy(logits: Tensor<2>, tokens: Vec<i64>) -> Tensor<1> {
    let device = logits.device();
    let tokens = indices(tokens, &device).unsqueeze_dim(1);
    -activation::log_softmax(logits, 1).gather(1, tokens).sum()
}
