//! The state of a run on disk: weights, optimiser moments, step number.
//!
//! ```text
//! <output>/checkpoints/step-00001000/model.safetensors      weights in their published names
//!                                    optimizer.safetensors  moments, named after the weights
//!                                    state.json             step, counts, the run's configuration
//! ```
//! A checkpoint is written under a temporary name and renamed, so that a folder with the final name
//! is always complete. Randomness depends on seed and step only, so nothing else has to be kept.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use aion_kernel::tensor_file::{self, StoredTensor, TensorFile};
use aion_kernel::{WeightNames, WeightsError};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::optim::{AdamW, Moments};

pub(crate) const FORMAT: u32 = 1;
/// Older checkpoints are removed beyond this number.
const KEPT: usize = 2;

/// What a run knows beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainState {
    /// Version of this layout.
    pub format: u32,
    /// Steps done.
    pub step: u64,
    /// Steps left out because loss or gradient was not finite.
    pub skipped: u64,
    /// The run's configuration, as TOML, which has to be the same to go on.
    pub config: String,
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
    /// The newest checkpoint of a run, if it has any.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn latest(output: &Path) -> Result<Option<Checkpoint>, TrainError> {
        let Some(folder) = folders(output).pop() else {
            return Ok(None);
        };
        let path = folder.join("state.json");
        let text = std::fs::read(&path).map_err(|source| TrainError::io(&path, source))?;
        let state: TrainState =
            serde_json::from_slice(&text).map_err(|error| TrainError::resume(&path, error))?;
        if state.format != FORMAT {
            let reason = format!("layout {}, expected {FORMAT}", state.format);
            return Err(TrainError::resume(&path, reason));
        }
        Ok(Some(Checkpoint { folder, state }))
    }

    /// The file of weights.
    pub fn weights(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }

    /// Puts the moments of `model`'s parameters back into `optimizer`.
    ///
    /// # Errors
    /// The file cannot be read, or moments do not fit their parameter.
    pub fn restore<M: Module>(
        &self,
        optimizer: &mut AdamW,
        model: &M,
        names: &WeightNames,
    ) -> Result<(), TrainError> {
        let path = self.folder.join("optimizer.safetensors");
        let file = TensorFile::open(&path)?;
        for (id, shape) in parameters(model) {
            let Some(name) = names.name_of(id) else {
                continue;
            };
            let field = |field| moment_name(name, field);
            let Some(steps) = file.raw(&field("steps")) else {
                continue;
            };
            let steps = steps.as_ref().try_into().map(i64::from_le_bytes);
            let moments = Moments {
                steps: steps.map_or(0, i64::unsigned_abs),
                mean: file.values(&field("mean")).unwrap_or_default(),
                square: file.values(&field("square")).unwrap_or_default(),
            };
            let len = shape.iter().product::<usize>();
            if moments.mean.len() != len || moments.square.len() != len || moments.steps == 0 {
                let reason = format!("moments of {name} do not have its {len} values");
                return Err(TrainError::resume(&path, reason));
            }
            optimizer.restore(id, moments);
        }
        Ok(())
    }

    /// Writes a checkpoint and removes old ones.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save<M: Module>(
        output: &Path,
        state: &TrainState,
        model: &M,
        names: &WeightNames,
        optimizer: &AdamW,
    ) -> Result<(), TrainError> {
        let folder = output
            .join("checkpoints")
            .join(format!("step-{:08}", state.step));
        let part = folder.with_extension("part");
        let failed = |source| TrainError::io(&part, source);
        std::fs::create_dir_all(&part).map_err(failed)?;
        names.save(&model.valid(), &part.join("model.safetensors"), false)?;
        save_moments(&part.join("optimizer.safetensors"), model, names, optimizer)?;
        let text = serde_json::to_vec_pretty(state).map_err(|error| failed(error.into()))?;
        tensor_file::replace_file(&part.join("state.json"), &text).map_err(failed)?;
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(failed)?;
        }
        std::fs::rename(&part, &folder).map_err(failed)?;
        let mut old = folders(output);
        old.truncate(old.len().saturating_sub(KEPT));
        for folder in old {
            std::fs::remove_dir_all(&folder).map_err(|source| TrainError::io(&folder, source))?;
        }
        Ok(())
    }
}

/// Folders of complete checkpoints, oldest first.
fn folders(output: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(output.join("checkpoints"));
    let mut folders: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_none() && path.join("state.json").is_file())
        .collect();
    folders.sort();
    folders
}

fn moment_name(name: &str, field: &str) -> String {
    format!("{name}/{field}")
}

fn save_moments<M: Module>(
    path: &Path,
    model: &M,
    names: &WeightNames,
    optimizer: &AdamW,
) -> Result<(), WeightsError> {
    let mut tensors = BTreeMap::new();
    for (id, shape) in parameters(model) {
        let (Some(name), Some(moments)) = (names.name_of(id), optimizer.moments().get(&id)) else {
            continue;
        };
        let steps = StoredTensor::int64(&[1], &[moments.steps as i64]);
        let mean = StoredTensor::float(&shape, &moments.mean, false);
        let square = StoredTensor::float(&shape, &moments.square, false);
        for (field, tensor) in [("steps", steps), ("mean", mean), ("square", square)] {
            tensors.insert(moment_name(name, field), tensor);
        }
    }
    tensor_file::save(path, &tensors, HashMap::new())
}

/// Identity and shape of every parameter.
fn parameters<M: Module>(model: &M) -> Vec<(ParamId, Vec<usize>)> {
    struct Shapes(Vec<(ParamId, Vec<usize>)>);
    impl ModuleVisitor for Shapes {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push((param.id, param.lazy_shape().to_vec()));
        }
    }
    let mut shapes = Shapes(Vec::new());
    model.visit(&mut shapes);
    shapes.0
}
