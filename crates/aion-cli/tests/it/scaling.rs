//! `aion scaling` from outside, on the ladder that lasts seconds.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::{Scratch, signal, wait_until};

/// The shipped ladder with absolute paths.
fn ladder(scratch: &Scratch) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("configs/scaling/smoke.toml")).expect("shipped");
    let codecs = root.join("models/aion-tiny").display().to_string();
    let output = scratch.path("study").display().to_string();
    let text = text.replace("models/aion-tiny", &codecs);
    let text = text.replace("target/scaling/smoke", &output);
    let path = scratch.path("ladder.toml");
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn results(stdout: &str) -> Value {
    let mut results: Value = serde_json::from_str(stdout).expect("JSON");
    for outcome in results["outcomes"].as_array_mut().expect("results") {
        outcome["seconds"] = Value::Null;
    }
    results
}

#[test]
fn a_study_is_trained_once_and_drawn_again() {
    let scratch = Scratch::new();
    let ladder = ladder(&scratch);
    let first = scratch.aion(["scaling", &ladder, "--json"]).success();
    let first = results(&first.stdout);
    assert_eq!(first["outcomes"].as_array().map(Vec::len), Some(12));
    assert_eq!(
        first["analysis"]["checks"].as_array().map(Vec::len),
        Some(3)
    );
    assert!(scratch.path("study/scaling.svg").is_file());

    let refused = scratch.aion(["scaling", &ladder]);
    assert!(
        refused.code != 0 && refused.stderr.contains("resume"),
        "{}",
        refused.stderr
    );

    // A result that is lost is trained again, to the same numbers.
    fs::remove_dir_all(scratch.path("study/rungs/24x1+1-48")).expect("there");
    let partial = scratch
        .aion(["scaling", &ladder, "--replot", "--json"])
        .success();
    let left = results(&partial.stdout)["outcomes"]
        .as_array()
        .map(Vec::len);
    assert_eq!(left, Some(11));
    let resumed = scratch
        .aion(["scaling", &ladder, "--resume", "--json"])
        .success();
    assert!(
        resumed.stderr.contains("run 12 of 12"),
        "{}",
        resumed.stderr
    );
    assert!(
        !resumed.stderr.contains("run 1 of 12"),
        "{}",
        resumed.stderr
    );
    assert_eq!(results(&resumed.stdout), first);

    let stored = scratch.path("study/study.json").display().to_string();
    let figure = scratch.path("figure.svg").display().to_string();
    let arguments = ["scaling", &stored, "--replot", "--plot", &figure];
    let table = scratch.aion(arguments).success().stdout;
    assert!(
        table.contains("alpha") && table.contains("8x1+1-12"),
        "{table}"
    );
    let drawn = fs::read_to_string(&figure).expect("drawn");
    assert_eq!(drawn.matches("<circle").count(), 12);
}

#[test]
fn stored_results_are_not_trained() {
    let scratch = Scratch::new();
    let path = scratch.path("study.json");
    fs::write(&path, "{}").expect("written");
    let path = path.display().to_string();
    scratch.aion(["scaling", &path]).refused(&["--replot"]);
    scratch
        .aion(["scaling", &path, "--replot"])
        .refused(&["study.json", "no study"]);
}

#[cfg(unix)]
#[test]
fn sigterm_leaves_what_is_done_and_says_so_by_the_exit_code() {
    let scratch = Scratch::new();
    let ladder = ladder(&scratch);
    let mut child = Command::new(env!("CARGO_BIN_EXE_aion"))
        .args(["scaling", &ladder])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // The first run's folder is there, and eleven others are to come.
    let first = scratch.path("study/rungs/8x1+1-12/losses.jsonl");
    wait_until(&mut child, || first.exists());
    signal(&child, "TERM");
    let outcome = child.wait_with_output().expect("ends");
    let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(outcome.status.code(), Some(75), "{text}");
    assert!(text.contains("of 12 runs: --resume goes on"), "{text}");
    let resumed = scratch.aion(["scaling", &ladder, "--resume", "--json"]);
    let resumed = results(&resumed.success().stdout);
    let straight = scratch.path("straight.toml");
    let text = fs::read_to_string(&ladder).expect("there");
    fs::write(&straight, text.replace("/study", "/straight")).expect("written");
    let straight = straight.display().to_string();
    let straight = scratch.aion(["scaling", &straight, "--json"]).success();
    assert_eq!(resumed, results(&straight.stdout));
}

#[test]
fn wrong_ladders_name_their_key() {
    let scratch = Scratch::new();
    let path = ladder(&scratch);
    let text = fs::read_to_string(&path).expect("there");
    for (from, to, named) in [
        ("draws = 100", "drawz = 100", "drawz"),
        ("draws = 100", "draws = 0", "ladder.draws"),
        ("[12, 24, 48]", "[]", "ladder.objects"),
        ("held_out = 16", "held_out = 0", "ladder.held_out"),
        ("held_out = 16", "held_out = 95", "at least 143"),
        ("\"tok_segmap\"", "\"tok_segmep\"", "tok_segmep"),
        ("heads = 1 }", "heads = 3 }", "heads"),
        ("dim = 12,", "dim = 8,", "8x1+1"),
        ("[model]\n", "[model]\npreset = \"tiny\"\n", "ladder.sizes"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).expect("written");
        scratch.aion(["scaling", &path]).refused(&[named]);
        assert!(!scratch.path("study/study.json").exists(), "{to}");
        fs::remove_dir_all(scratch.path("study")).ok();
    }
}
