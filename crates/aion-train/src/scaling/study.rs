//! Training the ladder, rung by rung. What is finished is kept; what was stopped goes on.
//!
//! ```text
//! <output>/ladder.toml                the study, which has to be the same to go on
//!          tokens.parquet             its objects
//!          rungs/<name>/result.json   of each finished run; beside it its log and its model
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use aion_data::ObjectTokens;
use aion_kernel::tensor_file::replace_file;
use aion_model::checkpoint::Checkpoint;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::held_out::HeldOut;
use super::ladder::{Ladder, Rung};
use super::pool::{self, Pool};
use crate::config::ModelSize;
use crate::error::TrainError;
use crate::log;
use crate::metrics::Progress;
use crate::run::{Event, run_on};
use crate::run_folder::CONFIG_FILE;

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run's name.
    pub name: String,
    /// The model.
    pub size: ModelSize,
    /// Its parameters but for embeddings and heads: the N of the law.
    pub parameters: u64,
    /// Parameters of embeddings and heads.
    pub embeddings: u64,
    /// Objects in the training set.
    pub objects: u64,
    /// Tokens in the training set: the D of the law.
    pub tokens: u64,
    /// Objects learned from, with repeats: the same for all runs.
    pub examples: u64,
    /// Loss of the last report before the end, nats a token.
    pub training_loss: Option<f64>,
    /// Loss on objects not learned from.
    pub held_out: HeldOut,
    /// Wall-clock seconds of training, since the last resume.
    pub seconds: f64,
}

/// The results of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// Whether all objects came from the simulator.
    pub simulated: bool,
    /// Bootstrap draws behind the intervals.
    pub draws: u64,
    /// Seed of the study.
    pub seed: u64,
    /// Runs of the ladder.
    pub rungs: u64,
    /// Those that are finished.
    pub outcomes: Vec<Outcome>,
}

/// What a study tells its caller while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum StudyEvent {
    /// So many objects of so many are tokens.
    Tokens {
        /// Objects done.
        done: u64,
        /// Objects in all.
        total: u64,
    },
    /// A run begins or goes on.
    Rung {
        /// Its name.
        name: String,
        /// Its place in the ladder, from 1.
        place: usize,
        /// Runs in all.
        total: usize,
    },
    /// A run has reached a report.
    Step(Progress),
    /// A run is finished.
    Outcome(Box<Outcome>),
}

impl Study {
    /// The results stored in a study's folder.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn stored(ladder: &Ladder) -> Result<Study, TrainError> {
        let mut outcomes = Vec::new();
        for rung in ladder.rungs() {
            outcomes.extend(Outcome::stored(ladder, &rung)?);
        }
        Ok(Study {
            simulated: ladder.data.survey.is_empty(),
            draws: ladder.ladder.draws,
            seed: ladder.run.seed,
            rungs: ladder.rungs().len() as u64,
            outcomes,
        })
    }
}

impl Outcome {
    fn stored(ladder: &Ladder, rung: &Rung) -> Result<Option<Outcome>, TrainError> {
        let path = ladder.folder(&rung.name).join("result.json");
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(|source| TrainError::io(&path, source))?;
        let outcome = serde_json::from_slice(&text);
        outcome.map_err(|error| TrainError::resume(&path, error))
    }
}

/// Trains what is left of a ladder. When `stop` becomes true, the run in progress writes its
/// checkpoint, and what is finished so far is returned.
///
/// # Errors
/// The folder holds a study and `resume` is false, or another study; or a run fails.
pub fn run_study(
    ladder: &Ladder,
    device: &Device,
    resume: bool,
    report: &mut dyn FnMut(&StudyEvent),
    stop: &AtomicBool,
) -> Result<Study, TrainError> {
    claim(ladder, resume)?;
    let mut left: Vec<(usize, Rung)> = Vec::new();
    for (place, rung) in ladder.rungs().into_iter().enumerate() {
        if Outcome::stored(ladder, &rung)?.is_none() {
            left.push((place + 1, rung));
        }
    }
    if left.is_empty() {
        return Study::stored(ladder);
    }
    let pool = Pool::open(ladder, device, &mut |done, total| {
        report(&StudyEvent::Tokens { done, total });
        !stop.load(Ordering::Relaxed)
    })?;
    let Some(pool) = pool else {
        return Study::stored(ladder);
    };
    let total = ladder.rungs().len();
    for (place, rung) in left {
        let name = rung.name.clone();
        report(&StudyEvent::Rung { name, place, total });
        let climb = Climb {
            rung: &rung,
            pool: &pool,
            device,
        };
        match climb.train(report, stop)? {
            Some(outcome) => report(&StudyEvent::Outcome(Box::new(outcome))),
            None => break,
        }
    }
    Study::stored(ladder)
}

