//! The transformer's configuration: the published `config.json`, key for key.
//!
//! Keys and defaults are those of the reference's constructor, so a file is read the same way by
//! both. Sizes of the published models are in the paper's section 4.3.

use std::path::Path;

use aion_data::{Kind, ModalityId};
use serde::{Deserialize, Serialize};

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is not a configuration: a key is unknown or missing, or a value has another type.
    #[error("{path}: not a model configuration: {reason}", path = path.display())]
    Format {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong, naming the key.
        reason: String,
    },
    /// A modality that this program does not know.
    #[error("`{list}` names the unknown modality `{key}`")]
    UnknownModality {
        /// `domains_in` or `domains_out`.
        list: &'static str,
        /// The key found.
        key: String,
    },
    /// A modality listed twice.
    #[error("`{list}` names the modality `{key}` twice")]
    DuplicateModality {
        /// `domains_in` or `domains_out`.
        list: &'static str,
        /// The key found.
        key: String,
    },
    /// A value out of its range.
    #[error("`{key}` is {found}, expected {expected}")]
    Value {
        /// The configuration's key.
        key: &'static str,
        /// The value found.
        found: String,
        /// What it has to be.
        expected: String,
    },
}

/// Activation of the feed-forward layers, named as in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// x · sigmoid(x).
    SiLU,
    /// x · Φ(x), with the error function.
    GELU,
}

/// The transformer's shape and options. Field names are the published keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Activation of the feed-forward layers.
    pub act_layer: Activation,
    /// Decoder tokens attend only to themselves and those before.
    #[serde(default)]
    pub decoder_causal_mask: bool,
    /// Number of decoder blocks.
    #[serde(default = "depth")]
    pub decoder_depth: usize,
    /// Decoder tokens attend only within their modality.
    #[serde(default = "yes")]
    pub decoder_sep_mask: bool,
    /// Width of the model.
    #[serde(default = "width")]
    pub dim: usize,
    /// Token keys that can be input.
    pub domains_in: Vec<String>,
    /// Token keys that can be predicted.
    pub domains_out: Vec<String>,
    /// Stochastic depth of the decoder while training; without effect on results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_path_rate_decoder: Option<f64>,
    /// Stochastic depth of the encoder while training; without effect on results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_path_rate_encoder: Option<f64>,
    /// Number of encoder blocks.
    #[serde(default = "depth")]
    pub encoder_depth: usize,
    /// Gate the feed-forward layers (SwiGLU with SiLU), at 2/3 of their width.
    #[serde(default)]
    pub gated_mlp: bool,
    /// Biases in the feed-forward layers.
    #[serde(default = "yes")]
    pub mlp_bias: bool,
    /// Width of the feed-forward layers over `dim`.
    #[serde(default = "ratio")]
    pub mlp_ratio: f64,
    /// Train the biases of layer normalisations; else they stay as stored.
    pub norm_bias: bool,
    /// Number of attention heads.
    #[serde(default = "heads")]
    pub num_heads: usize,
    /// Rows that the encoder adds before each object's tokens.
    #[serde(default)]
    pub num_register_tokens: usize,
    /// Bias of the projection after attention.
    #[serde(default = "yes")]
    pub proj_bias: bool,
    /// Normalise queries and keys.
    #[serde(default)]
    pub qk_norm: bool,
    /// Bias of queries, keys and values.
    #[serde(default = "yes")]
    pub qkv_bias: bool,
    /// One embedding for a modality in encoder and decoder.
    #[serde(default = "yes")]
    pub share_modality_embeddings: bool,
    /// How stochastic depth is spread while training; without effect on results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_drop_path: Option<bool>,
    /// Recompute activations while training; without effect on results. (Of a published model; runs here go by
    /// `recompute` of their run file.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_act_checkpoint: Option<bool>,
}

fn yes() -> bool {
    true
}

fn depth() -> usize {
    12
}

fn heads() -> usize {
    12
}

fn width() -> usize {
    768
}

fn ratio() -> f64 {
    4.0
}

/// A published size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 4 + 4 blocks × 96, for the bundled model; not in the paper.
    Tiny,
    /// 12 + 12 blocks × 768, 312 M parameters.
    Base,
    /// 24 + 24 blocks × 1024, 857 M parameters.
    Large,
    /// 24 + 24 blocks × 2048, 3.1 G parameters.
    XLarge,
    /// 24 + 24 blocks × 4096, 11.9 G parameters; announced as an experiment, not in the paper.
    XxLarge,
}

impl Preset {
    /// All sizes, smallest first.
    pub const ALL: [Preset; 5] = [
        Preset::Tiny,
        Preset::Base,
        Preset::Large,
        Preset::XLarge,
        Preset::XxLarge,
    ];

