//! The loss on objects that were not learned from.

use std::collections::BTreeMap;

use aion_model::Transformer;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::masking::MaskConfig;
use crate::pretrain::TokenSet;

/// What [`evaluate`] finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Mean cross-entropy over all target tokens, nats.
    pub loss: f64,
    /// Target tokens.
    pub tokens: u64,
    /// Mean cross-entropy of each modality, by token key, nats.
    pub by_modality: BTreeMap<String, f64>,
}

/// The loss over all objects of a set, `batch` at a time, one mask an object. Masks depend on `seed`
/// and the object's place alone, so that all models are asked the same.
///
/// # Errors
/// The objects do not fit the model.
pub fn evaluate(
    model: &Transformer,
    set: &TokenSet,
    mask: &MaskConfig,
    batch: u64,
    seed: u64,
) -> Result<HeldOut, TrainError> {
    let mut sums: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    let places: Vec<u64> = (0..set.len() as u64).collect();
    for chunk in places.chunks(batch.max(1) as usize) {
        let pairs = chunk.iter().filter_map(|place| {
            let tokens = set.objects().get(*place as usize)?;
            mask.pair(tokens, seed, *place)
        });
        let (shown, hidden): (Vec<_>, Vec<_>) = pairs.unzip();
        for (id, (sum, count)) in model.loss(&shown, &hidden)?.by_modality {
            let so_far = sums.entry(id.to_string()).or_default();
            so_far.0 += sum;
            so_far.1 += count;
        }
    }
    let tokens: usize = sums.values().map(|(_, count)| count).sum();
    let total: f64 = sums.values().map(|(sum, _)| sum).sum();
    Ok(HeldOut {
        loss: total / tokens as f64,
        tokens: tokens as u64,
        by_modality: sums
            .into_iter()
            .map(|(key, (sum, count))| (key, sum / count as f64))
            .collect(),
    })
}
