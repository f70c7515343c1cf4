//! A directory of shards.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use aion_data::shards::{
    Claimed, Fingerprint, Input, Part, Plan, ShardReport, Start, Task, WorkFolder, sha256,
};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::pipeline::{Run, Units};
use super::reading::Unit;
use super::tokens::{Stage, TokenBatch};
use super::writing::Written;
use super::{end, hats};
use crate::input::{Extract, num_objects};
use crate::problems::Problems;
use crate::provenance::{Provenance, Record};
use crate::ranges::Ranges;
use crate::summary::Summary;

/// Pause before asking again for what other workers are at.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs a job into a directory of shards, or this process's share of them.
///
/// # Errors
/// As [`super::Job::run`]; the directory was begun otherwise.
pub fn run<R: Send>(
    run: &Run<'_, R>,
    mut provenance: Provenance,
    work: impl FnMut(&mut Stage<'_>, TokenBatch) -> anyhow::Result<Vec<R>>,
) -> anyhow::Result<()> {
    let job = run.job;
    provenance.without_command();
    let plan = plan(run, &mut provenance)?;
    let shards = job.shards;
    let start = match (shards.claim || shards.shard.is_some(), shards.resume) {
        (true, _) => Start::Share,
        (false, true) => Start::Resume,
        (false, false) => Start::New,
    };
    let timeout = Duration::from_secs(shards.claim_timeout);
    let folder = WorkFolder::open(job.output, plan, start, timeout)?;
    let at = shards_at(&folder, job.hats.is_some())?;
    if job.hats.is_some() && folder.manifest()?.is_some() {
        // Its intermediate shards are gone, or were about to be when a run was killed.
        hats::check(&folder)?;
        std::fs::remove_dir_all(&at)?;
        folder.sweep()?;
        return report(run, &folder, &at, &mut provenance, true);
    }
    let mine = |shard: &usize| shards.shard.is_none_or(|share| share.holds(*shard));
    let mut queue = Queue {
        run,
        folder: &folder,
        at: &at,
        pending: (0..folder.plan().shards.len()).filter(mine).collect(),
        taken: VecDeque::new(),
    };
    let objects = queue.objects()?;
    let units = Units {
        objects,
        next: |stopped: &AtomicBool| queue.next(stopped),
        path: |shard| at.join(shard_name(shard, job.format.shard)),
        end: |written| complete(&folder, written),
    };
    run.pipeline(&mut provenance, units, work)?;
    let finished = end::finish(&folder, &at, job, &mut provenance, run.record)?;
    report(run, &folder, &at, &mut provenance, finished)
}

/// Where shards lie: in the output, or where they are only intermediate, in a folder for that.
fn shards_at(folder: &WorkFolder, intermediate: bool) -> anyhow::Result<PathBuf> {
    if !intermediate {
        return Ok(folder.output().to_owned());
    }
    let rows = folder.rows();
    std::fs::create_dir_all(&rows)?;
    Ok(rows)
}

/// A shard's file.
fn shard_name(shard: usize, extension: &str) -> String {
    format!("{shard:05}.{extension}")
}

/// What is to be done: the same for every process that is given the same command and files.
fn plan<R>(run: &Run<'_, R>, provenance: &mut Provenance) -> anyhow::Result<Plan> {
    let job = run.job;
    let inputs = job.files.par_iter().map(|file| {
        Ok(Input {
            path: file.path.display().to_string(),
            fingerprint: Fingerprint::of(&file.path)?,
            objects: num_objects(&file.path),
        })
    });
    let inputs: aion_data::Result<Vec<Input>> = inputs.collect();
    let mut options = job.options.clone();
    let mut put = |name: &str, value: String| options.insert(name.to_owned(), value);
    put("command", job.verb.to_owned());
    put("version", env!("CARGO_PKG_VERSION").to_owned());
    put("reading", format!("{:?}", job.input.reading));
    put("without", job.input.without.join(","));
    put("on-error", format!("{:?}", job.input.on_error));
    put("batch", job.compute.batch.to_string());
    put("device", job.compute.machine.processor.device.to_string());
    put("seed", job.compute.machine.seed.to_string());
    put("hats", format!("{:?}", job.hats));
    put("floats", format!("{:?}", job.floats));
    let task = Task {
        options,
        model: provenance.model(job.transformer)?,
    };
    Ok(Plan::new(task, inputs?, job.shards.rows_per_shard))
}

/// The shards that this process has still to do.
struct Queue<'a, R: 'static> {
    run: &'a Run<'a, R>,
    folder: &'a WorkFolder,
    /// Where shards lie.
    at: &'a Path,
    pending: VecDeque<usize>,
    /// Those that others were at when last asked.
    taken: VecDeque<usize>,
}

impl<R> Queue<'_, R> {
    /// Leaves out what is complete, and counts the objects of the rest.
    fn objects(&mut self) -> anyhow::Result<u64> {
        let mut pending = VecDeque::new();
        let mut objects = 0;
        for shard in std::mem::take(&mut self.pending) {
            if self.folder.done(shard, self.at)?.is_none() {
                objects += self.folder.plan().objects_of(shard);
                pending.push_back(shard);
            }
        }
        self.pending = pending;
        Ok(objects)
    }

    /// Claims the next shard. Waits where others are at all that are left: one of them may die.
    fn next(&mut self, stopped: &AtomicBool) -> anyhow::Result<Option<Unit>> {
        while !stopped.load(Ordering::Relaxed) && self.run.interrupt.check().is_ok() {
            let Some(shard) = self.pending.pop_front() else {
                if self.taken.is_empty() {
                    break;
                }
                thread::sleep(PAUSE);
                std::mem::swap(&mut self.pending, &mut self.taken);
                continue;
            };
            match self.folder.claim(shard, self.at)? {
                None => {}
                Some(Claimed::Taken(_)) => self.taken.push_back(shard),
                Some(Claimed::Mine { claim, .. }) => {
                    return Ok(Some(Unit {
                        number: shard,
                        extracts: self.extracts(shard),
                        claim: Some(claim),
                    }));
                }
            }
        }
        Ok(None)
    }

    fn extracts(&self, shard: usize) -> Vec<Extract> {
        let plan = self.folder.plan();
        let parts = plan
            .shards
            .get(shard)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let extract = |part: &Part| {
            let before = plan.objects_before(part);
            Some(Extract {
                file: self.run.job.files.get(part.input)?.clone(),
                rows: part.range(),
                first: usize::try_from(before).ok(),
            })
        };
        parts.iter().filter_map(extract).collect()
    }
}

