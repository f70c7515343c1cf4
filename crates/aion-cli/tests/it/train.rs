//! `aion train` from outside: killed, stopped, resumed, out of disk, wrongly asked.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::run::{Scratch, signal, wait_until};

/// A small image codec; about a second.
const RUN: &str = r#"
[run]
seed = 3
steps = 24
batch = 2
output = "elsewhere"
log_every = 4
checkpoint_every = 3
[optim]
ema = 0.99
[data.simulated]
seed = 4
count = 40
[codec]
kind = "image"
[codec.config]
quantizer_levels = [7, 5, 5, 5, 5]
hidden_dims = 8
multisurvey_projection_dims = 6
n_compressions = 2
num_consecutive = 1
embedding_dim = 5
range_compression_factor = 0.01
mult_factor = 10.0
[report]
objects = 0
[save]
checkpoint = "elsewhere"
"#;

fn run_file(scratch: &Scratch, from: &str, to: &str) -> PathBuf {
    assert!(RUN.contains(from), "{from}");
    let path = scratch.path("run.toml");
    std::fs::write(&path, RUN.replace(from, to)).expect("writable");
    path
}

fn arguments(run: &Path, output: &Path, more: &[&str]) -> Vec<String> {
    let (run, output) = (run.display().to_string(), output.display().to_string());
    let mut arguments = vec!["train".to_owned(), "codec".to_owned(), run];
    arguments.extend(["--output".to_owned(), output]);
    arguments.extend(more.iter().map(|text| (*text).to_owned()));
    arguments
}

fn start(run: &Path, output: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_aion"))
        .args(arguments(run, output, more))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs")
}

/// The trained weights.
fn result(output: &Path) -> Vec<u8> {
    std::fs::read(output.join("model.safetensors")).expect("a result")
}

/// Number of processes that have come to their first step in a run's folder: each has an event file.
fn starts(output: &Path) -> usize {
    let entries = std::fs::read_dir(output).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("events.out.tfevents."))
        .count()
}

/// Waits until the process has come to its first step, while it lives.
fn wait_for_start(output: &Path, before: usize, child: &mut Child) {
    wait_until(child, || starts(output) != before);
}

#[test]
fn killed_at_any_moment_and_resumed_the_result_is_the_same() {
    let scratch = Scratch::new();
    let run = run_file(&scratch, "steps", "steps");
    let (straight, killed) = (scratch.path("straight"), scratch.path("killed"));
    scratch
        .aion(arguments(&run, &straight, &["--json"]))
        .success();
    let mut resume: &[&str] = &[];
    // Some deaths between steps, some while a checkpoint is written, one before the first.
    for milliseconds in [0, 30, 150, 70, 200, 110] {
        let before = starts(&killed);
        let mut child = start(&run, &killed, resume);
        wait_for_start(&killed, before, &mut child);
        sleep(Duration::from_millis(milliseconds));
        child.kill().expect("killed");
        child.wait().expect("gone");
        resume = &["--resume"];
    }
    scratch
        .aion(arguments(&run, &killed, &["--resume"]))
        .success();
    assert!(result(&straight) == result(&killed));
    let left = std::fs::read_dir(killed.join("checkpoints")).expect("there");
    assert_eq!(left.count(), 2, "kept checkpoints and nothing else");
}

#[cfg(unix)]
#[test]
fn sigterm_saves_and_says_so_by_the_exit_code() {
    let scratch = Scratch::new();
    let run = run_file(&scratch, "steps = 24", "steps = 80");
    let (straight, stopped) = (scratch.path("straight"), scratch.path("stopped"));
    scratch.aion(arguments(&run, &straight, &[])).success();
    let mut codes = Vec::new();
    for name in ["TERM", "INT"] {
        let resume: &[&str] = if codes.is_empty() { &[] } else { &["--resume"] };
        let before = starts(&stopped);
        let mut child = start(&run, &stopped, resume);
        wait_for_start(&stopped, before, &mut child);
        sleep(Duration::from_millis(50));
        signal(&child, name);
        codes.push(child.wait().expect("gone").code());
    }
    assert_eq!(codes, [Some(75), Some(75)]);
    assert!(!stopped.join("model.safetensors").exists());
    scratch
        .aion(arguments(&run, &stopped, &["--resume"]))
        .success();
    assert!(result(&straight) == result(&stopped));
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_that_leaves_the_last_checkpoint() {
    let scratch = Scratch::new();
    let run = run_file(&scratch, "steps", "steps");
    let (straight, full) = (scratch.path("straight"), scratch.path("full"));
    scratch.aion(arguments(&run, &straight, &[])).success();
    start(&run, &full, &[]).wait().expect("ends");
    // Back to the middle of the run, as if it had been killed there.
    let checkpoints = full.join("checkpoints");
    std::fs::remove_file(full.join("model.safetensors")).expect("removed");
    std::fs::remove_dir_all(checkpoints.join("step-00000024")).expect("removed");
    // Files may grow to a few blocks: smaller than weights, larger than the log.
    let words: Vec<String> = arguments(&run, &full, &["--resume"])
        .iter()
        .map(|word| format!("'{word}'"))
        .collect();
    let binary = env!("CARGO_BIN_EXE_aion");
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{binary}' {}",
        words.join(" ")
    );
    let outcome = Command::new("sh")
        .args(["-c", &script])
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(outcome.status.code(), Some(1), "{text}");
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert!(
        errors.len() == 1 && errors[0].contains("step-00000024"),
        "{text}"
    );
    let left = std::fs::read_dir(&checkpoints).expect("there");
    let names: Vec<_> = left
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["step-00000021"]);
    scratch
        .aion(arguments(&run, &full, &["--resume"]))
        .success();
    assert!(result(&straight) == result(&full));
}

