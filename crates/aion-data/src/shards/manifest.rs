//! What came of the work: a report a shard, and the manifest of all of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Plan;
use crate::atomic::{io_error, write_atomically};
use crate::error::{DataError, Place, Problem, Result};

/// An object, or a whole file, that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file.
    pub file: Option<String>,
    /// The object's identifier; none when the whole file is bad.
    pub object: Option<String>,
    /// The field.
    pub field: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl From<DataError> for Skipped {
    fn from(error: DataError) -> Self {
        Skipped {
            file: error.place.path.map(|path| path.display().to_string()),
            object: error.place.object,
            field: error.place.field,
            problem: error.problem.to_string(),
        }
    }
}

/// What a complete shard holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ShardReport {
    /// Name of its file; none where no object was left to write.
    pub file: Option<String>,
    /// Objects in it.
    pub objects: u64,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Objects left out.
    pub skipped: Vec<Skipped>,
    /// What the command counts beside.
    pub details: BTreeMap<String, Value>,
}

/// The record of a finished output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Objects in all shards.
    pub objects: u64,
    /// Number of objects left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// What the command says of the whole.
    pub details: BTreeMap<String, Value>,
    /// The shards.
    pub files: Vec<ShardFile>,
    /// Inputs, options and the rows of each shard.
    #[serde(flatten)]
    pub plan: Plan,
}

/// A file of a finished output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFile {
    /// Its path within the output; none where no object was left to write.
    pub file: Option<String>,
    /// Objects in it.
    pub objects: u64,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// Objects of its input that were left out.
    pub skipped: u64,
}

impl From<&ShardReport> for ShardFile {
    fn from(report: &ShardReport) -> Self {
        ShardFile {
            file: report.file.clone(),
            objects: report.objects,
            bytes: report.bytes,
            sha256: report.sha256.clone(),
            skipped: report.skipped.len() as u64,
        }
    }
}

impl Manifest {
    /// The manifest of a plan whose shards are all complete.
    pub fn new(plan: &Plan, reports: &[ShardReport], details: BTreeMap<String, Value>) -> Self {
        let mut skipped = BTreeMap::new();
        for bad in reports.iter().flat_map(|report| &report.skipped) {
            *skipped.entry(bad.problem.clone()).or_default() += 1;
        }
        Manifest {
            objects: reports.iter().map(|report| report.objects).sum(),
            skipped,
            details,
            files: reports.iter().map(ShardFile::from).collect(),
            plan: plan.clone(),
        }
    }
}

/// Reads a file of ours; `None` where it is absent.
///
/// # Errors
/// It cannot be read, or is damaged.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| io_error(path, error))?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let problem = Problem::Container {
            format: "JSON",
            reason: error.to_string(),
        };
        DataError::new(Place::file(path), problem)
    })
}

/// Text of a value, the same for the same value.
pub(super) fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| io_error(path, std::io::Error::other(error)))?;
    text.push(b'\n');
    Ok(text)
}

/// Writes a value, whole or not at all.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = to_json(path, value)?;
    write_atomically(path, |file| {
        std::io::Write::write_all(file, &text).map_err(|error| io_error(path, error))
    })
}
