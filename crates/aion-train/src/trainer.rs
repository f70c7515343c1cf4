//! The training loop: batches, gradients, optimiser, reports, checkpoints. There is one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aion_kernel::WeightNames;
use burn::module::Module;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, TrainState};
use crate::error::TrainError;
use crate::metrics::{LossLog, Means, Progress};
use crate::optim::{AdamW, AdamWConfig, GradientSum};
use crate::schedule::Schedule;
use crate::step::Step;

/// Steps in a row without finite gradients after which a run gives up.
const MOST_SKIPPED: u64 = 20;

/// Section `run`: the loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopConfig {
    /// Seed of initial weights, order and masks.
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Examples in one forward pass.
    pub batch: u64,
    /// Forward passes whose gradients make one step.
    #[serde(default = "one")]
    pub accumulate: u64,
    /// Folder of log and checkpoints.
    pub output: PathBuf,
    /// A folder whose `model.safetensors` the weights start from, instead of random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// Steps between reports.
    #[serde(default = "log_every")]
    pub log_every: u64,
    /// Steps between checkpoints.
    #[serde(default = "checkpoint_every")]
    pub checkpoint_every: u64,
    /// Steps between passes over the validation part; none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate_every: Option<u64>,
}

fn one() -> u64 {
    1
}

fn log_every() -> u64 {
    10
}

fn checkpoint_every() -> u64 {
    200
}

impl LoopConfig {
    /// Whether a validation pass follows this step.
    fn validates(&self, step: u64) -> bool {
        let every = |every: u64| step.is_multiple_of(every) || step == self.steps;
        self.validate_every.is_some_and(every)
    }

    pub(crate) fn check(&self) -> Result<(), TrainError> {
        for (key, value) in [
            ("run.steps", self.steps),
            ("run.batch", self.batch),
            ("run.accumulate", self.accumulate),
            ("run.log_every", self.log_every),
            ("run.checkpoint_every", self.checkpoint_every),
            ("run.validate_every", self.validate_every.unwrap_or(1)),
        ] {
            if value == 0 {
                return Err(TrainError::config(key, "is 0, expected at least 1"));
            }
        }
        Ok(())
    }
}

/// Settings of the loop, whatever is learned.
#[derive(Debug, Clone, Copy)]
pub struct Trainer<'a> {
    /// Steps, batches, reports.
    pub run: &'a LoopConfig,
    /// The optimiser.
    pub optim: &'a AdamWConfig,
    /// The learning rate's course.
    pub schedule: &'a Schedule,
    /// The whole configuration as text, kept in checkpoints to know the run again.
    pub config: &'a str,
}

/// How a run ended.
#[derive(Debug)]
pub struct Trained<M> {
    /// The model, ready for inference.
    pub model: M,
    /// Steps done; fewer than configured when it was stopped.
    pub step: u64,
    /// The last report.
    pub last: Option<Progress>,
}

/// What changes from step to step.
struct Running<M> {
    model: M,
    optimizer: AdamW,
    step: u64,
    skipped: u64,
    skipped_in_a_row: u64,
}

