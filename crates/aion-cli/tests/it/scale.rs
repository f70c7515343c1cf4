//! Directories of shards: killed, continued, shared, and always the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aion_data::shards::Worker;
use aion_data::token_files::read_tokens;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::run::{Scratch, model, signal};

/// Writes a simulated table of positions, fluxes and parallaxes; without `parallax`, of fewer columns.
fn table(path: &Path, first: i64, rows: i64, parallax: bool) {
    let mut random = ChaCha8Rng::seed_from_u64(first as u64);
    let mut number = |low: f64, high: f64| -> ArrayRef {
        let values = (0..rows).map(|_| random.random_range(low..high));
        Arc::new(values.collect::<Float64Array>())
    };
    let ids: ArrayRef = Arc::new((first..first + rows).collect::<Int64Array>());
    let mut columns = vec![
        ("source_id", ids),
        ("ra", number(0.0, 360.0)),
        ("dec", number(-90.0, 90.0)),
        ("phot_g_mean_flux", number(100.0, 1e5)),
    ];
    if parallax {
        columns.push(("parallax", number(-1.0, 5.0)));
    }
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let file = fs::File::create(path).expect("created");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

/// A folder of two tables: the first without parallaxes.
fn input(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path("survey");
    fs::create_dir(&folder).expect("made");
    table(&folder.join("a.parquet"), 0, 4000, false);
    table(&folder.join("b.parquet"), 10_000, 6000, true);
    folder
}

/// Every file of an output but its logs, with its bytes.
fn files(output: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![output.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(output).expect("inside").to_owned();
            if path.is_dir() && name != Path::new(".aion/log") {
                folders.push(path);
            } else if path.is_file() {
                found.insert(name, fs::read(&path).expect("read"));
            }
        }
    }
    found
}

#[track_caller]
fn same(output: &Path, expected: &BTreeMap<PathBuf, Vec<u8>>) {
    let found = files(output);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(expected));
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{} differs", name.display());
    }
}

const SHARDS: [&str; 2] = ["--rows-per-shard", "500"];

struct Case {
    scratch: Scratch,
    model: PathBuf,
    input: PathBuf,
    /// The files of an undisturbed run.
    expected: BTreeMap<PathBuf, Vec<u8>>,
}

impl Case {
    fn new() -> Self {
        let scratch = Scratch::new();
        let (model, input) = (model("full"), input(&scratch));
        let output = scratch.path("undisturbed");
        scratch
            .verb("tokenize", (&model, &input, &output), &SHARDS)
            .success();
        let expected = files(&output);
        Case {
            scratch,
            model,
            input,
            expected,
        }
    }

