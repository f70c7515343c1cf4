//! A codec: trained by gradients, or fitted in one pass.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use aion_data::Kind;
use aion_kernel::{WeightNames, Weights};
use serde::Serialize;

use super::{Event, Run, Summary};
use crate::codec_report::{Watched, of_codec};
use crate::codec_step::{CodecStep, TrainedCodec};
use crate::data::{SimulatedSource, SurveyCounts, measurements};
use crate::error::TrainError;
use crate::fit::{CodebookFit, write_config};
use crate::mix::{self, Mix, Shares};
use crate::one_pass::every_object;

impl Run<'_> {
    /// Trains a codec and saves it beside its configuration.
    pub(super) fn codec<C: TrainedCodec, T: Serialize>(
        &mut self,
        kind: Kind,
        config: &T,
        mix: &Shares,
        build: fn(&T, &Weights) -> C,
    ) -> Result<Summary, TrainError> {
        let task = CodecStep {
            watched: Watched::new(self.config, mix::of_kind(kind))?,
            examples: self.mix(kind, mix)?,
            batch: self.config.run.batch,
            device: self.device.clone(),
            codec: PhantomData,
        };
        let weights = self.weights()?;
        let model = build(config, &weights);
        let folder = self.codec_folder(kind);
        let save = |model: &C, names: &WeightNames, half| {
            write_config(&folder, config)?;
            Ok(names.save(model, &folder.join("model.safetensors"), half)?)
        };
        let mut summary = self.train(&task, model, &weights, &folder, &save)?;
        if !summary.stopped {
            summary.report = of_codec(self.config, kind, &folder, self.device)?;
        }
        Ok(summary)
    }

    /// Codebooks are fitted in one pass over the data, not by gradients.
    pub(super) fn numbers(&mut self, sample: usize) -> Result<Summary, TrainError> {
        let (run, data) = (&self.config.run, &self.config.data);
        let mut fit = CodebookFit::new(sample, run.seed);
        let simulated = data.simulated.as_ref().map_or(0, SimulatedSource::total);
        let every = run.batch * run.log_every;
        let mut done = 0u64;
        let (stop, report) = (self.stop, &mut self.report);
        let (survey, whole) = every_object(data, &mut |object, times| {
            (0..times).for_each(|_| fit.push(object));
            done += 1;
            if done.is_multiple_of(every) {
                let total = done.max(simulated);
                report(&Event::Prepared { done, total });
            }
            !stop.load(Ordering::Relaxed)
        })?;
        self.data(survey, done);
        let mut summary = self.summary(0);
        if whole && done == 0 {
            return Err(TrainError::NoData("there is no object".to_owned()));
        }
        if !whole {
            summary.stopped = true;
            return Ok(summary);
        }
        summary.steps = done.div_ceil(run.batch);
        let save = &self.config.save;
        let codecs = save
            .folder
            .as_ref()
            .unwrap_or(&save.checkpoint)
            .join("codecs");
        let written = fit.save(&codecs)?;
        summary.saved = written.iter().map(|name| codecs.join(name)).collect();
        Ok(summary)
    }

    /// The measurements of a kind, in the shares asked for.
    fn mix(&mut self, kind: Kind, shares: &Shares) -> Result<Mix, TrainError> {
        let (data, seed) = (&self.config.data, self.config.run.seed);
        let shares = mix::shares(shares, kind)?;
        let (mix, survey) = if shares.is_empty() {
            let (examples, survey) = measurements(data, &mix::of_kind(kind), seed)?;
            (Mix::even(examples), survey)
        } else {
            let mut parts = Vec::new();
            let mut total = SurveyCounts::default();
            for (id, share) in shares {
                let (examples, survey) = measurements(data, &[id], seed)?;
                let used = total.used + survey.used;
                total = SurveyCounts { used, ..survey };
                parts.push((examples, share));
            }
            (Mix::new(seed, parts), total)
        };
        self.data(survey, mix.len());
        Ok(mix)
    }

    /// Where the codec of this kind goes: where the published layout has it, unless the run file
    /// names a folder.
    fn codec_folder(&self, kind: Kind) -> PathBuf {
        let save = &self.config.save;
        if let Some(folder) = &save.folder {
            return folder.clone();
        }
        let codec = aion_data::MODALITIES
            .iter()
            .find(|modality| modality.kind == kind)
            .map_or("", |modality| modality.codec);
        save.checkpoint.join("codecs").join(codec)
    }
}
