//! Pretraining on files of tokens, from a run file to its end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use aion_data::TokenRow;
use aion_model::ModelConfig;
use aion_train::{Event, Progress, RunConfig, Summary, TrainError, mask_report, run};
use burn::tensor::Device;

use crate::shards::{id, row, write};

/// Two sets in a folder, and a run on them.
fn config(folder: &Path, name: &str, more: &str) -> RunConfig {
    config_of(|number| row(number, true), folder, name, more)
}

/// The same with objects of one's own.
fn config_of(object: fn(u16) -> TokenRow, folder: &Path, name: &str, more: &str) -> RunConfig {
    let rows = |range: std::ops::Range<u16>| range.map(object).collect::<Vec<_>>();
    let (a, b) = (folder.join("a.parquet"), folder.join("b.parquet"));
    write(&a, &rows(0..60));
    write(&b, &rows(60..90));
    let (output, checkpoint) = (folder.join(name), folder.join("model"));
    let text = format!(
        r#"
[run]
seed = 5
steps = 6
batch = 4
output = {output:?}
log_every = 2
checkpoint_every = 4
validate_every = 3
[data]
buffer = 32
[data.split]
validation = 0.2
test = 0.2
[[data.tokens]]
paths = [{a:?}]
weight = 2.0
[[data.tokens]]
paths = [{b:?}]
[save]
checkpoint = {checkpoint:?}
[model]
preset = "tiny"
{more}"#
    );
    text.parse().expect("a valid run file")
}

fn train(config: &RunConfig, resume: bool, stop_at: u64) -> Result<Summary, TrainError> {
    let stop = AtomicBool::new(false);
    let mut report = |event: &Event| {
        if let Event::Step(progress) = event {
            stop.store(progress.step >= stop_at, Ordering::Relaxed);
        }
    };
    run(config, &Device::flex(), resume, &mut report, &stop)
}

fn log(config: &RunConfig) -> Vec<Progress> {
    let text = std::fs::read_to_string(config.run.output.join("losses.jsonl")).expect("a log");
    let report = |line: &str| serde_json::from_str(line).expect("a report");
    text.lines().map(report).collect()
}

/// The values of one of the files of the last checkpoint.
fn values(config: &RunConfig, file: &str) -> Vec<u8> {
    let last = config.run.output.join("checkpoints/step-00000006");
    let bytes = std::fs::read(last.join(file)).expect("a checkpoint");
    let header = bytes.first_chunk().expect("a header's length");
    bytes[8 + u64::from_le_bytes(*header) as usize..].to_vec()
}

fn weights(config: &RunConfig) -> Vec<u8> {
    values(config, "model.safetensors")
}

fn recompute(mut config: RunConfig) -> RunConfig {
    config.model.as_mut().expect("a model").recompute = true;
    config
}

#[test]
fn recomputed_blocks_learn_the_same_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let frozen = "[optim]\nema = 0.9\nfrozen = [\"encoder_embeddings.*\", \"decoder.*.mlp.*\"]";
    let lora = "[lora]\nrank = 2\nalpha = 4.0\ntargets = [\"encoder.*.attn.qkv.weight\"]\n\
                whole = [\"decoder_norm.*\"]";
    for (name, more, threads) in [("plain", "", 3), ("frozen", frozen, 2), ("lora", lora, 1)] {
        let config = |how: &str| {
            let mut config = config(folder.path(), &format!("{name}-{how}"), more);
            config.run.accumulate = 2;
            config
        };
        let kept = config("kept");
        train(&kept, false, 100).expect(name);
        let made_again = recompute(config("made-again"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let run = || train(&made_again, false, 100);
        pool.expect("threads").install(run).expect(name);
        for file in ["model.safetensors", "optimizer.safetensors"] {
            assert!(
                values(&kept, file) == values(&made_again, file),
                "{name}, {file}"
            );
        }
    }
}

#[test]
fn a_run_can_go_on_with_less_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let straight = config(folder.path(), "straight", "");
    train(&straight, false, 100).expect("runs");
    let halting = config(folder.path(), "halting", "");
    assert!(train(&halting, false, 2).expect("runs").stopped);
    let halting = recompute(halting);
    train(&halting, true, 100).expect("resumes");
    assert!(weights(&straight) == weights(&halting));
}