    /// The name used in run files.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Tiny => "tiny",
            Preset::Base => "base",
            Preset::Large => "large",
            Preset::XLarge => "xlarge",
            Preset::XxLarge => "xxlarge",
        }
    }

    /// The paper's letter for it.
    pub const fn letter(self) -> Option<&'static str> {
        match self {
            Preset::Tiny => None,
            Preset::Base => Some("b"),
            Preset::Large => Some("l"),
            Preset::XLarge => Some("xl"),
            Preset::XxLarge => Some("xxl"),
        }
    }

    /// The size called `name`, in full or by the paper's letter.
    pub fn from_name(name: &str) -> Option<Preset> {
        let is = |preset: &Preset| preset.name() == name || preset.letter() == Some(name);
        Self::ALL.into_iter().find(is)
    }

    /// The configuration of this size.
    pub fn config(self) -> ModelConfig {
        let (depth, dim, num_heads) = match self {
            Preset::Tiny => (4, 96, 4),
            Preset::Base => (12, 768, 12),
            Preset::Large => (24, 1024, 16),
            Preset::XLarge => (24, 2048, 32),
            Preset::XxLarge => (24, 4096, 64),
        };
        ModelConfig::sized(dim, [depth, depth], num_heads)
    }
}

impl ModelConfig {
    /// The configuration of a size, which [`ModelConfig::validate`] has to check: gated SiLU, no biases,
    /// the 39 published modalities in and out. Depths are blocks of encoder and decoder.
    pub fn sized(
        dim: usize,
        [encoder_depth, decoder_depth]: [usize; 2],
        num_heads: usize,
    ) -> ModelConfig {
        let domains: Vec<String> = ModalityId::published()
            .filter(|id| id.info().kind != Kind::ScalarField)
            .map(|id| id.key().to_owned())
            .collect();
        ModelConfig {
            act_layer: Activation::SiLU,
            decoder_causal_mask: false,
            decoder_depth,
            decoder_sep_mask: true,
            dim,
            domains_in: domains.clone(),
            domains_out: domains,
            drop_path_rate_decoder: None,
            drop_path_rate_encoder: None,
            encoder_depth,
            gated_mlp: true,
            mlp_bias: false,
            mlp_ratio: 4.0,
            norm_bias: false,
            num_heads,
            num_register_tokens: 0,
            proj_bias: false,
            qk_norm: false,
            qkv_bias: false,
            share_modality_embeddings: true,
            shared_drop_path: None,
            use_act_checkpoint: None,
        }
    }

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// The file cannot be read, has an unknown, missing or wrongly typed key, or fails
    /// [`ModelConfig::validate`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io {
            path: path.to_owned(),
            source,
        })?;
        let format = |reason: String| ConfigError::Format {
            path: path.to_owned(),
            reason,
        };
        let config: ModelConfig =
            serde_json::from_str(&text).map_err(|error| format(error.to_string()))?;
        config
            .validate()
            .map_err(|error| format(error.to_string()))?;
        Ok(config)
    }

    /// Writes `config.json` as the reference does: keys sorted, two spaces of indentation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| ConfigError::Format {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        aion_kernel::tensor_file::replace_file(path, text.as_bytes()).map_err(|source| {
            ConfigError::Io {
                path: path.to_owned(),
                source,
            }
        })
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// A size is zero or does not divide, or a modality is unknown or listed twice.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let value = |key, found: &dyn std::fmt::Display, expected: String| {
            Err(ConfigError::Value {
                key,
                found: found.to_string(),
                expected,
            })
        };
        for (key, size) in [
            ("dim", self.dim),
            ("num_heads", self.num_heads),
            ("encoder_depth", self.encoder_depth),
            ("decoder_depth", self.decoder_depth),
        ] {
            if size == 0 {
                return value(key, &size, "at least 1".to_owned());
            }
        }
        if !self.dim.is_multiple_of(4) {
            let expected = "a multiple of 4, as two-dimensional positions need".to_owned();
            return value("dim", &self.dim, expected);
        }
        if !self.dim.is_multiple_of(self.num_heads) {
            let expected = format!("a divisor of `dim` {}", self.dim);
            return value("num_heads", &self.num_heads, expected);
        }
        if !self.mlp_ratio.is_finite() || self.mlp_hidden() == 0 {
            let expected = "a ratio that leaves at least one unit".to_owned();
            return value("mlp_ratio", &self.mlp_ratio, expected);
        }
        self.inputs()?;
        self.targets()?;
        Ok(())
    }

    /// Modalities that can be input, in registry order.
    ///
    /// # Errors
    /// One is unknown or listed twice.
    pub fn inputs(&self) -> Result<Vec<ModalityId>, ConfigError> {
        modalities("domains_in", &self.domains_in)
    }

    /// Modalities that can be predicted, in registry order.
    ///
    /// # Errors
    /// One is unknown or listed twice.
    pub fn targets(&self) -> Result<Vec<ModalityId>, ConfigError> {
        modalities("domains_out", &self.domains_out)
    }

    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.dim / self.num_heads
    }

    /// Width of the feed-forward layers.
    pub fn mlp_hidden(&self) -> usize {
        let hidden = (self.dim as f64 * self.mlp_ratio) as usize;
        if self.gated_mlp {
            (2.0 * hidden as f64 / 3.0) as usize
        } else {
            hidden
        }
    }

    /// Number of trained parameters of a valid configuration; position codes are not trained.
    pub fn num_parameters(&self) -> usize {
        let dim = self.dim;
        let encoder = self.encoder_depth * self.encoder_block_parameters() + self.norm(dim);
        let decoder = self.decoder_depth * self.decoder_block_parameters() + self.norm(dim);
        let context = affine(dim, dim, true);
        let tokens = (1 + self.num_register_tokens) * dim;
        encoder + decoder + context + tokens + self.num_embedding_parameters()
    }

    /// Trained parameters of one encoder block.
    pub fn encoder_block_parameters(&self) -> usize {
        2 * self.norm(self.dim) + self.attention_parameters() + self.mlp_parameters()
    }

    /// Trained parameters of one decoder block.
    pub fn decoder_block_parameters(&self) -> usize {
        4 * self.norm(self.dim) + 2 * self.attention_parameters() + self.mlp_parameters()
    }

    fn attention_parameters(&self) -> usize {
        let dim = self.dim;
        let head_norms = if self.qk_norm {
            2 * self.norm(self.head_dim())
        } else {
            0
        };
        affine(dim, 3 * dim, self.qkv_bias) + affine(dim, dim, self.proj_bias) + head_norms
    }

    fn mlp_parameters(&self) -> usize {
        let (dim, hidden) = (self.dim, self.mlp_hidden());
        let inner = if self.gated_mlp { 2 } else { 1 };
        inner * affine(dim, hidden, self.mlp_bias) + affine(hidden, dim, self.mlp_bias)
    }

    fn norm(&self, dim: usize) -> usize {
        if self.norm_bias { 2 * dim } else { dim }
    }

    /// Trained parameters of embeddings and heads: rows of which a token uses one, or those of its
    /// modality, while it passes through all blocks.
    pub fn num_embedding_parameters(&self) -> usize {
        let inputs = self.inputs().unwrap_or_default();
        let targets = self.targets().unwrap_or_default();
        let rows =
            |ids: &[ModalityId]| -> usize { ids.iter().map(|id| id.info().vocabulary).sum() };
        let shared = inputs.iter().filter(|id| targets.contains(id)).count();
        let modality = if self.share_modality_embeddings {
            inputs.len() + targets.len() - shared
        } else {
            inputs.len() + targets.len()
        };
        (rows(&inputs) + 2 * rows(&targets) + modality) * self.dim
    }
}

