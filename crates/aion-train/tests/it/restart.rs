//! Runs that are stopped, resumed, refused.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aion_kernel::Weights;
use aion_train::checkpoint::{Checkpoint, TrainState};
use aion_train::error::TrainError;
use aion_train::log;
use aion_train::lora::LoraConfig;
use aion_train::optim::AdamWConfig;
use aion_train::run_folder::begin;
use aion_train::schedule::Schedule;
use aion_train::trainer::{LoopConfig, Trained, Trainer};
use burn::tensor::Device;
use tempfile::TempDir;

use crate::line::{Line, Plane};

const WHOLE: Plane = Plane { broken: u64::MAX };
const SAME: &str = "[optim]\nlearning_rate = 0.02";

/// A run of the small module.
struct Run {
    config: LoopConfig,
    optim: AdamWConfig,
    lora: Option<LoraConfig>,
    text: &'static str,
    examples: u64,
}

impl Run {
    fn new(output: PathBuf) -> Self {
        let optim = AdamWConfig {
            learning_rate: 0.02,
            ema: Some(0.99),
            ..AdamWConfig::default()
        };
        let config = LoopConfig {
            seed: 1,
            steps: 60,
            batch: 16,
            accumulate: 2,
            output,
            start: None,
            log_every: 10,
            checkpoint_every: 25,
            validate_every: None,
            keep_last: 2,
            keep_best: 0,
        };
        Run {
            config,
            optim,
            lora: None,
            text: SAME,
            examples: 16,
        }
    }

    /// Runs until the end, or until the batch of step `stop_at` has been asked for.
    fn go(&self, task: &Plane, resume: bool, stop_at: u64) -> Result<Trained<Line>, TrainError> {
        let from = begin(&self.config.output, self.text, resume)?;
        let device = Device::flex();
        let weights = match &from {
            Some(checkpoint) => Weights::open(&checkpoint.weights(), &device)?,
            None => Weights::seeded(1, &device),
        };
        let (model, names) = Line::new(&weights);
        let trainer = Trainer {
            run: &LoopConfig {
                log_every: if stop_at < 60 { stop_at } else { 10 },
                ..self.config.clone()
            },
            optim: &self.optim,
            lora: self.lora.as_ref(),
            schedule: &Schedule::default(),
            config: self.text,
            examples: self.examples,
            peak: None,
        };
        let stop = AtomicBool::new(false);
        let mut report = |progress: &aion_train::Progress| {
            stop.store(progress.step >= stop_at, Ordering::Relaxed);
        };
        trainer.run(task, model, &names, from.as_ref(), &mut report, &stop)
    }

    fn latest(&self) -> Checkpoint {
        let latest = Checkpoint::latest(&self.config.output);
        latest.expect("readable").expect("present")
    }

    /// Bytes of weights and of what the optimiser keeps.
    fn files(&self) -> [Vec<u8>; 2] {
        let folder = self.latest().folder;
        let read = |name| std::fs::read(folder.join(name)).expect("readable");
        ["model.safetensors", "optimizer.safetensors"].map(read)
    }

    fn losses(&self) -> Vec<(u64, f64)> {
        let reports = log::read(&self.config.output).expect("a log");
        let loss = |progress: aion_train::Progress| (progress.step, progress.losses["loss"]);
        reports.into_iter().map(loss).collect()
    }

