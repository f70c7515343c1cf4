//! Work in shards: how it is cut, claimed, taken over and recorded.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aion_data::shards::{
    Claim, Claimed, Claims, Fingerprint, Input, Part, Plan, ShardReport, Start, Task, WorkFolder,
    Worker,
};
use aion_data::{DataError, Problem};

const TIMEOUT: Duration = Duration::from_secs(60);

fn input(path: &str, bytes: u64, objects: Option<u64>) -> Input {
    let sha256 = String::new();
    Input {
        path: path.to_owned(),
        fingerprint: Fingerprint { bytes, sha256 },
        objects,
    }
}

fn plan(inputs: Vec<Input>, rows: u64) -> Plan {
    Plan::new(Task::default(), inputs, rows)
}

fn small_plan() -> Plan {
    plan(vec![input("a.parquet", 100, Some(25))], 10)
}

#[test]
fn long_files_are_split_and_short_ones_grouped() {
    let inputs = vec![
        input("long", 1, Some(25)),
        input("short", 1, Some(3)),
        input("empty", 1, Some(0)),
        input("spectrum", 1000, None),
        input("table", 1 << 20, None),
        input("last", 1, Some(2)),
    ];
    let plan = plan(inputs, 10);
    let part = |input, rows| Part { input, rows };
    let expected = [
        vec![part(0, Some((0, 10)))],
        vec![part(0, Some((10, 20)))],
        vec![
            part(0, Some((20, 25))),
            part(1, None),
            part(2, None),
            part(3, None),
        ],
        vec![part(4, None)],
        vec![part(5, None)],
    ];
    assert_eq!(plan.shards, expected);
    assert_eq!(plan.objects_of(1), 10);
    assert_eq!(plan.objects_before(&plan.shards[1][0]), 10);
    assert_eq!(plan.objects_before(&plan.shards[2][1]), 25);
}

#[test]
fn every_row_is_in_one_shard() {
    for rows in 1..30 {
        let counts = [7, 0, 31, 1, 1, 12];
        let inputs = counts.map(|count| input("x", 1, Some(count)));
        let plan = plan(inputs.to_vec(), rows);
        let mut next = [0; 6];
        for part in plan.shards.iter().flatten() {
            let (first, end) = part.rows.unwrap_or((0, counts[part.input]));
            assert_eq!(next[part.input], first, "{rows} rows a shard");
            next[part.input] = end;
        }
        assert_eq!(next, counts);
        assert!((0..plan.shards.len()).all(|shard| plan.objects_of(shard) <= rows));
    }
}

#[test]
fn fingerprints_notice_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let of = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        Fingerprint::of(&path).unwrap()
    };
    assert_ne!(of(b"one"), of(b"two"));
    assert_eq!(of(b"one"), of(b"one"));
    let mut large = vec![0; 9 << 20];
    let before = of(&large);
    *large.last_mut().unwrap() = 1;
    assert_ne!(before, of(&large));
    large[0] = 1;
    *large.last_mut().unwrap() = 0;
    assert_ne!(before, of(&large));
}

#[track_caller]
fn mine(claims: &Claims, name: &str) -> (Claim, Option<Worker>) {
    match claims.claim(name).unwrap() {
        Claimed::Mine { claim, after } => (claim, after),
        Claimed::Taken(by) => panic!("taken by {by:?}"),
    }
}

fn taken(claims: &Claims, name: &str) -> bool {
    matches!(claims.claim(name).unwrap(), Claimed::Taken(_))
}

#[test]
fn a_claim_is_one_workers() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Claims::open(folder.path(), Worker::this(), TIMEOUT).unwrap();
    let (one, two) = (open(), open());
    let (claim, _) = mine(&one, "00000");
    assert!(taken(&two, "00000"));
    assert!(two.is_held("00000").unwrap() && !two.is_held("00001").unwrap());
    drop(mine(&two, "00001"));
    drop(claim);
    let (claim, after) = mine(&two, "00000");
    assert!(after.is_none() && claim.is_mine().unwrap());
    drop(claim);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn many_threads_share_claims_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let worker = || {
            let claims = Claims::open(folder.path(), Worker::this(), TIMEOUT).unwrap();
            let mut held = Vec::new();
            for shard in 0..50 {
                match claims.claim(&format!("{shard:05}")).unwrap() {
                    Claimed::Mine { claim, .. } => held.push(claim),
                    Claimed::Taken(_) => {}
                }
            }
            // All workers end together, so that none gives a claim up that another may still ask for.
            let count = held.len();
            (count, held, claims)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        let ended: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        ended.iter().map(|(count, ..)| *count).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 50);
}

fn write_claim(folder: &Path, name: &str, worker: &Worker) {
    fs::write(folder.join(name), serde_json::to_vec(worker).unwrap()).unwrap();
}

#[test]
fn a_worker_that_is_gone_loses_its_claim_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let claims = Claims::open(folder.path(), Worker::this(), TIMEOUT).unwrap();
    let gone = Worker {
        pid: u32::MAX - 1,
        ..Worker::this()
    };
    write_claim(folder.path(), "00000.0", &gone);
    let (claim, after) = mine(&claims, "00000");
    assert_eq!(after, Some(gone));
    claim.settle().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // A number that was used again is another process.
    let before = Worker {
        started: Worker::this().started + 1,
        ..Worker::this()
    };
    write_claim(folder.path(), "00001.0", &before);
    mine(&claims, "00001");
}

