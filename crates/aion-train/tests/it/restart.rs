//! Runs that are stopped, resumed, refused.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use aion_kernel::Weights;
use aion_train::checkpoint::Checkpoint;
use aion_train::error::TrainError;
use aion_train::metrics::Progress;
use aion_train::optim::AdamWConfig;
use aion_train::schedule::Schedule;
use aion_train::trainer::{LoopConfig, Trained, Trainer};
use burn::tensor::Device;

use crate::line::{Line, Plane};

fn settings(output: &Path) -> LoopConfig {
    LoopConfig {
        seed: 1,
        steps: 60,
        batch: 16,
        accumulate: 2,
        output: output.to_owned(),
        start: None,
        log_every: 10,
        checkpoint_every: 25,
        validate_every: None,
    }
}

/// Runs until the end, or until the report of `stop_at`.
fn run(
    output: &Path,
    task: &Plane,
    resume: bool,
    stop_at: u64,
    config: &str,
) -> Result<Trained<Line>, TrainError> {
    let from = if resume {
        Checkpoint::latest(output)?
    } else {
        None
    };
    let device = Device::flex();
    let weights = match &from {
        Some(checkpoint) => Weights::open(&checkpoint.weights(), &device)?,
        None => Weights::seeded(1, &device),
    };
    let (model, names) = Line::new(&weights);
    let trainer = Trainer {
        run: &settings(output),
        optim: &AdamWConfig {
            learning_rate: 0.02,
            ..AdamWConfig::default()
        },
        schedule: &Schedule::default(),
        config,
    };
    let stop = AtomicBool::new(false);
    let mut report = |progress: &Progress| {
        stop.store(progress.step >= stop_at, Ordering::Relaxed);
    };
    trainer.run(task, model, &names, from.as_ref(), &mut report, &stop)
}

fn weights(output: &Path) -> Vec<u8> {
    let checkpoint = Checkpoint::latest(output)
        .expect("readable")
        .expect("present");
    std::fs::read(checkpoint.weights()).expect("readable")
}

fn losses(output: &Path) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(output.join("losses.jsonl")).expect("a log");
    text.lines()
        .map(|line| serde_json::from_str::<Progress>(line).expect("a report"))
        .map(|progress| (progress.step, progress.losses["loss"]))
        .collect()
}

const WHOLE: Plane = Plane { broken: u64::MAX };

#[test]
fn a_stopped_and_resumed_run_equals_an_uninterrupted_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (straight, halting) = (folder.path().join("a"), folder.path().join("b"));
    let end = run(&straight, &WHOLE, false, 1000, "same").expect("runs");
    assert_eq!(end.step, 60);
    let pause = run(&halting, &WHOLE, false, 30, "same").expect("runs");
    assert_eq!(pause.step, 30);
    run(&halting, &WHOLE, true, 1000, "same").expect("resumes");
    assert_eq!(weights(&straight), weights(&halting));
    assert_eq!(losses(&straight), losses(&halting));
    let losses = losses(&straight);
    assert_eq!(losses.len(), 6);
    assert!(losses[5].1 < 0.5 * losses[0].1, "{losses:?}");
}

#[test]
fn another_configuration_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), &WHOLE, false, 10, "one").expect("runs");
    let error = run(folder.path(), &WHOLE, true, 1000, "other").expect_err("refused");
    assert!(matches!(error, TrainError::Resume { .. }), "{error}");
    let error = run(folder.path(), &WHOLE, false, 1000, "one").expect_err("refused");
    assert!(matches!(error, TrainError::Resume { .. }), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), &WHOLE, false, 10, "one").expect("runs");
    let checkpoint = Checkpoint::latest(folder.path())
        .expect("readable")
        .expect("present");
    std::fs::write(checkpoint.folder.join("state.json"), "{}").expect("writable");
    let error = run(folder.path(), &WHOLE, true, 1000, "one").expect_err("refused");
    assert!(matches!(error, TrainError::Resume { .. }), "{error}");
}

#[test]
fn a_run_that_only_fails_gives_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let error =
        run(folder.path(), &Plane { broken: 20 }, false, 1000, "one").expect_err("diverges");
    assert!(
        matches!(
            error,
            TrainError::Diverged {
                step: 30,
                skipped: 20
            }
        ),
        "{error}"
    );
}
