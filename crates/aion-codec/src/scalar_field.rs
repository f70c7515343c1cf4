//! The codec of maps with values in [0, 1], such as segmentation maps (paper §2.4): a small
//! convolutional autoencoder. `loss` is what training minimises.

mod loss;

use aion_data::{DataError, Place, Problem, ScalarField};
use aion_kernel::Weights;
use aion_kernel::layer::{BatchNorm2d, Conv2d, ConvTranspose2d};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};

use crate::image::CROP;
use crate::quantizer::FiniteScalarQuantizer;
use crate::range::Coverage;

/// `config.json` of the scalar-field codec. The optimiser's keys are part of the published file
/// and do not change the codec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalarFieldConfig {
    /// Channels of the encoder's output.
    pub encoder_output_dim: usize,
    /// Channels of the decoder's input, if not the same.
    pub decoder_input_dim: Option<usize>,
    /// Channels of the quantiser.
    pub embedding_dim: Option<usize>,
    /// Hidden channels of residual layers.
    pub res_hidden_dims: usize,
    /// Number of residual layers.
    pub num_res_layers: usize,
    /// Number of halvings of the resolution.
    pub num_downsamples: usize,
    /// Levels of each quantiser channel.
    pub levels: Vec<usize>,
    /// Stretch of the output beyond [0, 1] before it is clipped.
    pub output_activation_extension: Option<f64>,
    /// Not supported when true.
    #[serde(default)]
    pub variational: bool,
    /// Not supported when true.
    #[serde(default)]
    pub ema_model_weights: bool,
    #[serde(default)]
    ema_decay: Option<f64>,
    #[serde(default)]
    ema_update_freq: Option<u64>,
    #[serde(default)]
    lr: Option<f64>,
    #[serde(default)]
    lr_warmup: Option<u64>,
    #[serde(default)]
    begin_cosine_annealing: Option<u64>,
    #[serde(default)]
    lr_cosine_period: Option<u64>,
    #[serde(default)]
    quantisation_loss_weight: Option<f64>,
}

impl ScalarFieldConfig {
    /// Says what cannot be built, naming the key.
    pub fn problem(&self) -> Option<String> {
        let embedding = self.embedding_dim.unwrap_or(self.encoder_output_dim);
        let codes: Option<usize> = self
            .levels
            .iter()
            .try_fold(1usize, |product, level| product.checked_mul(*level));
        if self.variational || self.ema_model_weights {
            return Some("variational and ema_model_weights must be false".into());
        }
        if embedding != self.levels.len() {
            return Some("embedding_dim must equal the number of levels".into());
        }
        if self.levels.iter().any(|level| *level < 2) || codes.is_none_or(|codes| codes > 1 << 16) {
            return Some("levels must be 2 or more with at most 65536 codes".into());
        }
        let decoder = self.decoder_input_dim.unwrap_or(self.encoder_output_dim);
        let halvings = self.num_downsamples.saturating_sub(1);
        if self.num_downsamples == 0
            || self.num_downsamples > 5
            || self.encoder_output_dim.min(decoder) >> halvings == 0
            || self.res_hidden_dims == 0
        {
            return Some(
                "dims must be positive and survive num_downsamples (1 to 5) halvings".into(),
            );
        }
        None
    }
}

/// Maps to 12 × 12 codes and back.
#[derive(Module, Debug)]
pub struct ScalarFieldCodec {
    down: Vec<Conv2d>,
    encoder_conv: Conv2d,
    encoder_residual: Vec<ResidualLayer>,
    encode_proj: Conv2d,
    decode_proj: Conv2d,
    decoder_conv: ConvTranspose2d,
    decoder_residual: Vec<ResidualLayer>,
    up: Vec<ConvTranspose2d>,
    #[module(skip)]
    quantizer: FiniteScalarQuantizer,
    #[module(skip)]
    extension: f32,
}

impl ScalarFieldCodec {
    /// Builds the codec that `config` describes. Numbers in weight names are positions in the
    /// published list of layers, activations included.
    pub fn new(config: &ScalarFieldConfig, weights: &Weights) -> Self {
        let (steps, embedding) = (config.num_downsamples, config.levels.len());
        let inner = config.encoder_output_dim;
        let outer = config.decoder_input_dim.unwrap_or(inner);
        let halves = |dim: usize| (1..steps).rev().map(move |halvings| dim >> halvings);
        let down_dims: Vec<usize> = [1]
            .into_iter()
            .chain(halves(inner))
            .chain([inner])
            .collect();
        let up_dims: Vec<usize> = [outer]
            .into_iter()
            .chain(halves(outer))
            .chain([1])
            .collect();
        let (encoder, decoder) = (weights.at("encoder.net"), weights.at("decoder.net"));
        let down = |(index, pair): (usize, &[usize])| {
            Conv2d::strided(&encoder.at(2 * index), [pair[0], pair[1]], 4, 2, 1)
        };
        let up = |(index, pair): (usize, &[usize])| {
            ConvTranspose2d::new(&decoder.at(2 * index + 3), [pair[0], pair[1]], 4, 2, 1)
        };
        let residual = |weights: &Weights, dim: usize| -> Vec<ResidualLayer> {
            let layer =
                |i| ResidualLayer::new(&weights.at("net").at(i), dim, config.res_hidden_dims);
            (0..config.num_res_layers).map(layer).collect()
        };
        ScalarFieldCodec {
            down: down_dims.windows(2).enumerate().map(down).collect(),
            encoder_conv: Conv2d::new(&encoder.at(2 * steps), [inner, inner], 3),
            encoder_residual: residual(&encoder.at(2 * steps + 1), inner),
            encode_proj: Conv2d::new(&weights.at("encode_proj"), [inner, embedding], 1),
            decode_proj: Conv2d::new(&weights.at("decode_proj"), [embedding, outer], 1),
            decoder_conv: ConvTranspose2d::new(&decoder.at(0), [outer, outer], 3, 1, 1),
            decoder_residual: residual(&decoder.at(1), outer),
            up: up_dims.windows(2).enumerate().map(up).collect(),
            quantizer: FiniteScalarQuantizer::new(&weights.at("_quantizer"), &config.levels),
            extension: config.output_activation_extension.unwrap_or(0.0) as f32,
        }
    }

