//! The published configuration of the spectrum codec.

use serde::{Deserialize, Serialize};

/// `config.json` of the spectrum codec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectrumConfig {
    /// Blocks in each encoder stage.
    pub encoder_depths: Vec<usize>,
    /// Channels of each encoder stage.
    pub encoder_dims: Vec<usize>,
    /// Blocks in each decoder stage.
    pub decoder_depths: Vec<usize>,
    /// Channels of each decoder stage; the last are the outputs: flux, and mask if 2.
    pub decoder_dims: Vec<usize>,
    /// First wavelength of the latent grid, Angstrom.
    pub lambda_min: f64,
    /// Step of the latent grid, Angstrom.
    pub resolution: f64,
    /// Pixels of the latent grid.
    pub num_pixels: usize,
    /// Channels between encoder and quantiser.
    pub latent_channels: usize,
    /// Channels of the quantiser.
    pub embedding_dim: usize,
    /// Largest inverse variance that is told apart.
    pub clip_ivar: Option<f64>,
    /// Largest absolute flux that is told apart.
    pub clip_flux: Option<f64>,
    /// Factor on normalised flux before compression.
    pub input_scaling: f64,
    /// log10(1 + brightness) of the first and last brightness code.
    pub normalization_range: (f64, f64),
    /// Number of codes of shape, and of brightness.
    pub codebook_size: usize,
    /// Channels of the quantiser's input.
    pub dim: usize,
}

impl SpectrumConfig {
    /// The released codec (published `config.json`).
    pub fn published() -> Self {
        SpectrumConfig {
            encoder_depths: vec![3, 3, 27, 3],
            encoder_dims: vec![64, 128, 256, 512],
            decoder_depths: vec![3, 9, 3, 3],
            decoder_dims: vec![256, 128, 64, 2],
            lambda_min: 3500.0,
            resolution: 0.8,
            num_pixels: 8704,
            latent_channels: 512,
            embedding_dim: 10,
            clip_ivar: Some(100.0),
            clip_flux: None,
            input_scaling: 0.2,
            normalization_range: (-1.0, 5.0),
            codebook_size: 1024,
            dim: 10,
        }
    }

    /// Pixels of the latent grid that one code stands for.
    pub fn stride(&self) -> usize {
        4 << self.encoder_dims.len().saturating_sub(1)
    }

    /// Says what cannot be built, naming the key.
    pub fn problem(&self) -> Option<String> {
        let stages = |depths: &[usize], dims: &[usize]| {
            !dims.is_empty() && dims.len() < 12 && depths.len() == dims.len()
        };
        if !stages(&self.encoder_depths, &self.encoder_dims)
            || !stages(&self.decoder_depths, &self.decoder_dims)
        {
            return Some(
                "depths and dims must have one entry a stage, in the encoder and in the decoder"
                    .into(),
            );
        }
        if self
            .encoder_dims
            .iter()
            .chain(&self.decoder_dims)
            .any(|dim| *dim == 0)
        {
            return Some("encoder_dims and decoder_dims must be positive".into());
        }
        if self.encoder_dims.last() != Some(&self.latent_channels) {
            return Some("the last of encoder_dims must equal latent_channels".into());
        }
        if !matches!(self.decoder_dims.last(), Some(1 | 2)) {
            return Some("the last of decoder_dims must be 1 (flux) or 2 (flux and mask)".into());
        }
        if self.dim != self.embedding_dim || self.dim > 16 || self.codebook_size != 1 << self.dim {
            return Some("dim must equal embedding_dim, and codebook_size must be 2^dim".into());
        }
        if self.num_pixels < 2 || !self.num_pixels.is_multiple_of(self.stride()) {
            return Some(format!(
                "num_pixels must be a multiple of {}",
                self.stride()
            ));
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.resolution) || !positive(self.lambda_min) || !positive(self.input_scaling)
        {
            return Some("resolution, lambda_min and input_scaling must be positive".into());
        }
        None
    }
}
