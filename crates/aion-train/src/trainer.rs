//! The training loop: batches, gradients, optimiser, reports, checkpoints. There is one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aion_kernel::WeightNames;
use burn::module::Module;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Keep, TrainState};
use crate::error::TrainError;
use crate::gradients::GradientSum;
use crate::log::RunLog;
use crate::lora::LoraConfig;
use crate::memory::peak_megabytes;
use crate::metrics::Progress;
use crate::optim::{AdamW, AdamWConfig};
use crate::roles::{freeze, roles};
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
    /// Folder of the configuration as it was run, the log and the checkpoints.
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
    /// Steps between passes over the validation part, or of a codec over what its report judges; none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate_every: Option<u64>,
    /// The newest checkpoints that stay.
    #[serde(default = "keep_last")]
    pub keep_last: u64,
    /// Checkpoints that stay for their low loss: that of the last validation pass before them, or
    /// where there is none a running mean over about 50 steps.
    #[serde(default)]
    pub keep_best: u64,
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

fn keep_last() -> u64 {
    2
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
            ("run.keep_last", self.keep_last),
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
    /// Low-rank adapters, instead of whole matrices.
    pub lora: Option<&'a LoraConfig>,
    /// The learning rate's course.
    pub schedule: &'a Schedule,
    /// The whole configuration as text, kept in checkpoints to know the run again.
    pub config: &'a str,
    /// Examples in one round of the training set.
    pub examples: u64,
    /// Floating-point operations a second that the machine can do, where known.
    pub peak: Option<f64>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Trained<M> {
    /// The model, ready for inference; running means of its weights where they are kept.
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
    state: TrainState,
}

/// What the last step was like.
struct Advance {
    learning_rate: f64,
    gradient_norm: f64,
    tokens: u64,
    operations: f64,
}

impl Trainer<'_> {
    /// Trains `model`, whose weights are those of `from` if a run is resumed. `report` is called
    /// every `log_every` steps; when `stop` becomes true, the step is finished, a checkpoint written,
    /// and the run ends.
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
        let mut running = self.start(model, names, from)?;
        let mut saved = from.map(|checkpoint| checkpoint.state.step);
        let mut log = RunLog::open(&self.run.output, running.state.step)?;
        let mut clock = Clock::start(running.state.step);
        let mut last = None;
        while running.state.step < self.run.steps && !stop.load(Ordering::Relaxed) {
            let advance;
            (running, advance) = self.advance(task, running)?;
            let step = running.state.step;
            let done = step == self.run.steps;
            clock.tokens += advance.tokens;
            clock.operations += advance.operations;
            if self.run.validates(step) {
                self.validate(task, &mut running)?;
            }
            if step.is_multiple_of(self.run.log_every) || done {
                let progress = self.progress(&mut running.state, &advance, &mut clock);
                log.write(&progress)?;
                report(&progress);
                last = Some(progress);
            }
            if step.is_multiple_of(self.run.checkpoint_every) {
                self.checkpoint(&running, names)?;
                saved = Some(step);
            }
        }
        if saved != Some(running.state.step) {
            self.checkpoint(&running, names)?;
        }
        Ok(Trained {
            model: running.optimizer.averaged(running.model.valid()),
            step: running.state.step,
            last,
        })
    }

    fn start<M: Module>(
        &self,
        model: M,
        names: &WeightNames,
        from: Option<&Checkpoint>,
    ) -> Result<Running<M>, TrainError> {
        let roles = roles(names, self.optim, self.lora)?;
        let adapters = match self.lora {
            Some(lora) => lora.adapters(names, self.run.seed)?,
            None => Vec::new(),
        };
        let model = freeze(model.train(), &roles);
        let optimizer = AdamW::new(self.optim.clone()).with_roles(roles);
        let mut optimizer = optimizer.with_adapters(adapters);
        let mut state = TrainState {
            config: self.config.to_owned(),
            examples: self.examples,
            ..TrainState::default()
        };
        if let Some(checkpoint) = from {
            let (now, then) = (self.examples, checkpoint.state.examples);
            if now != then {
                let reason = format!("the training set has {now} examples, had {then}");
                return Err(TrainError::resume(&checkpoint.folder, reason));
            }
            checkpoint.restore(&mut optimizer, names)?;
            state = TrainState {
                config: state.config,
                ..checkpoint.state.clone()
            };
        }
        Ok(Running {
            model,
            optimizer,
            state,
        })
    }

    /// One step.
    fn advance<S: Step>(
        &self,
        task: &S,
        mut running: Running<S::Model>,
    ) -> Result<(Running<S::Model>, Advance), TrainError> {
        let mut gradients = GradientSum::default();
        let (mut total, mut tokens, mut operations) = (0.0, 0, 0.0);
        let state = &mut running.state;
        for part in 0..self.run.accumulate {
            let batch = task.batch(state.step * self.run.accumulate + part)?;
            let loss = task.loss(&running.model, batch)?;
            let weighted = loss.total.clone().mul_scalar(loss.weight);
            gradients.add(&running.model, weighted.backward(), loss.weight);
            let value = f64::from(loss.total.into_scalar::<f32>());
            total += loss.weight * value;
            tokens += loss.tokens;
            operations += loss.operations;
            state.means.add("loss", value, loss.weight);
            for (name, value) in &loss.terms {
                state.means.add(name, *value, loss.weight);
            }
        }
        state.loss.add(total / gradients.weight());
        let factor = self.schedule.factor(state.step, self.run.steps);
        let outcome;
        (running.model, outcome) = running.optimizer.step(running.model, gradients, factor);
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
        let advance = Advance {
            learning_rate: self.optim.learning_rate * factor,
            gradient_norm: outcome.norm,
            tokens,
            operations,
        };
        Ok((running, advance))
    }

    /// Losses on the validation part, by the weights that would be saved now.
    fn validate<S: Step>(
        &self,
        task: &S,
        running: &mut Running<S::Model>,
    ) -> Result<(), TrainError> {
        let model = running.optimizer.averaged(running.model.valid());
        for (name, value) in task.validate(&model)? {
            running.state.means.add(&name, value, 1.0);
            if name == S::HELD_OUT {
                running.state.held_out = Some(value);
            }
        }
        Ok(())
    }

    fn progress(&self, state: &mut TrainState, advance: &Advance, clock: &mut Clock) -> Progress {
        let steps = (state.step - clock.step) as f64;
        let seconds = clock.since.elapsed().as_secs_f64();
        let examples = steps * (self.run.batch * self.run.accumulate) as f64;
        let progress = Progress {
            step: state.step,
            steps: self.run.steps,
            losses: state.means.take(),
            learning_rate: advance.learning_rate,
            gradient_norm: advance.gradient_norm,
            skipped: state.skipped,
            examples_per_second: examples / seconds,
            tokens_per_second: clock.tokens as f64 / seconds,
            utilisation: self
                .peak
                .filter(|_| clock.operations > 0.0)
                .map(|peak| clock.operations / seconds / peak),
            peak_mb: peak_megabytes(),
            seconds: clock.started.elapsed().as_secs_f64(),
            eta_seconds: seconds / steps * (self.run.steps - state.step) as f64,
        };
        *clock = Clock {
            started: clock.started,
            ..Clock::start(state.step)
        };
        progress
    }

    fn checkpoint<M: Module>(
        &self,
        running: &Running<M>,
        names: &WeightNames,
    ) -> Result<(), TrainError> {
        let keep = Keep {
            last: self.run.keep_last,
            best: self.run.keep_best,
        };
        let (model, output) = ((&running.model, names), &self.run.output);
        Checkpoint::save(output, &running.state, keep, model, &running.optimizer)
    }
}

/// Time and work since the last report.
struct Clock {
    started: Instant,
    since: Instant,
    step: u64,
    tokens: u64,
    operations: f64,
}

impl Clock {
    fn start(step: u64) -> Self {
        Clock {
            started: Instant::now(),
            since: Instant::now(),
            step,
            tokens: 0,
            operations: 0.0,
        }
    }
}
