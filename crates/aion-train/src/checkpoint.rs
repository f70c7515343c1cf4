//! The state of a run on disk: weights, what the optimiser keeps, where the run stands.
//!
//! ```text
//! <output>/checkpoints/step-00001000/model.safetensors      weights in their published names
//!                                    optimizer.safetensors  moments, running means, adapters
//!                                    state.json             step, sums, configuration, digests
//! ```
//! A checkpoint is written under a temporary name, brought to disk and renamed, so that a folder with
//! the final name is complete. All randomness, and the position in the data, follow from seed and step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use aion_kernel::WeightNames;
use aion_kernel::tensor_file::{self, StoredTensor, TensorFile};
use burn::module::Module;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::metrics::{Means, RunningLoss};
use crate::optim::AdamW;

/// Version of the layout.
pub(crate) const FORMAT: u32 = 2;
const WEIGHTS: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
/// Extension of folders in the making or being removed.
const PART: &str = "part";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainState {
    /// Version of this layout.
    pub format: u32,
    /// Steps done.
    pub step: u64,
    /// Steps left out because loss or gradient was not finite.
    pub skipped: u64,
    /// Those among them that came last, in a row.
    pub skipped_in_a_row: u64,
    /// Examples in one round of the training set, which has to be the same to go on.
    pub examples: u64,
    /// Loss of the last steps.
    pub loss: RunningLoss,
    /// Loss of the last validation pass.
    pub held_out: Option<f64>,
    /// Sums since the last report.
    pub means: Means,
    /// The run's configuration, as TOML, which has to be the same to go on.
    pub config: String,
    /// Size and SHA-256 of the other files.
    pub files: BTreeMap<String, FileDigest>,
}

/// By which a damaged file is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Which checkpoints stay when a new one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The newest ones.
    pub last: u64,
    /// Those of the lowest loss: held out, where the run validates, or running.
    pub best: u64,
}

/// A checkpoint on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// Where the run stood.
    pub state: TrainState,
}

impl Checkpoint {
    /// Opens a checkpoint and compares its files with their digests.
    ///
    /// # Errors
    /// A file is missing, damaged, or of another version.
    pub fn open(folder: &Path) -> Result<Checkpoint, TrainError> {
        let state = read_state(folder)?;
        for (name, expected) in &state.files {
            let path = folder.join(name);
            let found = digest(&path)?;
            if found != *expected {
                let reason = format!(
                    "damaged ({} bytes, expected {}): remove {} to go on from the checkpoint before",
                    found.bytes,
                    expected.bytes,
                    folder.display()
                );
                return Err(TrainError::resume(&path, reason));
            }
        }
        Ok(Checkpoint {
            folder: folder.to_owned(),
            state,
        })
    }

    /// The newest checkpoint of a run, if it has any.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn latest(output: &Path) -> Result<Option<Checkpoint>, TrainError> {
        let newest = folders(output)?.pop();
        newest.map(|folder| Checkpoint::open(&folder)).transpose()
    }

    /// The file of weights.
    pub fn weights(&self) -> PathBuf {
        self.folder.join(WEIGHTS)
    }

    /// Gives back to `optimizer` what it kept of each parameter.
    ///
    /// # Errors
    /// The file cannot be read, or something does not fit its parameter.
    pub fn restore(&self, optimizer: &mut AdamW, names: &WeightNames) -> Result<(), TrainError> {
        let path = self.folder.join(OPTIMIZER);
        let file = TensorFile::open(&path)?;
        optimizer.resume_at(self.state.step - self.state.skipped.min(self.state.step));
        for (name, id, shape) in names.params() {
            let field = |field: &str| file.values(&field_name(name, field));
            let steps = file.raw(&field_name(name, "steps"));
            let steps = steps.and_then(|raw| raw.as_ref().try_into().ok());
            let steps = steps.map(|raw| i64::from_le_bytes(raw).unsigned_abs());
            let len = shape.iter().product::<usize>();
            optimizer
                .restore(id, len, &field, steps)
                .map_err(|reason| TrainError::resume(&path, format!("{name}: {reason}")))?;
        }
        Ok(())
    }

    /// Writes a checkpoint and removes those that `keep` does not name. What was there before stays
    /// whole if this fails.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save<M: Module>(
        output: &Path,
        state: &TrainState,
        keep: Keep,
        (model, names): (&M, &WeightNames),
        optimizer: &AdamW,
    ) -> Result<(), TrainError> {
        let name = format!("step-{:08}", state.step);
        let folder = output.join("checkpoints").join(name);
        let part = folder.with_extension(PART);
        let written = write(&part, state, (model, names), optimizer);
        if let Err(error) = written {
            // The error to report is the first; what is left is swept when the run is resumed.
            let _ = std::fs::remove_dir_all(&part);
            return Err(error);
        }
        if folder.exists() {
            remove(&folder)?;
        }
        std::fs::rename(&part, &folder)
            .and_then(|()| bring_to_disk(&output.join("checkpoints")))
            .map_err(|source| TrainError::io(&folder, source))?;
        drop_old(output, keep)
    }
}

