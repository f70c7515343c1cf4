//! A transformer on disk: `config.json` beside `model.safetensors`, as published; and `aion.toml` where it
//! knows surveys that the published ones do not.

use std::path::Path;

use aion_data::described;
use aion_kernel::{LoadReport, Narrow, WeightNames, Weights};
use burn::tensor::Device;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::transformer::Transformer;

/// File of the configuration.
pub const CONFIG_FILE: &str = "config.json";
/// File of the weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// A transformer with the names that its parameters are stored under.
#[derive(Debug)]
pub struct Checkpoint {
    /// The model.
    pub transformer: Transformer,
    /// Its parameters' names.
    pub names: WeightNames,
    /// What became of the file's tensors; empty for new weights.
    pub report: LoadReport,
}

impl Checkpoint {
    /// Opens a folder. Weights are mapped, and read when they are first used.
    ///
    /// # Errors
    /// A file cannot be read, a description or the configuration is not valid, or tensors are missing or have
    /// another shape.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::open_narrowed(folder, device, None)
    }

    /// The same with matrices kept in fewer bits, as [`Weights::narrowed`] says.
    ///
    /// # Errors
    /// See [`Checkpoint::open`] and [`Weights::narrowed`].
    pub fn open_narrowed(
        folder: &Path,
        device: &Device,
        narrow: Option<Narrow>,
    ) -> Result<Self, ModelError> {
        described::read(folder)?;
        let config = ModelConfig::read(&folder.join(CONFIG_FILE))?;
        let weights = Weights::open(&folder.join(WEIGHTS_FILE), device)?;
        Self::of(&config, &weights.narrowed(narrow)?)
    }

    /// A new model, drawn as the reference draws one.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn seeded(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self, ModelError> {
        Self::of(config, &Weights::seeded(seed, device))
    }

    /// A model of these weights.
    ///
    /// # Errors
    /// The configuration is not valid, or tensors are missing or have another shape.
    pub fn of(config: &ModelConfig, weights: &Weights) -> Result<Self, ModelError> {
        let transformer = Transformer::new(config, weights)?;
        let (names, report) = weights.finish()?;
        Ok(Checkpoint {
            transformer,
            names,
            report,
        })
    }
}

impl Transformer {
    /// Writes `config.json` and `model.safetensors` into `folder`, which is made if need be; `half`
    /// stores 16-bit floats. The reference reads the result.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, names: &WeightNames, folder: &Path, half: bool) -> Result<(), ModelError> {
        std::fs::create_dir_all(folder).map_err(|source| ModelError::Io {
            path: folder.to_owned(),
            source,
        })?;
        names.save(self, &folder.join(WEIGHTS_FILE), half)?;
        self.config().write(&folder.join(CONFIG_FILE))?;
        Ok(())
    }
}
