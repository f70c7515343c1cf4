//! A run file from start to end: data, task, loop, saved result.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aion_codec::CodecSet;
use aion_codec::image::ImageCodec;
use aion_codec::scalar_field::ScalarFieldCodec;
use aion_codec::spectrum::SpectrumCodec;
use aion_data::Kind;
use aion_kernel::{WeightNames, Weights};
use aion_model::{ModelConfig, Transformer};
use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::codec_report::{ModalityReport, of_codec};
use crate::codec_step::{CodecStep, TrainedCodec};
use crate::config::{CodecTask, ModelTask, RunConfig};
use crate::data::{SurveyCounts, measurements, objects};
use crate::error::TrainError;
use crate::fit::{CodebookFit, write_config};
use crate::metrics::Progress;
use crate::mix::{self, Mix, Shares};
use crate::one_pass::every_object;
use crate::pretrain::{Pretraining, TokenSet};
use crate::step::Step;
use crate::trainer::{Trained, Trainer};

/// What a run tells its caller while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The training set is known: survey objects used, held out, refused; examples in one round.
    Data {
        /// Survey objects.
        survey: SurveyCounts,
        /// Examples, simulated ones included.
        examples: u64,
    },
    /// So many objects of so many are ready (tokenised, or seen by the codebooks).
    Prepared {
        /// Objects done.
        done: u64,
        /// Objects in all.
        total: u64,
    },
    /// The loop has reached a report.
    Step(Progress),
}

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Steps done.
    pub steps: u64,
    /// Whether it was stopped before its end; nothing is saved then but the run's checkpoint.
    pub stopped: bool,
    /// Survey objects trained on, held out, refused.
    pub survey: SurveyCounts,
    /// Examples in one round of the training set, simulated ones included.
    pub examples: u64,
    /// Trained values.
    pub parameters: usize,
    /// Wall-clock seconds of this process.
    pub seconds: f64,
    /// The last report.
    pub last: Option<Progress>,
    /// Folders written in the published layout.
    pub saved: Vec<PathBuf>,
    /// A trained codec on measurements that it has not seen, by modality.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub report: Vec<ModalityReport>,
}

/// Writes a trained model under its published names, with 16-bit floats if asked.
type Save<'a, M> = dyn Fn(&M, &WeightNames, bool) -> Result<(), TrainError> + 'a;

/// A run with its surroundings.
struct Run<'a> {
    config: &'a RunConfig,
    device: &'a Device,
    from: Option<Checkpoint>,
    report: &'a mut dyn FnMut(&Event),
    stop: &'a AtomicBool,
    survey: SurveyCounts,
    examples: u64,
}