/// Makes the study's folder, or sees that it is this study's.
fn claim(ladder: &Ladder, resume: bool) -> Result<(), TrainError> {
    let output = &ladder.run.output;
    let path = output.join("ladder.toml");
    let text = ladder.to_text()?;
    let found = match std::fs::read_to_string(&path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(TrainError::io(&path, error)),
    };
    match found {
        Some(found) if found != text && output.join("rungs").exists() => {
            let reason = "the ladder file has changed since: give the study another folder";
            Err(TrainError::resume(output, reason))
        }
        Some(found) if found == text && !resume => {
            let reason = "the folder already holds this study: resume it or give another folder";
            Err(TrainError::resume(output, reason))
        }
        Some(found) if found == text => Ok(()),
        // Nothing there, or nothing that was trained.
        _ => {
            pool::forget(ladder)?;
            let made = std::fs::create_dir_all(output);
            let written = made.and_then(|()| replace_file(&path, text.as_bytes()));
            written.map_err(|source| TrainError::io(&path, source))
        }
    }
}

/// One run with its surroundings.
struct Climb<'a> {
    rung: &'a Rung,
    pool: &'a Pool<'a>,
    device: &'a Device,
}

impl Climb<'_> {
    /// Trains from the last checkpoint, if there is one. `None` when it was stopped.
    fn train(
        &self,
        report: &mut dyn FnMut(&StudyEvent),
        stop: &AtomicBool,
    ) -> Result<Option<Outcome>, TrainError> {
        let config = &self.rung.config;
        let set = self.pool.training(self.rung.objects);
        let begun = config.run.output.join(CONFIG_FILE).is_file();
        let mut progress = |event: &Event| {
            if let Event::Step(progress) = event {
                report(&StudyEvent::Step(progress.clone()));
            }
        };
        let data = Some(self.pool.data(set.clone())?);
        let summary = run_on(config, data, self.device, begun, &mut progress, stop)?;
        if summary.stopped {
            return Ok(None);
        }
        let outcome = self.outcome(&set, summary.seconds)?;
        self.store(&outcome)?;
        Ok(Some(outcome))
    }

    fn outcome(&self, set: &[ObjectTokens], seconds: f64) -> Result<Outcome, TrainError> {
        let (rung, config) = (self.rung, &self.rung.config);
        let model = Checkpoint::open(&config.save.checkpoint, self.device)?.transformer;
        let embeddings = model.config().num_embedding_parameters();
        let tokens = set.iter().map(aion_data::tokens::num_tokens);
        let reports = log::read(&config.run.output)?;
        let last = reports.last().and_then(|last| last.losses.get("loss"));
        Ok(Outcome {
            name: rung.name.clone(),
            size: rung.size,
            parameters: (model.config().num_parameters() - embeddings) as u64,
            embeddings: embeddings as u64,
            objects: rung.objects,
            tokens: tokens.sum::<usize>() as u64,
            examples: config.run.steps * config.run.batch * config.run.accumulate,
            training_loss: last.copied(),
            held_out: HeldOut::of(&model, &self.pool.held_out()?)?,
            seconds,
        })
    }

    /// Writes the result; the checkpoints, of no more use, go.
    fn store(&self, outcome: &Outcome) -> Result<(), TrainError> {
        let folder: &Path = &self.rung.config.run.output;
        let path = folder.join("result.json");
        let failed = |source| TrainError::io(&path, source);
        let text = serde_json::to_vec_pretty(outcome).map_err(|error| failed(error.into()))?;
        replace_file(&path, &text).map_err(failed)?;
        let checkpoints = folder.join("checkpoints");
        std::fs::remove_dir_all(&checkpoints).map_err(|source| TrainError::io(&checkpoints, source))
    }
}
