//! The record of a run: one JSON line a report in `losses.jsonl`, and the same for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use aion_kernel::tensor_file::replace_file;

use crate::error::TrainError;
use crate::event_file::EventFile;
use crate::metrics::Progress;

/// File of the reports.
pub const LOG_FILE: &str = "losses.jsonl";

/// The files that reports are appended to.
#[derive(Debug)]
pub(crate) struct RunLog {
    path: PathBuf,
    file: File,
    events: EventFile,
}

impl RunLog {
    /// Opens the log of a run that stands at `step`; lines of later steps, which will be run
    /// again, are dropped.
    pub(crate) fn open(output: &Path, step: u64) -> Result<Self, TrainError> {
        let path = output.join(LOG_FILE);
        let failed = |source| TrainError::io(&path, source);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            Ok(text) if step > 0 => text,
            _ => String::new(),
        };
        let kept = text.lines().filter(|line| is_before(line, step));
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        let file = replace_file(&path, kept.as_bytes())
            .and_then(|()| OpenOptions::new().append(true).open(&path))
            .map_err(failed)?;
        Ok(RunLog {
            events: EventFile::create(output, step)?,
            path,
            file,
        })
    }

    pub(crate) fn write(&mut self, progress: &Progress) -> Result<(), TrainError> {
        let failed = |source| TrainError::io(&self.path, source);
        let line = serde_json::to_string(progress).map_err(|error| failed(error.into()))?;
        writeln!(self.file, "{line}").map_err(failed)?;
        let losses = progress.losses.iter();
        let losses = losses.map(|(name, value)| (format!("loss/{name}"), *value));
        // A run without tokens has no curve of them.
        let tokens = match progress.tokens_per_second {
            0.0 => f64::NAN,
            rate => rate,
        };
        let others = [
            ("optimizer/learning_rate", progress.learning_rate),
            ("optimizer/gradient_norm", progress.gradient_norm),
            ("optimizer/skipped_steps", progress.skipped as f64),
            ("speed/examples_per_second", progress.examples_per_second),
            ("speed/tokens_per_second", tokens),
            (
                "speed/utilisation",
                progress.utilisation.unwrap_or(f64::NAN),
            ),
            ("memory/peak_mb", progress.peak_mb.unwrap_or(f64::NAN)),
        ];
        let others = others.map(|(name, value)| (name.to_owned(), value));
        let scalars: Vec<(String, f64)> = losses.chain(others).collect();
        self.events.scalars(progress.step, &scalars)
    }
}

fn is_before(line: &str, step: u64) -> bool {
    serde_json::from_str::<Progress>(line).is_ok_and(|progress| progress.step <= step)
}

/// Reads the reports of a run, finished or not, oldest first. A last line that was cut off is left
/// out.
///
/// # Errors
/// The file cannot be read.
pub fn read(output: &Path) -> Result<Vec<Progress>, TrainError> {
    let path = output.join(LOG_FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| TrainError::io(&path, source))?;
    let reports = text.lines().map(serde_json::from_str);
    Ok(reports.filter_map(Result::ok).collect())
}
