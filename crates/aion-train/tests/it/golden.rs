//! Loss curves of a fixed seed, as committed: a change that should not alter numerics may not alter
//! them. And the same bits at any number of threads.
//!
//! After a change that should alter them: `AION_GOLDEN=write cargo test -p aion-train golden`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use aion_train::{RunConfig, log, run};
use burn::tensor::Device;

use crate::pipeline::{IMAGE, NUMBERS, SPECTRUM};

/// Instruction sets round differently.
const TOLERANCE: f64 = 1e-4;

const MODEL: &str = r#"
[model]
preset = "tiny"
[model.mask]
input_budget = 24
target_budget = 12
"#;

fn config(folder: &Path, name: &str, task: &str, rest: &str) -> RunConfig {
    let (output, checkpoint) = (folder.join(name), folder.join("model"));
    let text = format!(
        r#"
[run]
seed = 8
steps = 8
batch = 2
log_every = 1
output = {output:?}
[schedule]
warmup = 3
[data.simulated]
seed = 5
count = 24
[report]
objects = 0
[save]
checkpoint = {checkpoint:?}
{rest}{task}"#
    );
    text.parse().expect("a valid run file")
}

/// Trains, and gives the run's folder.
fn train(config: &RunConfig) -> PathBuf {
    let stop = AtomicBool::new(false);
    run(config, &Device::flex(), false, &mut |_| {}, &stop).expect("trains");
    config.run.output.clone()
}

fn curve(output: &Path) -> Vec<[f64; 2]> {
    let reports = log::read(output).expect("a log");
    let reports = reports.iter();
    reports
        .map(|at| [at.losses["loss"], at.gradient_norm])
        .collect()
}

/// Compares loss and gradient norm of each step with those committed.
fn compare(name: &str, found: &[[f64; 2]]) {
    let file = format!("tests/golden/{name}.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("AION_GOLDEN").is_some_and(|value| value == "write") {
        let rows: Vec<String> = found.iter().map(|[l, n]| format!("  [{l}, {n}]")).collect();
        std::fs::write(&path, format!("[\n{}\n]\n", rows.join(",\n"))).expect("writable");
    }
    let text = std::fs::read_to_string(&path).expect("a committed curve");
    let golden: Vec<[f64; 2]> = serde_json::from_str(&text).expect("pairs");
    assert_eq!(found.len(), golden.len(), "{name}");
    for (step, (found, golden)) in found.iter().zip(&golden).enumerate() {
        for (found, golden) in found.iter().zip(golden) {
            let close = (found - golden).abs() <= TOLERANCE * golden.abs();
            assert!(close, "{name}, step {}: {found}, was {golden}", step + 1);
        }
    }
}

#[test]
fn golden_image_codec() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = train(&config(folder.path(), "image", IMAGE, ""));
    compare("image", &curve(&output));
}

#[test]
fn golden_spectrum_codec() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = train(&config(folder.path(), "spectrum", SPECTRUM, ""));
    compare("spectrum", &curve(&output));
}

#[test]
fn golden_pretraining_by_every_option_of_the_optimiser() {
    let folder = tempfile::tempdir().expect("a folder");
    train(&config(folder.path(), "numbers", NUMBERS, ""));
    let optim = "[optim]\nema = 0.99\nfrozen = [\"encoder_embeddings.tok_z.*\"]\n";
    let output = train(&config(folder.path(), "model", MODEL, optim));
    compare("pretraining", &curve(&output));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let weights = |threads: usize, name: &str, task: &str| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let folder = folder.path().join(threads.to_string());
        let config = config(&folder, name, task, "");
        pool.build().expect("threads").install(|| train(&config));
        let last = config.run.output.join("checkpoints/step-00000008");
        ["model.safetensors", "optimizer.safetensors"]
            .map(|name| std::fs::read(last.join(name)).expect("a checkpoint"))
    };
    for threads in [1, 2, 3] {
        train(&config(
            &folder.path().join(threads.to_string()),
            "numbers",
            NUMBERS,
            "",
        ));
    }
    for (name, task) in [("image", IMAGE), ("spectrum", SPECTRUM), ("model", MODEL)] {
        let one = weights(1, name, task);
        for threads in [2, 3] {
            assert!(
                one == weights(threads, name, task),
                "{name}, {threads} threads"
            );
        }
    }
}
