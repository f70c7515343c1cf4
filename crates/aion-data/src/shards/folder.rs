//! An output directory while it is being made.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::claim::{Claim, Claimed, Claims};
use super::manifest::{Manifest, ShardFile, ShardReport, read_json, to_json, write_json};
use super::plan::Plan;
use super::worker::Worker;
use crate::atomic::{NewFile, io_error};
use crate::error::{DataError, Place, Problem, Result};

/// Folder of what the work needs, within the output.
const STATE: &str = ".aion";
const PLAN: &str = "plan.json";
const MANIFEST: &str = "manifest.json";
/// The claim to finish the output.
const FINISH: &str = "finish";

/// How a worker comes to an output directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It must be new.
    New,
    /// It may have been begun, but nobody else may be at work on it.
    Resume,
    /// It may have been begun, and others may be at work on it.
    Share,
}

/// An output directory, its plan, and this process's part in it.
#[derive(Debug)]
pub struct WorkFolder {
    output: PathBuf,
    plan: Plan,
    claims: Claims,
    log: Mutex<File>,
}

impl WorkFolder {
    /// Opens or begins the directory `output` for a plan; a worker that gives no sign of life for
    /// `timeout` counts as dead.
    ///
    /// # Errors
    /// The directory was made with another plan, which is said; it holds files that are not ours; it
    /// exists, or others are at work, where `start` allows neither; its state is damaged; it cannot
    /// be written.
    pub fn open(output: &Path, plan: Plan, start: Start, timeout: Duration) -> Result<Self> {
        let refuse = |problem: String| {
            let problem = Problem::Mismatch(problem);
            Err(DataError::new(Place::file(output), problem))
        };
        if start == Start::New && output.exists() && !is_empty(output)? {
            let hint = "the output exists; --resume continues it, --claim shares the work on it";
            return refuse(hint.to_owned());
        }
        let state = output.join(STATE);
        let failed = |error: io::Error| io_error(output, error);
        if !output.exists() {
            // Another worker may be just as fast.
            let created = fs::create_dir(output);
            created
                .or_else(|error| if output.is_dir() { Ok(()) } else { Err(error) })
                .map_err(failed)?;
        }
        let path = state.join(PLAN);
        let begun: Option<Plan> = read_json(&path)?;
        if begun.is_none() && !is_empty(output)? {
            let problem = "the folder holds files but no plan of aion: not an output to continue";
            return refuse(problem.to_owned());
        }
        for folder in ["done", "log"] {
            fs::create_dir_all(state.join(folder)).map_err(failed)?;
        }
        let begun = match begun {
            Some(begun) => begun,
            None => begin(&path, &plan)?,
        };
        if let Some(difference) = plan.difference(&begun) {
            return refuse(format!("the output was begun otherwise: {difference}"));
        }
        let worker = Worker::this();
        let log = state.join("log").join(format!("{}.log", worker.name()));
        let log = OpenOptions::new().create(true).append(true).open(log);
        let folder = WorkFolder {
            output: output.to_owned(),
            plan,
            claims: Claims::open(&state.join("claims"), worker, timeout)?,
            log: Mutex::new(log.map_err(failed)?),
        };
        if start != Start::Share
            && let Some(other) = folder.claims.other()?
        {
            let (pid, host) = (other.pid, other.host);
            let problem = format!(
                "process {pid} on {host} is at work on this output; --claim shares the work"
            );
            return refuse(problem);
        }
        Ok(folder)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The directory.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// A folder for what is only needed until the output is finished.
    pub fn rows(&self) -> PathBuf {
        self.output.join(STATE).join("rows")
    }

    /// Asks for a shard; `None` where it is complete already.
    ///
    /// # Errors
    /// The state cannot be read or written.
    pub fn claim(&self, shard: usize, at: &Path) -> Result<Option<Claimed>> {
        if self.is_complete(shard, at)? {
            return Ok(None);
        }
        // While the output is finished, files change before their reports do.
        if self.claims.is_held(FINISH)? {
            return Ok(Some(Claimed::Taken(None)));
        }
        let claimed = self.claims.claim(&shard_name(shard))?;
        if let Claimed::Mine { after, .. } = &claimed {
            // Whoever had it may have completed it between the two questions.
            if self.is_complete(shard, at)? {
                return Ok(None);
            }
            if let Some(Worker { host, pid, .. }) = after {
                self.log(&format!(
                    "shard {shard}: taken over from process {pid} on {host}"
                ))?;
            }
            self.log(&format!("shard {shard}: begun"))?;
        }
        Ok(Some(claimed))
    }

    /// Whether nothing is left to do of a shard: it is complete, or the output that was made of such
    /// intermediate ones is.
    fn is_complete(&self, shard: usize, at: &Path) -> Result<bool> {
        let finished = at != self.output && self.output.join(MANIFEST).exists();
        Ok(finished || self.done(shard, at)?.is_some())
    }

    /// The report of a shard as it was written, whatever became of its file; none where there is none
    /// or it is damaged.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn report(&self, shard: usize) -> Result<Option<ShardReport>> {
        match read_json(&self.report_path(shard)) {
            Err(error) if matches!(error.problem, Problem::Container { .. }) => Ok(None),
            report => report,
        }
    }

