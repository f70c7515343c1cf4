//! A run file from start to end: data, task, loop, saved result.

mod bands;
mod codec;
mod model;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use aion_codec::image::ImageCodec;
use aion_codec::scalar_field::ScalarFieldCodec;
use aion_codec::spectrum::SpectrumCodec;
use aion_data::Kind;
use aion_kernel::roofline::device_peak;
use aion_kernel::{WeightNames, Weights};
use burn::tensor::Device;
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::codec_report::ModalityReport;
use crate::config::{CodecTask, RunConfig};
use crate::data::SurveyCounts;
use crate::data::token_data::TokenData;
use crate::data::token_index::TokenCounts;
use crate::error::TrainError;
use crate::metrics::Progress;
use crate::mix::Shares;
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