fn write<M: Module>(
    part: &Path,
    state: &TrainState,
    (model, names): (&M, &WeightNames),
    optimizer: &AdamW,
) -> Result<(), TrainError> {
    let failed = |source| TrainError::io(part, source);
    std::fs::create_dir_all(part).map_err(failed)?;
    names.save(&model.valid(), &part.join(WEIGHTS), false)?;
    let mut tensors: BTreeMap<String, StoredTensor> = BTreeMap::new();
    for (name, id, shape) in names.params() {
        let fields = optimizer.fields(id, shape).into_iter();
        tensors.extend(fields.map(|(field, tensor)| (field_name(name, field), tensor)));
    }
    tensor_file::save(&part.join(OPTIMIZER), &tensors, HashMap::new())?;
    let mut state = state.clone();
    state.format = FORMAT;
    for name in [WEIGHTS, OPTIMIZER] {
        state
            .files
            .insert(name.to_owned(), digest(&part.join(name))?);
    }
    let text = serde_json::to_vec_pretty(&state).map_err(|error| failed(error.into()))?;
    tensor_file::replace_file(&part.join(STATE), &text)
        .and_then(|()| bring_to_disk(part))
        .map_err(failed)
}

/// Removes the checkpoints that are neither among the newest nor among the best.
fn drop_old(output: &Path, keep: Keep) -> Result<(), TrainError> {
    let mut folders = folders(output)?;
    folders.reverse();
    let mut kept: BTreeSet<PathBuf> = folders.iter().take(keep.last as usize).cloned().collect();
    if keep.best > 0 {
        let mut by_loss = Vec::new();
        for folder in &folders {
            let state = read_state(folder)?;
            if let Some(loss) = state.held_out.or(state.loss.value()) {
                by_loss.push((loss, folder.clone()));
            }
        }
        by_loss.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let best = by_loss.into_iter().take(keep.best as usize);
        kept.extend(best.map(|(_, folder)| folder));
    }
    for folder in folders.iter().filter(|folder| !kept.contains(*folder)) {
        remove(folder)?;
    }
    Ok(())
}

/// Removes a folder, under another name first, so that no checkpoint is ever half there.
fn remove(folder: &Path) -> Result<(), TrainError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.with_file_name(format!("{name}.old.{PART}"));
    std::fs::rename(folder, &aside)
        .and_then(|()| std::fs::remove_dir_all(&aside))
        .map_err(|source| TrainError::io(folder, source))
}

/// Removes what a killed process left half written or half removed.
pub(crate) fn sweep(output: &Path) -> Result<(), TrainError> {
    for path in entries(output)? {
        if path.extension().is_some_and(|extension| extension == PART) {
            std::fs::remove_dir_all(&path).map_err(|source| TrainError::io(&path, source))?;
        }
    }
    Ok(())
}

/// Folders of checkpoints, oldest first.
pub(crate) fn folders(output: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let is_checkpoint = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let digits = name.and_then(|name| name.strip_prefix("step-"));
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut folders = entries(output)?;
    folders.retain(is_checkpoint);
    folders.sort();
    Ok(folders)
}

/// What lies in the folder of checkpoints; nothing where there is no such folder.
fn entries(output: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let folder = output.join("checkpoints");
    let failed = |source| TrainError::io(&folder, source);
    match std::fs::read_dir(&folder) {
        Ok(entries) => entries
            .map(|entry| Ok(entry.map_err(failed)?.path()))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

fn read_state(folder: &Path) -> Result<TrainState, TrainError> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let path = folder.join(STATE);
    let damaged = |error: serde_json::Error| {
        let reason = format!(
            "damaged ({error}): remove {} to go on from the checkpoint before",
            folder.display()
        );
        TrainError::resume(&path, reason)
    };
    let text = std::fs::read(&path).map_err(|source| TrainError::io(&path, source))?;
    let version: Version = serde_json::from_slice(&text).map_err(damaged)?;
    if version.format != FORMAT {
        let reason = format!("layout {}, expected {FORMAT}", version.format);
        return Err(TrainError::resume(&path, reason));
    }
    serde_json::from_slice(&text).map_err(damaged)
}

fn digest(path: &Path) -> Result<FileDigest, TrainError> {
    let metadata = std::fs::metadata(path).map_err(|source| TrainError::io(path, source))?;
    Ok(FileDigest {
        bytes: metadata.len(),
        sha256: tensor_file::sha256(path)?,
    })
}

/// Makes the names in a folder survive a power failure, where the system can.
fn bring_to_disk(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn field_name(name: &str, field: &str) -> String {
    format!("{name}/{field}")
}
