//! What each sampler would feed a run, counted on its own objects.

use crate::config::RunConfig;
use crate::data::token_data::{self, TokenData};
use crate::error::TrainError;
use crate::masking::statistics::MaskStatistics;
use crate::masking::{MaskConfig, Sampler, counts};
use crate::random::{Purpose, stream};

/// Draws masks for the first `objects` samples of a run's training set with every sampler, at the run's
/// budgets. The run's own sampler comes first.
///
/// # Errors
/// The run trains no model or has no sets of tokens; they cannot be read.
pub fn mask_report(config: &RunConfig, objects: u64) -> Result<Vec<MaskStatistics>, TrainError> {
    let Some(task) = config.model.as_ref() else {
        let reason = "the run trains no model, so it has no masks";
        return Err(TrainError::config("model", reason));
    };
    if config.data.tokens.is_empty() {
        let reason = "masks are counted on sets of tokens; the run file names none";
        return Err(TrainError::config("data.tokens", reason));
    }
    let indexes = token_data::index(&config.data, task.token_codecs(&config.save.checkpoint))?;
    let data = TokenData::new(&config.data, (None, &indexes), &task.mask, config.run.seed)?;
    let own = task.mask.sampler;
    let others = Sampler::ALL.into_iter().filter(|sampler| *sampler != own);
    let masks: Vec<MaskConfig> = std::iter::once(own)
        .chain(others)
        .map(|sampler| MaskConfig {
            sampler,
            ..task.mask.clone()
        })
        .collect();
    let mut found: Vec<MaskStatistics> = masks.iter().map(MaskStatistics::new).collect();
    for sample in 0..objects {
        let counts = counts(&data.training.get(sample)?);
        for (mask, found) in masks.iter().zip(&mut found) {
            let mut rng = stream(config.run.seed, Purpose::Mask, sample);
            if let Some(mask) = mask.draw(&counts, &mut rng) {
                found.add(&counts, &mask);
            }
        }
    }
    Ok(found)
}