#[test]
fn everything_goes_into_the_output_folder_and_is_a_codec() {
    let scratch = Scratch::new();
    let run = run_file(&scratch, "steps = 24", "steps = 8");
    let output = scratch.path("out");
    let plot = scratch.path("curves.svg").display().to_string();
    let outcome = scratch.aion(arguments(&run, &output, &["--json", "--plot", &plot]));
    let outcome = outcome.success();
    let summary: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(
        (&summary["steps"], &summary["stopped"]),
        (&8.into(), &false.into())
    );
    assert!(
        summary["last"]["peak_mb"]
            .as_f64()
            .is_none_or(|mb| mb > 1.0)
    );
    for name in [
        "config.json",
        "model.safetensors",
        "run.toml",
        "losses.jsonl",
    ] {
        assert!(output.join(name).is_file(), "{name}");
    }
    assert_eq!(scratch.names(), ["curves.svg", "out", "run.toml"]);
    let entries = std::fs::read_dir(&output).expect("there").flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert!(names.any(|name| name.starts_with("events.out.tfevents.")));
    let output = output.display().to_string();
    scratch.aion(["train", "plot", &output]).success();
    for path in [plot, format!("{output}/curves.svg")] {
        let svg = std::fs::read_to_string(&path).expect("a picture");
        assert!(
            svg.contains("likelihood") && svg.contains("learning rate"),
            "{path}"
        );
    }
    let again = scratch.aion(arguments(&run, Path::new(&output), &[]));
    again.refused(&["already holds a run", "out"]);
}

#[test]
fn the_seed_of_the_command_line_counts() {
    let scratch = Scratch::new();
    let run = run_file(&scratch, "steps = 24", "steps = 3");
    let train = |name: &str, more: &[&str]| {
        let output = scratch.path(name);
        scratch.aion(arguments(&run, &output, more)).success();
        result(&output)
    };
    let own = train("own", &[]);
    assert!(own == train("same", &["--seed", "3"]));
    assert!(own != train("other", &["--seed", "4"]));
    let resumed = arguments(&run, &scratch.path("other"), &["--resume"]);
    scratch.aion(resumed).refused(&["`run.seed` is 3, was 4"]);
}

#[test]
fn wrong_run_files_name_their_key() {
    let scratch = Scratch::new();
    for (from, to, named) in [
        ("steps = 24", "stepz = 24", "stepz"),
        ("steps = 24", "steps = 0", "run.steps"),
        ("batch = 2", "batch = 0", "run.batch"),
        ("batch = 2", "batch = 2\nkeep_last = 0", "run.keep_last"),
        ("ema = 0.99", "ema = 1.0", "optim.ema"),
        ("ema = 0.99", "frozen = [\"nothing.*\"]", "optim.frozen"),
        (
            "[data.s",
            "[lora]\nrank = 0\nalpha = 1.0\ntargets = [\"*\"]\n[data.s",
            "lora.rank",
        ),
        (
            "[data.s",
            "[lora]\nrank = 1\nalpha = 1.0\ntargets = [\"x\"]\n[data.s",
            "lora.targets",
        ),
        ("hidden_dims = 8", "hidden_dims = 0", "hidden_dims"),
        ("embedding_dim = 5", "embedding_dim = 4", "embedding_dim"),
        ("count = 40", "count = 0", "data.simulated.count"),
    ] {
        let run = run_file(&scratch, from, to);
        scratch
            .aion(arguments(&run, &scratch.path("out"), &[]))
            .refused(&[named]);
        std::fs::remove_dir_all(scratch.path("out")).ok();
    }
    let run = run_file(&scratch, "steps", "steps");
    let path = run.display().to_string();
    let model = scratch.aion(["train", "model", &path]);
    model.refused(&["aion train codec"]);
    let nothing = scratch.aion(arguments(&run, &scratch.path("none"), &["--resume"]));
    nothing.refused(&["there is no run"]);
    let none = scratch.path("none").display().to_string();
    scratch
        .aion(["train", "plot", &none])
        .refused(&["losses.jsonl"]);
}

#[test]
fn objects_need_codecs_to_become_tokens() {
    let scratch = Scratch::new();
    let (run, bare) = (scratch.path("run.toml"), scratch.path("bare"));
    let text = r#"
[run]
seed = 1
steps = 1
batch = 1
output = "BARE"
[data.simulated]
seed = 4
count = 4
[model]
preset = "tiny"
[save]
checkpoint = "BARE"
"#;
    let text = text.replace("BARE", &bare.display().to_string());
    std::fs::write(&run, text).expect("writable");
    let run = run.display().to_string();
    scratch
        .aion(["train", "model", &run])
        .refused(&["`model.codecs`", "bare", "no codecs"]);
}