impl Trainer<'_> {
    /// Trains `model`, whose weights are those of `from` if a run is resumed. `report` is called
    /// every `log_every` steps; when `stop` becomes true, a checkpoint is written and the run ends.
    ///
    /// # Errors
    /// Data cannot be read, the output cannot be written, or the loss diverges.
    pub fn run<S: Step>(
        &self,
        task: &S,
        model: S::Model,
        names: &WeightNames,
        from: Option<&Checkpoint>,
        report: &mut dyn FnMut(&Progress),
        stop: &AtomicBool,
    ) -> Result<Trained<S::Model>, TrainError> {
        let output = &self.run.output;
        std::fs::create_dir_all(output).map_err(|source| TrainError::io(output, source))?;
        let mut state = self.start(model, names, from)?;
        let mut log = LossLog::open(&self.run.output, state.step)?;
        let mut means = Means::default();
        let mut last = None;
        let mut since = (Instant::now(), state.step);
        while state.step < self.run.steps && !stop.load(Ordering::Relaxed) {
            let (learning_rate, gradient_norm);
            (state, learning_rate, gradient_norm) = self.advance(task, state, &mut means)?;
            let done = state.step == self.run.steps;
            if self.run.validates(state.step) {
                for (name, value) in task.validate(&state.model.valid())? {
                    means.add(&name, value);
                }
            }
            if state.step.is_multiple_of(self.run.log_every) || done {
                let examples = (state.step - since.1) * self.run.batch * self.run.accumulate;
                let seconds = since.0.elapsed().as_secs_f64();
                let per_step = seconds / (state.step - since.1) as f64;
                since = (Instant::now(), state.step);
                let progress = Progress {
                    step: state.step,
                    steps: self.run.steps,
                    losses: means.take(),
                    learning_rate,
                    gradient_norm,
                    skipped: state.skipped,
                    examples_per_second: examples as f64 / seconds,
                    eta_seconds: per_step * (self.run.steps - state.step) as f64,
                };
                log.write(&progress)?;
                report(&progress);
                last = Some(progress);
            }
            if state.step.is_multiple_of(self.run.checkpoint_every) && !done {
                self.checkpoint(&state, names)?;
            }
        }
        self.checkpoint(&state, names)?;
        Ok(Trained {
            model: state.model.valid(),
            step: state.step,
            last,
        })
    }

    fn start<M: Module>(
        &self,
        model: M,
        names: &WeightNames,
        from: Option<&Checkpoint>,
    ) -> Result<Running<M>, TrainError> {
        let mut optimizer = AdamW::new(self.optim.clone());
        let (mut step, mut skipped) = (0, 0);
        if let Some(checkpoint) = from {
            if checkpoint.state.config != self.config {
                let reason = "the run file has changed since";
                return Err(TrainError::resume(&checkpoint.folder, reason));
            }
            checkpoint.restore(&mut optimizer, &model, names)?;
            (step, skipped) = (checkpoint.state.step, checkpoint.state.skipped);
        }
        if from.is_none() && Checkpoint::latest(&self.run.output)?.is_some() {
            let reason = "the folder already holds a run: resume it or give another folder";
            return Err(TrainError::resume(&self.run.output, reason));
        }
        Ok(Running {
            model: model.train(),
            optimizer,
            step,
            skipped,
            skipped_in_a_row: 0,
        })
    }

    /// One step; returns the new state, the learning rate and the gradient norm.
    fn advance<S: Step>(
        &self,
        task: &S,
        mut state: Running<S::Model>,
        means: &mut Means,
    ) -> Result<(Running<S::Model>, f64, f64), TrainError> {
        let mut gradients = GradientSum::default();
        for part in 0..self.run.accumulate {
            let batch = task.batch(state.step * self.run.accumulate + part)?;
            let loss = task.loss(&state.model, batch)?;
            gradients.add(&state.model, loss.total.backward());
            means.add("loss", f64::from(loss.total.into_scalar::<f32>()));
            for (name, value) in &loss.terms {
                means.add(name, *value);
            }
        }
        let factor = self.schedule.factor(state.step, self.run.steps);
        let outcome;
        (state.model, outcome) = state.optimizer.step(state.model, gradients, factor);
        state.step += 1;
        if outcome.skipped {
            state.skipped += 1;
            state.skipped_in_a_row += 1;
        } else {
            state.skipped_in_a_row = 0;
        }
        if state.skipped_in_a_row >= MOST_SKIPPED {
            return Err(TrainError::Diverged {
                step: state.step,
                skipped: state.skipped_in_a_row,
            });
        }
        Ok((state, self.optim.learning_rate * factor, outcome.norm))
    }

    fn checkpoint<M: Module>(
        &self,
        state: &Running<M>,
        names: &WeightNames,
    ) -> Result<(), TrainError> {
        let record = TrainState {
            format: crate::checkpoint::FORMAT,
            step: state.step,
            skipped: state.skipped,
            config: self.config.to_owned(),
        };
        let output: &Path = &self.run.output;
        Checkpoint::save(output, &record, &state.model, names, &state.optimizer)
    }
}
