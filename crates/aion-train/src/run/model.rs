//! Masked pretraining of a transformer.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use aion_codec::CodecSet;
use aion_data::{ModalityId, described};
use aion_kernel::WeightNames;
use aion_model::{ModelConfig, Transformer};
use burn::tensor::Device;

use super::{Event, Run, Summary};
use crate::config::ModelTask;
use crate::data::encoded::Encoded;
use crate::data::token_data::{self, TokenData};
use crate::data::{Part, objects};
use crate::error::TrainError;
use crate::masking::MaskConfig;
use crate::pretrain::{Pretraining, Smoothing, Validation};

impl Run<'_> {
    /// Trains a model on tokens and saves it in the published layout.
    pub(super) fn model(&mut self, task: &ModelTask) -> Result<Summary, TrainError> {
        if task.recompute && *self.device != Device::flex() {
            let reason = "is true, which only the CPU can do: expected false on this device";
            return Err(TrainError::config("model.recompute", reason));
        }
        let data = match self.given.take() {
            Some(data) => Some(data),
            None => self.token_data(task)?,
        };
        let Some(data) = data else {
            return Ok(Summary {
                stopped: true,
                ..self.summary(0)
            });
        };
        self.examples = data.training.len();
        if !self.tokens.is_empty() {
            self.data(self.survey.clone(), self.examples);
        }
        let config = self.config;
        let checkpoint = &config.save.checkpoint;
        let folder = config.save.folder.as_ref().unwrap_or(checkpoint);
        let model_config = restrict(task.config()?, &data.modalities, task.mask.spans);
        let weights = self.weights()?;
        let model = Transformer::new(&model_config, &weights)?.with_recompute(task.recompute);
        let task = Pretraining {
            validation: self.validation(&data, &task.mask)?,
            examples: data.training,
            mask: task.mask.clone(),
            balance: task.balance,
            smoothing: Smoothing {
                width: task.smoothing,
                batches: config.run.steps * config.run.accumulate,
            },
            batch: config.run.batch,
            seed: config.run.seed,
        };
        let modalities: Vec<ModalityId> = data.modalities.iter().copied().collect();
        let save = |model: &Transformer, names: &WeightNames, half| {
            std::fs::create_dir_all(folder).map_err(|source| TrainError::io(folder, source))?;
            described::add(folder, &modalities)?;
            Ok(model.save(names, folder, half)?)
        };
        self.train(&task, model, &weights, folder, &save)
    }

    /// The objects that the configuration names, as tokens; none when it was stopped.
    fn token_data(&mut self, task: &ModelTask) -> Result<Option<TokenData>, TrainError> {
        let config = self.config;
        let codecs = task.token_codecs(&config.save.checkpoint);
        let indexes = token_data::index(&config.data, codecs)?;
        let sources = config.data.tokens.iter().zip(&indexes);
        self.tokens = sources.map(|(s, index)| index.counts(&s.paths)).collect();
        let encoded = match config.data.has_objects() {
            false => None,
            true => match self.encode(task)? {
                Some(encoded) => Some(encoded),
                None => return Ok(None),
            },
        };
        let sets = (encoded, indexes.as_slice());
        TokenData::new(&config.data, sets, &task.mask, config.run.seed).map(Some)
    }

    /// Tokenises the objects of surveys and of the simulated sky; none when it was stopped.
    fn encode(&mut self, task: &ModelTask) -> Result<Option<Encoded>, TrainError> {
        let config = self.config;
        let parts = &[Part::Train, Part::Validation];
        let checkpoint = task.codecs.as_ref().unwrap_or(&config.save.checkpoint);
        let described = described::read(checkpoint)?;
        let codecs = CodecSet::new(checkpoint, self.device);
        let keep = |id| codecs.has(id);
        if !ModalityId::all().any(keep) {
            let place = checkpoint.display();
            let reason = format!("{place} has no codecs: train or fit them first, or name a model");
            return Err(TrainError::config("model.codecs", reason));
        }
        let (examples, survey) = objects(&config.data, parts, described, config.run.seed)?;
        let total = examples.len();
        self.data(survey, total);
        Encoded::new(&config.data, &examples, &codecs, &keep, &mut |done| {
            (self.report)(&Event::Prepared { done, total });
            !self.stop.load(Ordering::Relaxed)
        })
    }

    /// The validation pass, where the run file asks for one.
    fn validation(&self, data: &TokenData, mask: &MaskConfig) -> Result<Validation, TrainError> {
        let run = &self.config.run;
        if run.validate_every.is_none() {
            return Ok(Validation::default());
        }
        let Some(examples) = &data.validation else {
            let reason = "no object lies in the validation part: raise `data.split.validation`, or \
                          `data.split.nside` where the objects share few cells";
            return Err(TrainError::config("run.validate_every", reason));
        };
        let most = self.config.data.split.validation_objects;
        Validation::new(examples, mask, (most, run.batch, run.seed))
    }
}

/// The configuration for the modalities that occur; sequences are input only unless `spans` of them are
/// predicted.
fn restrict(mut config: ModelConfig, seen: &BTreeSet<ModalityId>, spans: bool) -> ModelConfig {
    let keys = |targets: bool| {
        let kept = seen
            .iter()
            .filter(|id| !targets || spans || !id.info().is_sequence());
        kept.map(|id| id.key().to_owned()).collect()
    };
    config.domains_in = keys(false);
    config.domains_out = keys(true);
    config
}
