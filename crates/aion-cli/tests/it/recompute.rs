//! `model.recompute` from outside: the same weights with less memory.

use std::path::Path;

use crate::run::Scratch;

/// Two steps of so many objects with images that activations weigh more than the weights.
const RUN: &str = r#"
[run]
seed = 5
steps = 2
batch = 96
output = "OUTPUT"
log_every = 1
[data.simulated]
seed = 6
count = 24
[data.split]
validation = 0.0
test = 0.0
[model]
preset = "tiny"
codecs = "CODECS"
recompute = RECOMPUTE
[model.mask]
input_budget = 384
target_budget = 128
[save]
checkpoint = "OUTPUT"
"#;

/// Weights of the run, and its peak memory in megabytes where the system tells.
fn train(recompute: bool) -> (Vec<u8>, Option<f64>) {
    let scratch = Scratch::new();
    let output = scratch.path("out");
    let codecs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/aion-tiny");
    let text = RUN
        .replace("OUTPUT", &output.display().to_string())
        .replace("CODECS", &codecs.display().to_string())
        .replace("RECOMPUTE", &recompute.to_string());
    let run = scratch.path("run.toml");
    std::fs::write(&run, text).expect("writable");
    let run = run.display().to_string();
    let outcome = scratch.aion(["train", "model", &run, "--json"]).success();
    let summary: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let weights = std::fs::read(output.join("model.safetensors")).expect("a result");
    (weights, summary["last"]["peak_mb"].as_f64())
}

#[test]
fn blocks_made_again_save_memory_and_change_nothing() {
    let (kept, with) = train(false);
    let (again, without) = train(true);
    assert!(kept == again, "weights differ");
    let (Some(with), Some(without)) = (with, without) else {
        return;
    };
    assert!(without < 0.8 * with, "{without} MB, kept {with} MB");
}