    fn command(&self, output: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aion"));
        command.arg("tokenize").arg("--model").arg(&self.model);
        command.arg("--input").arg(&self.input);
        command.arg("--output").arg(output).args(SHARDS).args(more);
        command.env("XDG_CACHE_HOME", self.scratch.path(".cache"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

#[test]
fn shards_are_one_table_with_a_manifest() {
    let case = Case::new();
    let output = case.scratch.path("undisturbed");
    let manifest = fs::read(output.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["objects"], 10_000);
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(20));
    assert_eq!(manifest["inputs"][0]["objects"], 4000);
    assert!(manifest["model"]["codecs/parallax/model.safetensors"].is_string());
    let mut ids = Vec::new();
    for file in manifest["files"].as_array().expect("files") {
        let path = output.join(file["file"].as_str().expect("a name"));
        let digest = aion_data::shards::sha256(&path).expect("a digest");
        assert_eq!(file["sha256"], digest);
        ids.extend(
            read_tokens(&path)
                .expect("tokens")
                .into_iter()
                .map(|row| row.id),
        );
        // The first table has no parallaxes, but its shards have the column.
        let (columns, _) = aion_data::parquet_writer::describe(&path).expect("columns");
        assert!(columns.field_with_name("tok_parallax").is_ok());
    }
    let expected = (0..4000).chain(10_000..16_000);
    assert_eq!(ids, expected.map(|id| id.to_string()).collect::<Vec<_>>());
    let again = case.scratch.verb(
        "tokenize",
        (&case.model, &case.input, &output),
        &[SHARDS[0], SHARDS[1], "--resume"],
    );
    assert!(again.success().stdout.contains("10000 objects"));
    same(&output, &case.expected);
}

#[test]
fn a_killed_run_continues_to_the_same_bytes() {
    let case = Case::new();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for round in 0..4 {
        let output = case.scratch.path(&format!("killed{round}"));
        let mut killed = 0;
        loop {
            let mut child = case
                .command(&output, &["--resume"])
                .spawn()
                .expect("started");
            thread::sleep(Duration::from_millis(random.random_range(5..120)));
            if killed == 12 || child.try_wait().expect("asked").is_some() {
                assert!(child.wait().expect("ended").success());
                break;
            }
            // SIGKILL
            child.kill().expect("killed");
            child.wait().expect("ended");
            killed += 1;
        }
        same(&output, &case.expected);
    }
}

/// A run that is killed between its last file and the end of its claim leaves nothing for long.
#[test]
fn a_run_killed_at_its_very_end_is_swept_up() {
    let case = Case::new();
    let output = case.scratch.path("undisturbed");
    let gone = Worker {
        // This process did not begin at the system's start.
        started: 0,
        ..Worker::this()
    };
    let claim = serde_json::to_vec(&gone).expect("JSON");
    let claims = output.join(".aion/claims");
    fs::write(claims.join("finish.1"), claim).expect("written");
    // A temporary file that was made, and not yet written to.
    fs::write(claims.join(format!(".{}-7", gone.name())), "").expect("written");
    let status = case.command(&output, &["--resume"]).status();
    assert!(status.expect("ran").success());
    same(&output, &case.expected);
}

#[test]
fn workers_share_an_output() {
    let case = Case::new();
    let output = case.scratch.path("shared");
    let start = || {
        case.command(&output, &["--claim"])
            .spawn()
            .expect("started")
    };
    let mut workers = [start(), start(), start()];
    workers[0].kill().expect("killed");
    for (place, worker) in workers.iter_mut().enumerate() {
        let status = worker.wait().expect("ended");
        assert!(status.success() || place == 0);
    }
    same(&output, &case.expected);
    let logs = fs::read_dir(output.join(".aion/log")).expect("logs");
    let text: String = logs
        .map(|log| fs::read_to_string(log.expect("an entry").path()).expect("read"))
        .collect();
    let complete = text.lines().filter(|line| line.ends_with("500 objects"));
    assert_eq!(complete.count(), 20, "{text}");
}

#[test]
fn array_jobs_do_their_shares() {
    let case = Case::new();
    let output = case.scratch.path("array");
    for share in ["1/3", "2/3", "3/3"] {
        assert!(!output.join("manifest.json").exists());
        let status = case.command(&output, &["--shard", share]).status();
        assert!(status.expect("ran").success());
    }
    same(&output, &case.expected);
    let verb = |share: &str| {
        let more = ["--shard", share];
        let output = case.scratch.path("x");
        case.scratch
            .verb("tokenize", (&case.model, &case.input, &output), &more)
    };
    for wrong in ["0/3", "4/3", "x", "1"] {
        assert_eq!(verb(wrong).code, 2);
    }
}

#[test]
fn what_was_made_otherwise_is_refused() {
    let case = Case::new();
    let output = case.scratch.path("undisturbed");
    let run = |model: &Path, more: &[&str]| {
        let more: Vec<&str> = SHARDS.iter().chain(more).copied().collect();
        case.scratch
            .verb("tokenize", (model, &case.input, &output), &more)
    };
    run(&case.model, &[]).refused(&["exists", "--resume", "--claim"]);
    let other = crate::run::fixtures().join("../models/aion-tiny");
    run(&other, &["--resume"]).refused(&["begun otherwise", "the model's"]);
    run(&case.model, &["--resume", "--without", "tok_parallax"])
        .refused(&["begun otherwise", "without"]);
    table(&case.input.join("b.parquet"), 10_000, 6001, true);
    run(&case.model, &["--resume"]).refused(&["b.parquet", "changed"]);
    same(&output, &case.expected);
    let single = case.scratch.path("one.parquet");
    case.scratch
        .verb(
            "tokenize",
            (&case.model, &case.input, &single),
            &["--resume"],
        )
        .refused(&["--resume", "directory"]);
}

#[test]
fn what_was_left_out_is_counted_across_runs() {
    let case = Case::new();
    fs::write(case.input.join("c.csv"), "object_id,FLUX_G\n1,2.5\n2,abc\n").expect("written");
    fs::write(case.input.join("d.fits"), "not a table").expect("written");
    let output = case.scratch.path("skipped");
    let run = |more: &[&str]| {
        let more: Vec<&str> = SHARDS.iter().chain(more).copied().collect();
        case.scratch
            .verb("tokenize", (&case.model, &case.input, &output), &more)
    };
    run(&["--shard", "1/2", "--on-error", "skip"]).success();
    let all = run(&["--shard", "2/2", "--on-error", "skip", "--json"]).success();
    let report: serde_json::Value = serde_json::from_str(&all.stdout).expect("JSON");
    assert_eq!(report["objects"], 10_001);
    assert_eq!(report["finished"], true);
    assert!(all.stderr.contains("c.csv, object 2"), "{}", all.stderr);
    let manifest = fs::read(output.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let skipped = manifest["skipped"].as_object().expect("reasons");
    let count: u64 = skipped.values().filter_map(serde_json::Value::as_u64).sum();
    assert!(count >= 1, "{skipped:?}");
    assert!(
        skipped.keys().any(|reason| reason.contains("abc")),
        "{skipped:?}"
    );
}

#[cfg(unix)]
#[test]
fn asked_to_stop_it_stops_and_continues() {
    let case = Case::new();
    let output = case.scratch.path("stopped");
    for pause in [20, 40, 80, 160, 320] {
        let mut child = case
            .command(&output, &["--resume"])
            .spawn()
            .expect("started");
        thread::sleep(Duration::from_millis(pause));
        signal(&child, "TERM");
        let code = child.wait().expect("ended").code();
        // Before it listens, the signal ends it as any program.
        assert!([Some(0), Some(143), None].contains(&code), "{code:?}");
        let claims = fs::read_dir(output.join(".aion/claims"));
        assert!(code != Some(143) || claims.map_or(0, Iterator::count) == 0);
    }
    let status = case.command(&output, &["--resume"]).status();
    assert!(status.expect("ran").success());
    same(&output, &case.expected);
}