#[test]
fn a_silent_worker_elsewhere_loses_its_claim_after_the_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let claims = Claims::open(folder.path(), Worker::this(), TIMEOUT).unwrap();
    let elsewhere = Worker {
        host: "elsewhere".into(),
        space: "elsewhere".into(),
        ..Worker::this()
    };
    write_claim(folder.path(), "00000.0", &elsewhere);
    assert!(taken(&claims, "00000"));
    assert_eq!(claims.other().unwrap(), Some(elsewhere.clone()));
    let age = |name: &str, seconds| {
        let file = File::options().write(true).open(folder.path().join(name));
        let time = SystemTime::now() - Duration::from_secs(seconds);
        file.unwrap().set_modified(time).unwrap();
    };
    age("00000.0", 30);
    assert!(taken(&claims, "00000"));
    age("00000.0", 90);
    let (ours, after) = mine(&claims, "00000");
    assert_eq!(after, Some(elsewhere));
    // We fall silent in turn, a third takes over, and we notice.
    write_claim(folder.path(), "00000.2", &Worker::this());
    assert!(!ours.is_mine().unwrap());
}

#[test]
fn a_living_worker_keeps_its_claim() {
    let folder = tempfile::tempdir().unwrap();
    let timeout = Duration::from_millis(400);
    let claims = Claims::open(folder.path(), Worker::this(), timeout).unwrap();
    let other = Claims::open(folder.path(), Worker::this(), timeout).unwrap();
    let (claim, _) = mine(&claims, "00000");
    std::thread::sleep(3 * timeout);
    assert!(taken(&other, "00000"));
    assert!(claim.is_mine().unwrap());
}

#[track_caller]
fn refused(folder: Result<WorkFolder, DataError>, words: &[&str]) {
    let error = folder.expect_err("refused").to_string();
    for word in words {
        assert!(error.contains(word), "`{word}` in: {error}");
    }
}

fn open(output: &Path, plan: Plan, start: Start) -> Result<WorkFolder, DataError> {
    WorkFolder::open(output, plan, start, TIMEOUT)
}

#[test]
fn an_output_is_continued_with_its_own_plan_only() {
    let scratch = tempfile::tempdir().unwrap();
    let output = scratch.path().join("out");
    drop(open(&output, small_plan(), Start::New).unwrap());
    drop(open(&output, small_plan(), Start::Resume).unwrap());
    // Nothing but our state is there yet: begun and killed at once.
    drop(open(&output, small_plan(), Start::New).unwrap());
    fs::write(output.join("00000.parquet"), "rows").unwrap();
    refused(
        open(&output, small_plan(), Start::New),
        &["exists", "--resume"],
    );

    let resume = |plan| open(&output, plan, Start::Resume);
    refused(
        resume(plan(vec![input("a.parquet", 100, Some(25))], 9)),
        &["shards"],
    );
    let changed = plan(vec![input("a.parquet", 101, Some(25))], 10);
    refused(resume(changed), &["a.parquet", "changed"]);
    let other = plan(vec![input("b.parquet", 100, Some(25))], 10);
    refused(resume(other), &["a.parquet", "b.parquet"]);
    let mut other = small_plan();
    other
        .task
        .model
        .insert("model.safetensors".into(), "ab".into());
    refused(resume(other), &["model.safetensors", "absent", "ab"]);
    let mut other = small_plan();
    other.task.options.insert("seed".into(), "1".into());
    refused(resume(other), &["option seed"]);

    fs::write(output.join(".aion/plan.json"), "{\"options\": ").unwrap();
    refused(resume(small_plan()), &["plan.json", "JSON"]);
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("thesis.tex"), "words").unwrap();
    for start in [Start::New, Start::Resume, Start::Share] {
        assert!(open(scratch.path(), small_plan(), start).is_err());
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn a_shard_is_complete_with_its_report_and_its_file() {
    let scratch = tempfile::tempdir().unwrap();
    let output = scratch.path().join("out");
    let folder = open(&output, small_plan(), Start::New).unwrap();
    let file = output.join("00001.parquet");
    let report = ShardReport {
        file: Some("00001.parquet".into()),
        objects: 10,
        bytes: 4,
        ..ShardReport::default()
    };
    let complete = || {
        let Some(Claimed::Mine { claim, .. }) = folder.claim(1, &output).unwrap() else {
            panic!("not ours");
        };
        fs::write(&file, "rows").unwrap();
        assert!(folder.complete(1, claim, &report).unwrap());
        assert_eq!(folder.done(1, &output).unwrap().as_ref(), Some(&report));
        assert!(folder.claim(1, &output).unwrap().is_none());
    };
    complete();
    assert!(folder.reports(&output).unwrap().is_none());
    // A file that was cut or is gone, and a report that is damaged: done again.
    fs::write(&file, "row").unwrap();
    complete();
    fs::remove_file(&file).unwrap();
    complete();
    fs::write(output.join(".aion/done/00001.json"), "{").unwrap();
    complete();
}

#[test]
fn a_damaged_manifest_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let output = scratch.path().join("out");
    let folder = open(&output, small_plan(), Start::New).unwrap();
    assert!(folder.manifest().unwrap().is_none());
    let made = folder
        .finish(&[ShardReport::default()], None, BTreeMap::new())
        .unwrap();
    assert_eq!(folder.manifest().unwrap(), Some(made));
    let path = output.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let error = folder.manifest().unwrap_err();
    assert!(
        matches!(error.problem, Problem::Container { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("manifest.json"), "{error}");
}