    /// Resuming fails for a reason that names all of `named`.
    fn refused(&self, named: &[&str]) {
        let error = self
            .go(&WHOLE, true, 1000)
            .expect_err("refused")
            .to_string();
        for name in named {
            assert!(error.contains(name), "`{name}` in: {error}");
        }
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_stopped_and_resumed_run_equals_an_uninterrupted_one() {
    let folder = folder();
    let lora = LoraConfig {
        rank: 1,
        alpha: 2.0,
        targets: vec!["*.weight".to_owned()],
        whole: vec!["*.bias".to_owned()],
    };
    for (name, lora) in [("whole", None), ("adapters", Some(lora))] {
        let run = |part: &str| Run {
            lora: lora.clone(),
            ..Run::new(folder.path().join(name).join(part))
        };
        let (straight, halting) = (run("a"), run("b"));
        let end = straight.go(&WHOLE, false, 1000).expect("runs");
        assert_eq!(end.step, 60);
        for (resume, stop_at) in [(false, 13), (true, 38)] {
            let pause = halting.go(&WHOLE, resume, stop_at).expect("runs");
            assert_eq!(pause.step, if resume { 38 } else { 13 });
        }
        let other = halting.go(&WHOLE, true, 1000).expect("resumes");
        assert!(straight.files() == halting.files(), "{name}");
        assert_eq!(straight.latest().state, halting.latest().state);
        let tensor = |trained: &Trained<Line>| {
            let input = burn::tensor::Tensor::ones([2, 3], &Device::flex());
            trained
                .model
                .forward(input)
                .into_data()
                .iter::<f32>()
                .collect::<Vec<_>>()
        };
        assert_eq!(tensor(&end), tensor(&other), "running means, {name}");
    }
}

#[test]
fn the_log_of_a_resumed_run_equals_an_uninterrupted_one() {
    let folder = folder();
    let (straight, halting) = (
        Run::new(folder.path().join("a")),
        Run::new(folder.path().join("b")),
    );
    straight.go(&WHOLE, false, 1000).expect("runs");
    halting.go(&WHOLE, false, 30).expect("runs");
    halting.go(&WHOLE, true, 1000).expect("resumes");
    let losses = straight.losses();
    assert_eq!(losses.len(), 6);
    assert_eq!(losses[3..], halting.losses()[1..]);
    assert!(losses[5].1 < 0.5 * losses[0].1, "{losses:?}");
}

#[test]
fn another_run_is_refused() {
    let folder = folder();
    let run = Run::new(folder.path().to_owned());
    run.go(&WHOLE, false, 10).expect("runs");
    let error = run.go(&WHOLE, false, 1000).expect_err("refused");
    assert!(error.to_string().contains("already holds a run"), "{error}");
    let other = Run {
        text: "[optim]\nlearning_rate = 0.5",
        ..Run::new(folder.path().to_owned())
    };
    other.refused(&["optim.learning_rate", "0.5", "0.02"]);
    let grown = Run {
        examples: 17,
        ..Run::new(folder.path().to_owned())
    };
    grown.refused(&["17 examples", "16"]);
    run.go(&WHOLE, true, 1000).expect("still there");
}

#[test]
fn damage_is_found_and_named() {
    let folder = folder();
    let run = Run::new(folder.path().to_owned());
    run.go(&WHOLE, false, 30).expect("runs");
    let latest = run.latest().folder;
    assert!(latest.ends_with("checkpoints/step-00000030"));
    let damage = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = latest.join(name);
        let whole = std::fs::read(&path).expect("readable");
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&path, bytes).expect("writable");
        run.refused(&[name, "damaged", "step-00000030"]);
        std::fs::write(&path, whole).expect("writable");
    };
    for name in ["model.safetensors", "optimizer.safetensors", "state.json"] {
        damage(name, &|bytes| bytes.truncate(bytes.len() / 2));
    }
    damage("model.safetensors", &|bytes| bytes[300] ^= 1);
    damage("state.json", &|bytes| *bytes = b"{\"format\": 2}".to_vec());
    std::fs::rename(latest.join("state.json"), latest.join("lost")).expect("renamed");
    run.refused(&["state.json"]);
    // Whoever removes the damaged folder goes on from the one before, to the same end.
    std::fs::remove_dir_all(&latest).expect("removed");
    run.go(&WHOLE, true, 1000).expect("resumes");
    let straight = Run::new(folder.path().join("other"));
    straight.go(&WHOLE, false, 1000).expect("runs");
    assert!(run.files() == straight.files());
}

