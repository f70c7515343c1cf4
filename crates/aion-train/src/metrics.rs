//! The record of a run: one JSON line each time it reports, in `losses.jsonl`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Loss and its terms, means over the steps since the last report.
    pub losses: BTreeMap<String, f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Gradient norm of the last step, before clipping.
    pub gradient_norm: f64,
    /// Steps left out so far because loss or gradient was not finite.
    pub skipped: u64,
    /// Examples a second since the last report.
    pub examples_per_second: f64,
    /// Seconds until the end at this speed.
    pub eta_seconds: f64,
}

/// Sums of figures between two reports.
#[derive(Debug, Default)]
pub(crate) struct Means {
    sums: BTreeMap<String, (f64, u64)>,
}

impl Means {
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        if !value.is_finite() {
            return;
        }
        let (sum, count) = self.sums.entry(name.to_owned()).or_default();
        *sum += value;
        *count += 1;
    }

    pub(crate) fn take(&mut self) -> BTreeMap<String, f64> {
        let sums = std::mem::take(&mut self.sums);
        sums.into_iter()
            .map(|(name, (sum, count))| (name, sum / count as f64))
            .collect()
    }
}

/// The file that reports are appended to.
#[derive(Debug)]
pub(crate) struct LossLog {
    path: PathBuf,
    file: File,
}

impl LossLog {
    /// Opens the log of a run that stands at `step`; lines of later steps, which will be run
    /// again, are dropped.
    pub(crate) fn open(output: &Path, step: u64) -> Result<Self, TrainError> {
        let path = output.join("losses.jsonl");
        let kept: String = match std::fs::read_to_string(&path) {
            Ok(text) if step > 0 => text
                .lines()
                .filter(|line| is_before(line, step))
                .map(|line| format!("{line}\n"))
                .collect(),
            _ => String::new(),
        };
        let file = std::fs::write(&path, kept)
            .and_then(|()| OpenOptions::new().append(true).open(&path))
            .map_err(|source| TrainError::io(&path, source))?;
        Ok(LossLog { path, file })
    }

    pub(crate) fn write(&mut self, progress: &Progress) -> Result<(), TrainError> {
        let failed = |source| TrainError::io(&self.path, source);
        let line = serde_json::to_string(progress).map_err(|error| failed(error.into()))?;
        writeln!(self.file, "{line}").map_err(failed)
    }
}

fn is_before(line: &str, step: u64) -> bool {
    serde_json::from_str::<Progress>(line).is_ok_and(|progress| progress.step <= step)
}