    /// The report of a shard that is complete: its file lies in the folder `at`, as long as reported.
    /// A shard whose report or file is damaged is not complete, and is done again.
    ///
    /// # Errors
    /// The report cannot be read.
    pub fn done(&self, shard: usize, at: &Path) -> Result<Option<ShardReport>> {
        Ok(self.report(shard)?.filter(|report| {
            let length = |file: &String| fs::metadata(at.join(file)).map(|found| found.len());
            let length = report.file.as_ref().map(length);
            length.is_none_or(|length| length.is_ok_and(|length| length == report.bytes))
        }))
    }

    /// Notes that a shard is complete. False where the claim was lost to a worker that gave this
    /// process up for dead: then that worker's report counts.
    ///
    /// # Errors
    /// The report cannot be written.
    pub fn complete(&self, shard: usize, claim: Claim, report: &ShardReport) -> Result<bool> {
        if !claim.is_mine()? {
            self.log(&format!("shard {shard}: lost to another worker"))?;
            return Ok(false);
        }
        write_json(&self.report_path(shard), report)?;
        claim.settle()?;
        self.log(&format!("shard {shard}: {} objects", report.objects))?;
        Ok(true)
    }

    /// Replaces the report of a shard whose file was rewritten in the same place.
    ///
    /// # Errors
    /// The report cannot be written.
    pub fn replace_report(&self, shard: usize, report: &ShardReport) -> Result<()> {
        write_json(&self.report_path(shard), report)
    }

    /// The reports of all shards, or `None` while any is not complete.
    ///
    /// # Errors
    /// A report cannot be read.
    pub fn reports(&self, at: &Path) -> Result<Option<Vec<ShardReport>>> {
        let shards = 0..self.plan.shards.len();
        shards.map(|shard| self.done(shard, at)).collect()
    }

    /// Asks for the claim to finish the output, which one worker does.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn claim_finish(&self) -> Result<Claimed> {
        self.claims.claim(FINISH)
    }

    /// Removes what killed workers left: files that were not finished, in all folders of the output,
    /// and claims. For when all shards are complete.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn sweep(&self) -> Result<()> {
        let mut folders = vec![self.output.clone()];
        while let Some(folder) = folders.pop() {
            let failed = |error: io::Error| io_error(&folder, error);
            let entries = match fs::read_dir(&folder) {
                // Another worker may have removed it, when the output was finished.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(failed)?,
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let text = name.to_string_lossy();
                if entry.file_type().is_ok_and(|found| found.is_dir()) {
                    folders.push(entry.path());
                } else if text.starts_with('.') && text.ends_with(".partial") {
                    // Another worker may have removed it.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        self.claims.sweep()
    }

    /// The manifest, where the output is finished.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        read_json(&self.output.join(MANIFEST))
    }

    /// Writes the manifest, which says that the output is finished. `files` are what was made of the
    /// shards, where they are not the output themselves.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(
        &self,
        reports: &[ShardReport],
        files: Option<Vec<ShardFile>>,
        details: BTreeMap<String, Value>,
    ) -> Result<Manifest> {
        let mut manifest = Manifest::new(&self.plan, reports, details);
        manifest.files = files.unwrap_or(manifest.files);
        write_json(&self.output.join(MANIFEST), &manifest)?;
        self.log("finished")?;
        Ok(manifest)
    }

    /// Adds a line with the time to this worker's log.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn log(&self, text: &str) -> Result<()> {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut log = self
            .log
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let line = format!("{}.{:03} {text}\n", time.as_secs(), time.subsec_millis());
        let written = log.write_all(line.as_bytes());
        written.map_err(|error| io_error(&self.output, error))
    }

    fn report_path(&self, shard: usize) -> PathBuf {
        let name = format!("{}.json", shard_name(shard));
        self.output.join(STATE).join("done").join(name)
    }
}

fn shard_name(shard: usize) -> String {
    format!("{shard:05}")
}

/// Writes the plan, or takes the one that another worker wrote at the same time.
fn begin(path: &Path, plan: &Plan) -> Result<Plan> {
    let text = to_json(path, plan)?;
    let file = NewFile::create(path)?;
    let mut handle = file.handle()?;
    let written = handle.write_all(&text).and_then(|()| handle.sync_all());
    written.map_err(|error| io_error(path, error))?;
    match fs::hard_link(file.partial_path(), path) {
        Ok(()) => Ok(plan.clone()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let missing = || DataError::new(Place::file(path), Problem::Missing("plan".into()));
            read_json(path)?.ok_or_else(missing)
        }
        // Without links: both workers wrote the same, or the one that loses finds the difference
        // when it next looks.
        Err(_) => {
            file.finish()?;
            Ok(plan.clone())
        }
    }
}

/// Whether a directory holds nothing but our state.
fn is_empty(folder: &Path) -> Result<bool> {
    let failed = |error: io::Error| io_error(folder, error);
    let mut names = fs::read_dir(folder).map_err(failed)?;
    Ok(names.all(|entry| entry.is_ok_and(|entry| entry.file_name() == STATE)))
}