    /// The centre of a map as the network takes it; NaN becomes 0.
    ///
    /// # Errors
    /// The map is smaller than the crop.
    pub fn crop(&self, map: &ScalarField) -> Result<Vec<f32>, DataError> {
        let (height, width) = (map.height, map.width);
        if height < CROP || width < CROP || map.field.len() != height * width {
            let problem = Problem::Shape {
                found: format!("{height} × {width} pixels"),
                expected: format!("at least {CROP} × {CROP}"),
            };
            return Err(DataError::new(Place::field("field"), problem));
        }
        let pixels = crate::image::centre_crop(&map.field, [height, width]);
        Ok(pixels.map(|x| if x.is_nan() { 0.0 } else { x }).collect())
    }

    /// How many pixels lie in [0, 1].
    pub fn coverage(&self, map: &ScalarField) -> Coverage {
        Coverage::of(map.field.iter().copied(), |x| (0.0..=1.0).contains(&x))
    }

    /// Codes of cropped maps, 144 each for the published configuration.
    pub fn encode(&self, maps: &[Vec<f32>], device: &Device) -> Vec<Vec<u16>> {
        let latent = self.latent(maps, device).permute([0, 3, 1, 2]);
        let [_, channels, height, width] = latent.dims();
        let positions = height * width;
        let values: Vec<f32> = latent.into_data().iter::<f32>().collect();
        values
            .chunks_exact(channels * positions)
            .map(|latent| self.quantizer.encode(latent, positions))
            .collect()
    }

    /// Latents before rounding, `(batch, 12, 12, channels)`.
    pub fn latent(&self, maps: &[Vec<f32>], device: &Device) -> Tensor<4> {
        let data = TensorData::new(maps.concat(), [maps.len(), CROP, CROP, 1]);
        let input = Tensor::from_data(data, device);
        let down = |x, conv: &Conv2d| activation::relu(conv.forward(x));
        let hidden = self
            .encoder_conv
            .forward(self.down.iter().fold(input, down));
        let hidden = self
            .encoder_residual
            .iter()
            .fold(hidden, |x, l| l.forward(x));
        self.encode_proj.forward(hidden)
    }

    /// Maps of codes.
    pub fn decode(&self, codes: &[&[u16]], device: &Device) -> Vec<ScalarField> {
        let side = codes.first().map_or(0, |codes| codes.len().isqrt());
        let latent: Vec<f32> = codes
            .iter()
            .flat_map(|codes| self.quantizer.decode(codes))
            .collect();
        let shape = [codes.len(), self.quantizer.num_channels(), side, side];
        let latent: Tensor<4> = Tensor::from_data(TensorData::new(latent, shape), device);
        let output = self.reconstruct(latent.permute([0, 2, 3, 1]));
        let output = output.clamp(0.0, 1.0);
        let [_, height, width, _] = output.dims();
        let values: Vec<f32> = output.into_data().iter::<f32>().collect();
        let map = |field: &[f32]| ScalarField {
            height,
            width,
            field: field.to_vec(),
        };
        values.chunks_exact(height * width).map(map).collect()
    }

    /// Maps of latents before they are clipped to [0, 1]: `(batch, 12, 12, channels)` →
    /// `(batch, 96, 96, 1)`.
    fn reconstruct(&self, latent: Tensor<4>) -> Tensor<4> {
        let hidden = self.decoder_conv.forward(self.decode_proj.forward(latent));
        let hidden = self
            .decoder_residual
            .iter()
            .fold(hidden, |x, l| l.forward(x));
        let up = |x, conv: &ConvTranspose2d| conv.forward(activation::relu(x));
        let output = activation::sigmoid(self.up.iter().fold(hidden, up));
        output * (1.0 + 2.0 * self.extension) - self.extension
    }

    /// Number of codes in the vocabulary.
    pub fn codebook_size(&self) -> usize {
        self.quantizer.codebook_size()
    }
}

/// `x + 1×1 (relu(norm(3×3 relu(x))))`
#[derive(Module, Debug)]
struct ResidualLayer {
    conv: Conv2d,
    norm: BatchNorm2d,
    pointwise: Conv2d,
}

impl ResidualLayer {
    fn new(weights: &Weights, dim: usize, hidden: usize) -> Self {
        let weights = weights.at("net");
        ResidualLayer {
            conv: Conv2d::new(&weights.at(1), [dim, hidden], 3),
            norm: BatchNorm2d::new(&weights.at(2), hidden),
            pointwise: Conv2d::new(&weights.at(4), [hidden, dim], 1),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = self.conv.forward(activation::relu(input.clone()));
        let hidden = activation::relu(self.norm.forward(hidden));
        input + self.pointwise.forward(hidden)
    }
}