/// Runs a configuration: trains what it names and saves it in the published layout. `resume` goes
/// on from the last checkpoint of the output folder, and fails where there is none.
///
/// # Errors
/// Data or weights cannot be read, the output cannot be written, the loss diverges, or the run
/// cannot be resumed.
pub fn run(
    config: &RunConfig,
    device: &Device,
    resume: bool,
    report: &mut dyn FnMut(&Event),
    stop: &AtomicBool,
) -> Result<Summary, TrainError> {
    let output = &config.run.output;
    let from = if resume {
        Checkpoint::latest(output)?
    } else {
        None
    };
    if resume && from.is_none() {
        return Err(TrainError::resume(output, "there is no checkpoint"));
    }
    let mut run = Run {
        config,
        device,
        from,
        report,
        stop,
        survey: SurveyCounts::default(),
        examples: 0,
    };
    let started = Instant::now();
    let mut summary = match (&config.codec, &config.model) {
        (Some(CodecTask::Image { config, mix }), _) => {
            run.codec(Kind::Image, config, mix, ImageCodec::new)?
        }
        (Some(CodecTask::Spectrum { config, mix }), _) => {
            run.codec(Kind::Spectrum, config, mix, SpectrumCodec::new)?
        }
        (Some(CodecTask::Field { config }), _) => {
            let mix = Shares::new();
            run.codec(Kind::ScalarField, config, &mix, ScalarFieldCodec::new)?
        }
        (Some(CodecTask::Numbers { sample }), _) => run.numbers(*sample)?,
        (None, Some(model)) => run.model(model)?,
        (None, None) => return Err(TrainError::config("codec", "there is nothing to train")),
    };
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

impl Run<'_> {
    /// Trains a codec and saves it beside its configuration.
    fn codec<C: TrainedCodec, T: Serialize>(
        &mut self,
        kind: Kind,
        config: &T,
        mix: &Shares,
        build: fn(&T, &Weights) -> C,
    ) -> Result<Summary, TrainError> {
        let task = CodecStep {
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
        if !summary.stopped && self.config.report.objects > 0 {
            let checkpoint = &self.config.save.checkpoint;
            summary.report = of_codec(self.config, kind, checkpoint, self.device)?;
        }
        Ok(summary)
    }

    fn model(&mut self, task: &ModelTask) -> Result<Summary, TrainError> {
        let config = self.config;
        let (examples, survey) = objects(&config.data, config.run.seed)?;
        self.data(survey, examples.len());
        let checkpoint = &config.save.checkpoint;
        let codecs = CodecSet::new(task.codecs.as_ref().unwrap_or(checkpoint), self.device);
        let total = examples.len();
        let tokens = TokenSet::encode(&examples, &codecs, &task.mask, &mut |done| {
            (self.report)(&Event::Prepared { done, total });
            !self.stop.load(Ordering::Relaxed)
        })?;
        let Some(tokens) = tokens else {
            return Ok(Summary {
                stopped: true,
                ..self.summary(0)
            });
        };
        let model_config = restrict(task.preset()?.config(), &tokens);
        let weights = self.weights()?;
        let model = Transformer::new(&model_config, &weights)?;
        let task = Pretraining {
            tokens,
            mask: task.mask.clone(),
            balance: task.balance,
            batch: config.run.batch,
            seed: config.run.seed,
        };
        let save = |model: &Transformer, names: &WeightNames, half| {
            Ok(model.save(names, checkpoint, half)?)
        };
        self.train(&task, model, &weights, checkpoint, &save)
    }

    /// Codebooks are fitted in one pass over the data, not by gradients.
    fn numbers(&mut self, sample: usize) -> Result<Summary, TrainError> {
        let (run, data) = (&self.config.run, &self.config.data);
        let mut fit = CodebookFit::new(sample, run.seed);
        let simulated = data.simulated.as_ref().map_or(0, |source| source.count);
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
        if !whole {
            summary.stopped = true;
            return Ok(summary);
        }
        summary.steps = done.div_ceil(run.batch);
        let codecs = self.config.save.checkpoint.join("codecs");
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

    fn data(&mut self, survey: SurveyCounts, examples: u64) {
        self.survey = survey.clone();
        self.examples = examples;
        (self.report)(&Event::Data { survey, examples });
    }

    /// The weights to start from: of the checkpoint, of the folder that the run file names, or
    /// drawn from the seed.
    fn weights(&self) -> Result<Weights, TrainError> {
        let run = &self.config.run;
        let file = match (&self.from, &run.start) {
            (Some(checkpoint), _) => Some(checkpoint.weights()),
            (None, Some(start)) => Some(start.join("model.safetensors")),
            (None, None) => None,
        };
        Ok(match file {
            Some(file) => Weights::open(&file, self.device)?,
            None => Weights::seeded(run.seed, self.device),
        })
    }

    /// Where the published layout has the codec of this kind.
    fn codec_folder(&self, kind: Kind) -> PathBuf {
        let codec = aion_data::MODALITIES
            .iter()
            .find(|modality| modality.kind == kind)
            .map_or("", |modality| modality.codec);
        self.config.save.checkpoint.join("codecs").join(codec)
    }

    /// The loop, and the result's way to disk.
    fn train<S: Step>(
        &mut self,
        task: &S,
        model: S::Model,
        weights: &Weights,
        folder: &Path,
        save: &Save<S::Model>,
    ) -> Result<Summary, TrainError> {
        let (names, _) = weights.finish()?;
        let config = self.config;
        let text = config.to_text()?;
        let trainer = Trainer {
            run: &config.run,
            optim: &config.optim,
            schedule: &config.schedule,
            config: &text,
        };
        let report = &mut self.report;
        let mut progress = |progress: &Progress| report(&Event::Step(progress.clone()));
        let trained: Trained<S::Model> = trainer.run(
            task,
            model,
            &names,
            self.from.as_ref(),
            &mut progress,
            self.stop,
        )?;
        let mut summary = self.summary(trained.model.num_params());
        summary.steps = trained.step;
        summary.last = trained.last;
        summary.stopped = trained.step < config.run.steps;
        if !summary.stopped {
            save(&trained.model, &names, config.save.half)?;
            summary.saved = vec![folder.to_owned()];
        }
        Ok(summary)
    }

    fn summary(&self, parameters: usize) -> Summary {
        Summary {
            steps: 0,
            stopped: false,
            survey: self.survey.clone(),
            examples: self.examples,
            parameters,
            seconds: 0.0,
            last: None,
            saved: Vec::new(),
            report: Vec::new(),
        }
    }
}

/// The configuration for the modalities that occur; sequences are input only.
fn restrict(mut config: ModelConfig, tokens: &TokenSet) -> ModelConfig {
    let seen = tokens.modalities();
    let keys = |targets: bool| {
        let kept = seen
            .iter()
            .filter(|id| !(targets && id.info().is_sequence()));
        kept.map(|id| id.key().to_owned()).collect()
    };
    config.domains_in = keys(false);
    config.domains_out = keys(true);
    config
}
