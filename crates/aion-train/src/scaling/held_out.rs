//! The loss on objects that no run learned from.

use std::collections::BTreeMap;

use aion_model::Transformer;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::pretrain::{Pretraining, Validation};
use crate::step::Step;

/// Cross-entropy on the held-out set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Mean over all target tokens, nats: the L of the law.
    pub loss: f64,
    /// All means, nats, by their names in logs: `validation/<modality>` and `validation/mean/<over>`.
    pub means: BTreeMap<String, f64>,
}

impl HeldOut {
    /// Tests a model.
    ///
    /// # Errors
    /// The objects do not fit the model, or its loss is not finite.
    pub(super) fn of(model: &Transformer, set: &Validation) -> Result<Self, TrainError> {
        let means: BTreeMap<String, f64> = set.losses(model)?.into_iter().collect();
        let infinite = || TrainError::Scaling("a held-out loss is not finite".to_owned());
        let loss = means
            .get(Pretraining::HELD_OUT)
            .copied()
            .ok_or_else(infinite)?;
        Ok(HeldOut { loss, means })
    }
}
