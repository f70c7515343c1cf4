//! A run as one TOML file, read and checked before any work starts.

use std::path::{Path, PathBuf};

use aion_model::Preset;
use serde::{Deserialize, Serialize};

use crate::data::DataConfig;
use crate::error::TrainError;
use crate::masking::MaskConfig;
use crate::optim::AdamWConfig;
use crate::schedule::Schedule;
use crate::trainer::LoopConfig;

/// Everything that determines a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Steps, batches, reports.
    pub run: LoopConfig,
    /// The optimiser.
    #[serde(default)]
    pub optim: AdamWConfig,
    /// The learning rate's course.
    #[serde(default)]
    pub schedule: Schedule,
    /// What is learned from.
    pub data: DataConfig,
    /// Where the trained weights go, in the published layout.
    pub save: SaveConfig,
    /// The codec to train, unless `model` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<CodecTask>,
    /// The transformer to train, unless `codec` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelTask>,
}

/// Section `save`: the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaveConfig {
    /// The checkpoint directory that the codec or model becomes part of.
    pub checkpoint: PathBuf,
    /// Store 16-bit floats.
    #[serde(default)]
    pub half: bool,
}

/// Section `codec`: what to train and from where to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum CodecTask {
    /// The image codec.
    Image {
        /// The published keys of its `config.json`.
        config: aion_codec::image::ImageConfig,
    },
    /// The spectrum codec.
    Spectrum {
        /// The published keys of its `config.json`.
        config: aion_codec::spectrum::SpectrumConfig,
    },
    /// The codebooks of numbers and catalogues, fitted to `steps` batches of objects.
    Numbers {
        /// Most values that a codebook is made of.
        sample: usize,
    },
}

/// Section `model`: the transformer and how it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTask {
    /// A size by name. The modalities are those that occur in the training data.
    pub preset: String,
    /// The checkpoint whose codecs turn observations into tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codecs: Option<PathBuf>,
    /// Input and target tokens.
    #[serde(default)]
    pub mask: MaskConfig,
}

impl RunConfig {
    /// Reads and checks a run file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown or missing key, or a value that cannot
    /// be used.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|source| TrainError::io(path, source))?;
        text.parse()
    }

    /// The configuration as text, the same for equal configurations.
    ///
    /// # Errors
    /// A value that TOML cannot hold.
    pub fn to_text(&self) -> Result<String, TrainError> {
        toml::to_string(self).map_err(|error| TrainError::config("run", error))
    }

    fn check(&self) -> Result<(), TrainError> {
        self.run.check()?;
        self.optim.check()?;
        self.schedule.check()?;
        self.data.check()?;
        match (&self.codec, &self.model) {
            (Some(_), None) => Ok(()),
            (None, Some(model)) => model.check(),
            _ => {
                let reason = "a run has either a section `codec` or a section `model`";
                Err(TrainError::config("codec", reason))
            }
        }
    }
}

impl std::str::FromStr for RunConfig {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let config: RunConfig = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }
}

impl ModelTask {
    /// The size.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn preset(&self) -> Result<Preset, TrainError> {
        Preset::from_name(&self.preset).ok_or_else(|| {
            let known: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name()).collect();
            let reason = format!("is `{}`, expected one of {}", self.preset, known.join(", "));
            TrainError::config("model.preset", reason)
        })
    }

    fn check(&self) -> Result<(), TrainError> {
        self.preset()?;
        self.mask.check()
    }
}