/// Parameters of a linear map.
fn affine(inputs: usize, outputs: usize, bias: bool) -> usize {
    inputs * outputs + if bias { outputs } else { 0 }
}

fn modalities(list: &'static str, keys: &[String]) -> Result<Vec<ModalityId>, ConfigError> {
    let mut ids = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(id) = ModalityId::from_key(key) else {
            let key = key.clone();
            return Err(ConfigError::UnknownModality { list, key });
        };
        if ids.contains(&id) {
            let key = key.clone();
            return Err(ConfigError::DuplicateModality { list, key });
        }
        ids.push(id);
    }
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_published_sizes() {
        for (preset, millions) in [
            (Preset::Base, 311.9),
            (Preset::Large, 856.5),
            (Preset::XLarge, 3124.5),
            (Preset::XxLarge, 11_894.0),
        ] {
            let config = preset.config();
            config.validate().expect("a preset is valid");
            let count = config.num_parameters() as f64 / 1e6;
            assert!((count / millions - 1.0).abs() < 1e-3, "{preset:?}: {count}");
        }
    }

    #[test]
    fn presets_are_found_by_name() {
        for preset in Preset::ALL {
            assert_eq!(Preset::from_name(preset.name()), Some(preset));
        }
        assert_eq!(Preset::from_name("xl"), Some(Preset::XLarge));
        assert_eq!(Preset::from_name("xxl"), Some(Preset::XxLarge));
        assert_eq!(Preset::from_name("xxxl"), None);
    }

    #[test]
    fn wrong_values_name_their_key() {
        let message = |change: fn(&mut ModelConfig)| {
            let mut config = Preset::Tiny.config();
            change(&mut config);
            config.validate().map_err(|error| error.to_string())
        };
        for (key, change) in [
            ("num_heads", (|c| c.num_heads = 5) as fn(&mut ModelConfig)),
            ("dim", |c| c.dim = 6),
            ("encoder_depth", |c| c.encoder_depth = 0),
            ("mlp_ratio", |c| c.mlp_ratio = f64::NAN),
            ("tok_none", |c| c.domains_in[0] = "tok_none".to_owned()),
            ("tok_z", |c| c.domains_out = vec!["tok_z".to_owned(); 2]),
        ] {
            let error = message(change).expect_err(key);
            assert!(error.contains(key), "{error}");
        }
    }
}
