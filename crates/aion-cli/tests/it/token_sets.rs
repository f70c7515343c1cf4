//! `aion masks` and `aion leakage` on the bundled tokens of a simulated sky.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Scratch, model};

fn bundled(name: &str) -> PathBuf {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/tokens");
    demo.join(format!("{name}.parquet"))
}

/// A run file on bundled sets.
fn run_file(scratch: &Scratch, name: &str, test: f64, more: &str) -> String {
    let sets: String = ["legacy", "legacy-desi"]
        .map(|set| format!("[[data.tokens]]\npaths = [{:?}]\n", bundled(set)))
        .concat();
    let text = format!(
        "[run]\nseed = 1\nsteps = 2\nbatch = 2\noutput = {:?}\n[data.split]\nvalidation = 0.1\ntest = {test}\n{sets}\
         [save]\ncheckpoint = {:?}\n[model]\npreset = \"tiny\"\n{more}",
        scratch.path("run"),
        scratch.path("model"),
    );
    let path = scratch.path(name);
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[test]
fn masks_are_counted_and_drawn() {
    let scratch = Scratch::new();
    let run = run_file(
        &scratch,
        "run.toml",
        0.1,
        "[model.mask]\nsampler = \"aion-ordered\"\n",
    );
    let figure = scratch.path("masks.svg").display().to_string();
    let arguments = ["masks", &run, "--objects", "300", "--figure", &figure];
    let json = scratch
        .aion([&arguments[..], &["--json"]].concat())
        .success();
    let report: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let samplers = report["samplers"].as_array().expect("a list");
    assert_eq!(samplers.len(), 3);
    assert_eq!(samplers[0]["sampler"], "aion-ordered");
    let fill = |place: usize| samplers[place]["input"]["fill"].as_f64().expect("a number");
    assert!(fill(1) > fill(2), "aion {} dirichlet {}", fill(1), fill(2));
    assert_eq!(samplers[1]["by_modality"]["tok_image"]["objects"], 300);
    let svg = fs::read_to_string(scratch.path("masks.svg")).expect("a figure");
    assert!(svg.contains("tok_image") && svg.contains("dirichlet"));
    let table = scratch.aion(arguments).success().stdout;
    assert!(table.contains("aion-ordered (the run's)") && table.contains("tok_spectrum_desi"));
}

#[test]
fn leaks_between_sets_fail() {
    let scratch = Scratch::new();
    let run = run_file(&scratch, "run.toml", 0.1, "");
    let clean = scratch.aion(["leakage", &run, "--json"]).success();
    let report: Value = serde_json::from_str(&clean.stdout).expect("JSON");
    assert_eq!(report["objects"], 0);
    assert!(report["sets"][1]["held_out"].as_u64() > Some(5), "{report}");

    let other = run_file(&scratch, "other.toml", 0.4, "");
    let leaking = scratch.aion(["leakage", &run, &other]);
    assert_eq!(leaking.code, 1, "{}{}", leaking.stdout, leaking.stderr);
    assert!(leaking.stderr.contains("leakage"), "{}", leaking.stderr);
    assert!(
        leaking.stdout.contains("arcsec apart"),
        "{}",
        leaking.stdout
    );

    let test = bundled("legacy-desi").display().to_string();
    let leaking = scratch.aion(["leakage", &run, "--test", &test]);
    assert_eq!(leaking.code, 1, "{}{}", leaking.stdout, leaking.stderr);
}

#[test]
fn tokens_of_other_codecs_do_not_train() {
    let scratch = Scratch::new();
    let codecs = format!("codecs = {:?}\n", model("full"));
    let run = run_file(&scratch, "run.toml", 0.1, &codecs);
    let outcome = scratch.aion(["train", "model", &run]);
    assert_ne!(outcome.code, 0);
    for part in ["legacy.parquet", "aion.sha256", "SHA-256", "expected"] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
}