#[test]
fn runs_resume_exactly_and_report_every_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let straight = config(folder.path(), "straight", "");
    let summary = train(&straight, false, 100).expect("runs");
    assert_eq!(summary.tokens.len(), 2);
    assert_eq!(
        summary.tokens[0].train + summary.tokens[1].train,
        summary.examples
    );
    assert!(summary.tokens[0].test > 0 && summary.tokens[0].validation > 0);
    let halting = config(folder.path(), "halting", "");
    assert!(train(&halting, false, 2).expect("runs").stopped);
    train(&halting, true, 100).expect("resumes");
    assert!(weights(&straight) == weights(&halting));

    let reports = log(&straight);
    let losses = |report: &Progress| report.losses.clone();
    assert_eq!(
        reports.iter().map(losses).collect::<Vec<_>>(),
        log(&halting).iter().map(losses).collect::<Vec<_>>()
    );
    let last = &reports[2].losses;
    for name in [
        "loss",
        "tok_xp_bp",
        "mean/token",
        "mean/modality",
        "mean/budget",
    ] {
        assert!(last[name].is_finite(), "{name}: {last:?}");
    }
    // Balanced by token, which is the default.
    assert!((last["loss"] - last["mean/token"]).abs() < 1e-4, "{last:?}");
    assert!(last["mean/budget"] < last["mean/token"], "{last:?}");
    for report in &reports[1..] {
        let named = report
            .losses
            .keys()
            .filter(|name| name.starts_with("validation/"));
        assert!(named.count() >= 3, "{:?}", report.losses);
    }
    let shares = |at: &Progress| at.utilisation.is_some_and(|share| share > 0.0);
    assert!(reports.iter().all(shares));
    let (before, after) = (&reports[1].losses, &reports[2].losses);
    assert!(after["validation/mean/token"] < before["validation/mean/token"]);
}

#[test]
fn every_sampler_trains() {
    let folder = tempfile::tempdir().expect("a folder");
    for sampler in ["aion-ordered", "dirichlet"] {
        let more = format!("[model.mask]\nsampler = \"{sampler}\"");
        let config = config(folder.path(), sampler, &more);
        let summary = train(&config, false, 2).expect(sampler);
        assert!(summary.last.expect("a report").losses["loss"].is_finite());
    }
}

/// An object with a catalogue in which each code is the one before it plus one.
fn with_catalogue(number: u16) -> TokenRow {
    let mut row = row(number, true);
    let start = 100 + number % 8;
    row.tokens
        .insert(id("catalog"), (start..start + 10).collect());
    row.tokens.remove(&id("tok_xp_bp"));
    row
}

#[test]
fn a_catalogue_is_learned_span_by_span() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = "[model.mask]\nspans = true\n[optim]\nlearning_rate = 3e-3";
    let mut config = config_of(with_catalogue, folder.path(), "run", more);
    (config.run.steps, config.run.batch, config.schedule.warmup) = (60, 16, 5);
    train(&config, false, 100).expect("trains");
    let reports = log(&config);
    let loss = |report: &Progress| report.losses["catalog"];
    let (first, last) = (loss(&reports[0]), loss(&reports[reports.len() - 1]));
    assert!((first - 3468f64.ln()).abs() < 1.0, "{first}");
    assert!(last < 0.6 * first, "from {first} to {last}");
    assert!(reports[2].losses.contains_key("validation/catalog"));
    let saved = ModelConfig::read(&folder.path().join("model/config.json")).expect("saved");
    assert!(saved.domains_out.contains(&"catalog".to_owned()));
}

#[test]
fn a_validation_part_without_objects_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path(), "run", "");
    config.data.split.validation = 0.0;
    let error = train(&config, false, 100).expect_err("refused").to_string();
    assert!(error.contains("run.validate_every"), "{error}");
}

#[test]
fn masks_of_all_samplers_are_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = "[model.mask]\nsampler = \"dirichlet\"\ninput_budget = 16\ntarget_budget = 8";
    let found = mask_report(&config(folder.path(), "run", more), 200).expect("a report");
    let samplers: Vec<&str> = found.iter().map(|found| found.sampler).collect();
    assert_eq!(samplers, ["dirichlet", "aion", "aion-ordered"]);
    for found in &found {
        assert_eq!(
            (found.objects, found.input.budget, found.target.budget),
            (200, 16, 8)
        );
        assert_eq!(found.by_modality["tok_xp_bp"].objects, 200);
        let shares: f64 = found.input.fills.iter().sum();
        assert!((shares - 1.0).abs() < 1e-9);
    }
    // What AION's sampler is for: budgets that are full.
    assert!(
        found[1].input.full > 0.6 && found[0].input.full < 0.3,
        "{found:?}"
    );
}
