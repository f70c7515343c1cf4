//! `aion evaluate` from outside, on the bundled model and a small simulated sky.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::Scratch;

/// A run file that makes the bundled model, of a sky that is soon looked through.
fn run_file(scratch: &Scratch, data: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = root.join("models/aion-tiny");
    let text = format!(
        r#"
[run]
seed = 1
steps = 1
batch = 1
output = "unused"
[report]
objects = 2
{data}
[model]
preset = "tiny"
[save]
checkpoint = {model:?}
"#
    );
    let path = scratch.path("run.toml");
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn evaluate(scratch: &Scratch, run: &str) -> Value {
    let output = scratch.path("report").display().to_string();
    let small = ["--objects", "4", "--redshifts", "5", "--json"];
    let arguments = ["evaluate", run, "--output", &output]
        .into_iter()
        .chain(small);
    let stdout = scratch.aion(arguments).success().stdout;
    serde_json::from_str(&stdout).expect("JSON")
}

#[test]
fn a_simulated_sky_is_reported_on_and_handed_to_other_methods() {
    let scratch = Scratch::new();
    let run = run_file(&scratch, "[data.simulated]\nseed = 2024\ncount = 40");
    let report = evaluate(&scratch, &run);
    let samples = report["samples"].as_array().expect("samples");
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0]["simulated"], true);
    let rows = samples[0]["cross_entropy"].as_array().expect("rows");
    for row in rows {
        let objects = row["objects"].as_u64().expect("a count");
        assert!((1..=4).contains(&objects), "{row}");
        let all = row["all"].as_f64().expect("a mean");
        let unigram = row["unigram"]["nats"].as_f64().expect("a mean");
        let gain = row["unigram"]["loss"].as_f64().expect("a difference");
        assert!(all > 0.0 && (unigram - all - gain).abs() < 1e-9, "{row}");
    }
    let image = rows.iter().find(|row| row["modality"] == "tok_image");
    let image = image.expect("images are asked for");
    assert_eq!(image["tokens"].as_u64(), Some(4 * 576));
    assert!(image["unigram"]["loss"].as_f64() > Some(0.0), "{image}");
    // Images and spectra say more than numbers alone: for all modalities together, as there are few objects.
    let over_numbers = rows
        .iter()
        .filter_map(|row| row["numbers"]["loss"].as_f64());
    assert!(over_numbers.sum::<f64>() > 0.0);
    let reconstructed = samples[0]["reconstruction"].as_array().expect("codecs");
    let of = |key: &str| reconstructed.iter().find(|row| row["modality"] == key);
    assert_eq!(of("tok_image").expect("judged")["measurements"], 2);
    assert_eq!(of("tok_z").expect("judged")["fidelity"][0]["band"], "value");

    let tables = fs::read(scratch.path("report/redshift-table.json")).expect("written");
    let tables: Value = serde_json::from_slice(&tables).expect("JSON");
    for found in report["redshifts"].as_array().expect("redshifts") {
        let table = tables.as_array().expect("tables").iter();
        let table = table
            .clone()
            .find(|table| table["survey"] == found["survey"]);
        let test = table.expect("a table")["test"]
            .as_array()
            .expect("rows")
            .iter();
        let estimates = found["estimates"].as_array().expect("redshifts").iter();
        let redshifts: Vec<&Value> = estimates.map(|estimate| &estimate["z"]).collect();
        assert_eq!(redshifts, test.map(|row| &row["z"]).collect::<Vec<_>>());
    }
    for file in [
        "report.md",
        "figures/cross-entropy-simulated.svg",
        "figures/pit-legacy-simulated.svg",
    ] {
        assert!(scratch.path("report").join(file).is_file(), "{file}");
    }
    assert_eq!(evaluate(&scratch, &run), report);
}

#[test]
fn a_run_without_objects_or_without_a_model_is_refused() {
    let scratch = Scratch::new();
    let output = scratch.path("report").display().to_string();
    let run = run_file(&scratch, "[[data.tokens]]\npaths = [\"nowhere.parquet\"]");
    scratch
        .aion(["evaluate", &run, "--output", &output])
        .refused(&["data", "tokens alone"]);
    let codec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/codec/smoke-image.toml");
    let codec = codec.display().to_string();
    scratch
        .aion(["evaluate", &codec, "--output", &output])
        .refused(&["`model`", "trains a codec"]);
    assert!(!scratch.path("report").exists());
}