#[test]
fn an_older_layout_is_refused() {
    let folder = folder();
    let run = Run::new(folder.path().to_owned());
    run.go(&WHOLE, false, 10).expect("runs");
    let path = run.latest().folder.join("state.json");
    std::fs::write(path, r#"{"format": 1, "step": 10}"#).expect("writable");
    run.refused(&["layout 1, expected 2"]);
}

#[test]
fn weights_of_another_shape_are_refused() {
    let folder = folder();
    let run = Run::new(folder.path().to_owned());
    run.go(&WHOLE, false, 10).expect("runs");
    let weights = Weights::open(&run.latest().weights(), &Device::flex()).expect("readable");
    let wrong = weights
        .at("hidden")
        .param("weight", [5, 3], aion_kernel::Init::Constant(0.0));
    drop::<burn::module::Param<burn::tensor::Tensor<2>>>(wrong);
    let error = weights.finish().expect_err("refused").to_string();
    assert!(
        error.contains("hidden.weight") && error.contains("[5, 3]"),
        "{error}"
    );
}

#[test]
fn the_newest_and_the_best_checkpoints_stay() {
    let folder = folder();
    let mut run = Run::new(folder.path().to_owned());
    (
        run.config.checkpoint_every,
        run.config.keep_last,
        run.config.keep_best,
    ) = (5, 2, 3);
    run.optim.learning_rate = 0.5;
    run.go(&WHOLE, false, 1000).expect("runs");
    let mut states: Vec<TrainState> = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("checkpoints")).expect("there") {
        let folder = entry.expect("an entry").path();
        states.push(Checkpoint::open(&folder).expect("whole").state);
    }
    states.sort_by_key(|state| state.step);
    let steps: Vec<u64> = states.iter().map(|state| state.step).collect();
    assert!((3..=5).contains(&steps.len()), "{steps:?}");
    assert!(steps.ends_with(&[55, 60]), "{steps:?}");
}

#[test]
fn a_failed_save_leaves_the_last_checkpoint() {
    let folder = folder();
    let run = Run::new(folder.path().to_owned());
    run.go(&WHOLE, false, 20).expect("runs");
    // Something in the way stands for a disk that cannot be written to.
    let blocked = folder.path().join("checkpoints/step-00000025.part");
    let from = begin(folder.path(), SAME, true)
        .expect("whole")
        .expect("there");
    std::fs::write(&blocked, "in the way").expect("writable");
    let weights = Weights::open(&from.weights(), &Device::flex()).expect("readable");
    let (model, names) = Line::new(&weights);
    let trainer = Trainer {
        run: &run.config,
        optim: &run.optim,
        lora: None,
        schedule: &Schedule::default(),
        config: SAME,
        examples: 16,
        peak: None,
    };
    let stop = AtomicBool::new(false);
    let error = trainer.run(&WHOLE, model, &names, Some(&from), &mut |_| {}, &stop);
    let error = error.expect_err("cannot be written").to_string();
    assert!(error.contains("step-00000025"), "{error}");
    assert_eq!(run.latest().state.step, 20);
    std::fs::remove_file(&blocked).expect("removed");
    assert_eq!(run.go(&WHOLE, true, 1000).expect("resumes").step, 60);
}

#[test]
fn a_run_that_only_fails_gives_up() {
    for steps_before in [1000, 25] {
        let folder = folder();
        let run = Run::new(folder.path().to_owned());
        let broken = Plane { broken: 20 };
        // Interrupted or not: the count of failures in a row is part of the state.
        if steps_before < 60 {
            run.go(&broken, false, steps_before).expect("not yet");
        }
        let error = run
            .go(&broken, steps_before < 60, 1000)
            .expect_err("diverges");
        let expected = TrainError::Diverged {
            step: 30,
            skipped: 20,
        };
        assert_eq!(error.to_string(), expected.to_string());
    }
}

#[test]
fn what_a_killed_process_left_is_swept() {
    let folder = folder();
    let run = Run::new(folder.path().to_owned());
    run.go(&WHOLE, false, 20).expect("runs");
    let left = Path::new("checkpoints/step-00000040.part");
    std::fs::create_dir(folder.path().join(left)).expect("made");
    run.go(&WHOLE, true, 1000).expect("resumes");
    assert!(!folder.path().join(left).exists());
}
