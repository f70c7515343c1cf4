//! The published configuration of the image codec.

use serde::{Deserialize, Serialize};

/// `config.json` of the image codec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Levels of each latent channel.
    pub quantizer_levels: Vec<usize>,
    /// Channels of the deepest layers.
    pub hidden_dims: usize,
    /// Channels that all surveys are projected to.
    pub multisurvey_projection_dims: usize,
    /// Number of halvings of the resolution.
    pub n_compressions: usize,
    /// Residual units between halvings.
    pub num_consecutive: usize,
    /// Channels of the latent.
    pub embedding_dim: usize,
    /// Flux at which the compression turns from linear to logarithmic.
    pub range_compression_factor: f64,
    /// Factor on the compressed flux.
    pub mult_factor: f64,
}

/// `config.json` of the bands of a described survey, whose weights are all that their folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandsConfig {
    /// The codec beside it, by its folder's name, whose network they use.
    pub extends: String,
}

impl BandsConfig {
    /// Says what cannot be opened, naming the key.
    pub fn problem(&self) -> Option<String> {
        let is_name = !self.extends.is_empty() && !self.extends.contains(['/', '\\', '.']);
        (!is_name).then(|| format!("extends is `{}`, expected a codec's name", self.extends))
    }
}

impl ImageConfig {
    /// The released codec (paper §2.1 and the published `config.json`).
    pub fn published() -> Self {
        ImageConfig {
            quantizer_levels: vec![7, 5, 5, 5, 5],
            hidden_dims: 512,
            multisurvey_projection_dims: 54,
            n_compressions: 2,
            num_consecutive: 4,
            embedding_dim: 5,
            range_compression_factor: 0.01,
            mult_factor: 10.0,
        }
    }

    /// Says what cannot be built, naming the key.
    pub fn problem(&self) -> Option<String> {
        let codes = self
            .quantizer_levels
            .iter()
            .try_fold(1usize, |product, level| product.checked_mul(*level));
        if self.embedding_dim != self.quantizer_levels.len() {
            return Some(format!(
                "embedding_dim is {}, expected one channel a quantizer level ({})",
                self.embedding_dim,
                self.quantizer_levels.len()
            ));
        }
        if self.quantizer_levels.iter().any(|level| *level < 2)
            || codes.is_none_or(|codes| codes > 1 << 16)
        {
            return Some("quantizer_levels must be 2 or more with at most 65536 codes".into());
        }
        if self.n_compressions > 5 || self.hidden_dims >> self.n_compressions == 0 {
            return Some("hidden_dims must survive n_compressions (at most 5) halvings".into());
        }
        if self.multisurvey_projection_dims == 0 || self.num_consecutive == 0 {
            return Some("multisurvey_projection_dims and num_consecutive must be positive".into());
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.range_compression_factor) || !positive(self.mult_factor) {
            return Some("range_compression_factor and mult_factor must be positive".into());
        }
        None
    }
}