/// Notes that a shard is there.
fn complete(folder: &WorkFolder, written: Written) -> anyhow::Result<()> {
    let mut report = match &written.path {
        Some(path) => file_report(path, written.rows)?,
        None => ShardReport::default(),
    };
    let ended = written.ended;
    report.skipped = ended.problems.into_list();
    report.details = BTreeMap::from([
        (
            "ranges".to_owned(),
            serde_json::to_value(ended.ranges.saved())?,
        ),
        ("used".to_owned(), serde_json::to_value(&ended.record)?),
    ]);
    if let Some(claim) = ended.claim {
        folder.complete(written.number, claim, &report)?;
    }
    Ok(())
}

/// The report of a file of rows.
pub fn file_report(path: &Path, rows: u64) -> anyhow::Result<ShardReport> {
    let name = path.file_name().unwrap_or_default();
    Ok(ShardReport {
        file: Some(name.to_string_lossy().into_owned()),
        objects: rows,
        bytes: std::fs::metadata(path)?.len(),
        sha256: sha256(path)?,
        ..ShardReport::default()
    })
}

/// What shards of an output came to, together.
pub struct Sum {
    pub objects: u64,
    pub problems: Problems,
    pub ranges: Ranges,
    pub record: Record,
}

impl Sum {
    /// Sums up reports.
    ///
    /// # Errors
    /// A report is not ours.
    pub fn of(reports: Vec<ShardReport>, record: &Record) -> anyhow::Result<Self> {
        let mut sum = Sum {
            objects: 0,
            problems: Problems::new(crate::args::OnError::Skip),
            ranges: Ranges::new(false),
            record: record.clone(),
        };
        for mut report in reports {
            sum.objects += report.objects;
            sum.problems.extend(report.skipped);
            let mut take = |name: &str| report.details.remove(name).unwrap_or_default();
            sum.ranges
                .add_saved(serde_json::from_value(take("ranges"))?);
            sum.record.add(&serde_json::from_value(take("used"))?);
        }
        Ok(sum)
    }
}

/// Prints what came of the work so far.
fn report<R>(
    run: &Run<'_, R>,
    folder: &WorkFolder,
    at: &Path,
    provenance: &mut Provenance,
    finished: bool,
) -> anyhow::Result<()> {
    let job = run.job;
    let count = folder.plan().shards.len();
    let mut reports = Vec::new();
    for shard in 0..count {
        reports.extend(match finished {
            true => folder.report(shard)?,
            false => folder.done(shard, at)?,
        });
    }
    let complete = reports.len();
    let sum = Sum::of(reports, run.record)?;
    let mut more: Map<String, Value> = provenance.summary(&sum.record)?;
    more.insert(
        "shards".to_owned(),
        json!({"complete": complete, "of": count}),
    );
    more.insert("finished".to_owned(), json!(finished));
    Summary {
        output: job.output,
        objects: usize::try_from(sum.objects)?,
        problems: &sum.problems,
        ranges: job.encodes.then_some(&sum.ranges),
        more,
    }
    .print(job.json)?;
    if !finished && !job.json {
        eprintln!(
            "note: {complete} of {count} shards are complete; the process that completes the last \
             one writes manifest.json, or this command with --resume"
        );
    }
    Ok(())
}

/// The path of a shard's file.
pub fn shard_path(folder: &Path, report: &ShardReport) -> Option<PathBuf> {
    report.file.as_ref().map(|file| folder.join(file))
}
