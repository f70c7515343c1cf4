//! A run file from start to end: data, task, loop, saved result.

mod bands;

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aion_codec::CodecSet;
use aion_codec::image::ImageCodec;
use aion_codec::scalar_field::ScalarFieldCodec;
use aion_codec::spectrum::SpectrumCodec;
use aion_data::{Kind, ModalityId, described};
use aion_kernel::roofline::device_peak;
use aion_kernel::{WeightNames, Weights};
use aion_model::{ModelConfig, Transformer};
use burn::tensor::Device;
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::codec_report::{ModalityReport, Watched, of_codec};
use crate::codec_step::{CodecStep, TrainedCodec};
use crate::config::{CodecTask, ModelTask, RunConfig};
use crate::data::encoded::Encoded;
use crate::data::token_data::{self, TokenData};
use crate::data::token_index::TokenCounts;
use crate::data::{Part, SimulatedSource, SurveyCounts, measurements, objects};
use crate::error::TrainError;
use crate::fit::{CodebookFit, write_config};
use crate::masking::MaskConfig;
use crate::metrics::Progress;
use crate::mix::{self, Mix, Shares};
use crate::one_pass::every_object;
use crate::pretrain::{Pretraining, Smoothing, Validation};
use crate::run_folder;
use crate::step::Step;
use crate::trainer::{Trained, Trainer};

/// What a run tells its caller while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run goes on from a checkpoint; from its beginning where it was ended before the first.
    Resumed {
        /// Steps that were done before.
        step: u64,
    },
    /// The training set is known: survey objects used, held out, refused; examples in one round.
    Data {
        /// Survey objects.
        survey: SurveyCounts,
        /// Sets of tokens.
        tokens: Vec<TokenCounts>,
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
    /// Folder of log and checkpoints.
    pub output: PathBuf,
    /// Survey objects trained on, held out, refused.
    pub survey: SurveyCounts,
    /// Sets of tokens: their objects by part.
    pub tokens: Vec<TokenCounts>,
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
    /// The same before training, where that is a result too: new bands of a trained codec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<ModalityReport>,
}

/// Writes a trained model under its published names, with 16-bit floats if asked.
type Save<'a, M> = dyn Fn(&M, &WeightNames, bool) -> Result<(), TrainError> + 'a;

/// A run with its surroundings.
struct Run<'a> {
    config: &'a RunConfig,
    /// The same as TOML.
    text: &'a str,
    device: &'a Device,
    from: Option<Checkpoint>,
    given: Option<TokenData>,
    report: &'a mut dyn FnMut(&Event),
    stop: &'a AtomicBool,
    survey: SurveyCounts,
    tokens: Vec<TokenCounts>,
    examples: u64,
}

/// Runs a configuration: trains what it names and saves it in the published layout. `resume` goes
/// on from the last checkpoint of the output folder, and fails where no run was begun. When `stop`
/// becomes true the run is left so that it can be resumed.
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
    run_on(config, None, device, resume, report, stop)
}

/// [`run`] with a model that learns from objects at hand, if there are any, instead of those that the
/// configuration names.
///
/// # Errors
/// See [`run`].
pub fn run_on(
    config: &RunConfig,
    given: Option<TokenData>,
    device: &Device,
    resume: bool,
    report: &mut dyn FnMut(&Event),
    stop: &AtomicBool,
) -> Result<Summary, TrainError> {
    let text = config.to_text()?;
    let from = run_folder::begin(&config.run.output, &text, resume)?;
    if resume {
        let step = from.as_ref().map_or(0, |checkpoint| checkpoint.state.step);
        report(&Event::Resumed { step });
    }
    let mut run = Run {
        config,
        text: &text,
        device,
        from,
        given,
        report,
        stop,
        survey: SurveyCounts::default(),
        tokens: Vec::new(),
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
        (Some(CodecTask::Bands { checkpoint, survey }), _) => run.bands(checkpoint, survey)?,
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

    fn model(&mut self, task: &ModelTask) -> Result<Summary, TrainError> {
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
        let (examples, survey) = objects(&config.data, parts, described, config.run.seed)?;
        let total = examples.len();
        self.data(survey, total);
        let codecs = CodecSet::new(checkpoint, self.device);
        let keep = |id| codecs.has(id);
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

    /// Codebooks are fitted in one pass over the data, not by gradients.
    fn numbers(&mut self, sample: usize) -> Result<Summary, TrainError> {
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

    fn data(&mut self, survey: SurveyCounts, examples: u64) {
        self.survey = survey.clone();
        self.examples = examples;
        let tokens = self.tokens.clone();
        (self.report)(&Event::Data {
            survey,
            tokens,
            examples,
        });
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
        let trainer = Trainer {
            run: &config.run,
            optim: &config.optim,
            lora: config.lora.as_ref(),
            schedule: &config.schedule,
            config: self.text,
            examples: self.examples,
            // Of codecs the operations are not counted.
            peak: config.model.as_ref().and_then(|_| device_peak(self.device)),
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
        let mut summary = self.summary(names.num_values());
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
        let before = self.from.as_ref().map_or(0, |from| from.state.step);
        Summary {
            steps: before,
            stopped: false,
            output: self.config.run.output.clone(),
            survey: self.survey.clone(),
            tokens: self.tokens.clone(),
            examples: self.examples,
            parameters,
            seconds: 0.0,
            last: None,
            saved: Vec::new(),
            report: Vec::new(),
            before: Vec::new(),
        }
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
