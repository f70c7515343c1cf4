//! The image codec: one for all surveys (paper §2.1).
//!
//! `preprocess` brings pixels of any survey to one scale and 9 channels; `autoencoder` is the
//! network; `loss` is what training minimises.

mod autoencoder;
mod config;
mod loss;
mod preprocess;

pub use config::ImageConfig;
pub use loss::ImageLoss;
pub(crate) use preprocess::centre_crop;
pub use preprocess::{CROP, CompressedImage};

use aion_data::{DataError, Image};
use aion_kernel::layer::Conv2d;
use aion_kernel::{Init, Weights};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::quantizer::FiniteScalarQuantizer;
use autoencoder::Autoencoder;
use preprocess::{NUM_CHANNELS, RangeCompression};

/// Images to 24 × 24 codes and back.
#[derive(Module, Debug)]
pub struct ImageCodec {
    subsample_in: Projection,
    subsample_out: Projection,
    model: Autoencoder,
    pre_quant_proj: Conv2d,
    post_quant_proj: Conv2d,
    #[module(skip)]
    quantizer: FiniteScalarQuantizer,
    #[module(skip)]
    compression: RangeCompression,
}

/// A linear map of channels at each pixel, with a weight `(outputs, inputs)`.
#[derive(Module, Debug)]
struct Projection {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Projection {
    fn new(weights: &Weights, inputs: usize, outputs: usize) -> Self {
        let init = Init::fan_in(inputs);
        Projection {
            weight: weights.param("weight", [outputs, inputs], init.clone()),
            bias: weights.param("bias", [outputs], init),
        }
    }

    /// `(batch, inputs, h, w)` → `(batch, outputs, h, w)`
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [batch, inputs, height, width] = input.dims();
        let outputs = self.weight.dims()[0];
        let pixels = input.reshape([batch, inputs, height * width]);
        let output = self.weight.val().unsqueeze::<3>().matmul(pixels);
        let output = output + self.bias.val().reshape([1, outputs, 1]);
        output.reshape([batch, outputs, height, width])
    }
}

impl ImageCodec {
    /// Builds the codec that `config` describes.
    pub fn new(config: &ImageConfig, weights: &Weights) -> Self {
        let hidden = config.multisurvey_projection_dims;
        let channels = [config.hidden_dims, config.embedding_dim];
        ImageCodec {
            subsample_in: Projection::new(&weights.at("subsample_in"), NUM_CHANNELS, hidden),
            subsample_out: Projection::new(&weights.at("subsample_out"), hidden, NUM_CHANNELS),
            model: Autoencoder::new(config, &weights.at("model")),
            pre_quant_proj: Conv2d::new(&weights.at("pre_quant_proj"), channels, 1),
            post_quant_proj: Conv2d::new(
                &weights.at("post_quant_proj"),
                [channels[1], channels[0]],
                1,
            ),
            quantizer: FiniteScalarQuantizer::new(
                &weights.at("_quantizer"),
                &config.quantizer_levels,
            ),
            compression: RangeCompression {
                factor: config.range_compression_factor as f32,
                scale: config.mult_factor as f32,
            },
        }
    }

    /// Crops, clips, rescales and compresses an image into the network's channels.
    ///
    /// # Errors
    /// A band is unknown or the image is smaller than the crop.
    pub fn compress(&self, image: &Image) -> Result<CompressedImage, DataError> {
        preprocess::compress(image, self.compression)
    }

    /// Codes of a batch of compressed images, 576 each for the published configuration.
    pub fn encode(&self, images: &[CompressedImage], device: &Device) -> Vec<Vec<u16>> {
        let latent = self.latent(images, device);
        let [_, channels, height, width] = latent.dims();
        let positions = height * width;
        let values: Vec<f32> = latent.into_data().iter::<f32>().collect();
        values
            .chunks_exact(channels * positions)
            .map(|latent| self.quantizer.encode(latent, positions))
            .collect()
    }

    /// Latents before rounding, `(batch, channels, 24, 24)`.
    pub fn latent(&self, images: &[CompressedImage], device: &Device) -> Tensor<4> {
        let flux: Vec<f32> = images.iter().flat_map(|i| i.flux.iter().copied()).collect();
        // Fewer bands make the projection smaller; the published scale evens that out.
        let scale = images
            .iter()
            .map(|image| (NUM_CHANNELS as f32 / image.num_bands() as f32).sqrt());
        let batch = images.len();
        let flux = TensorData::new(flux, [batch, NUM_CHANNELS, CROP, CROP]);
        let scale = TensorData::new(scale.collect(), [batch, 1, 1, 1]);
        let projected = self.subsample_in.forward(Tensor::from_data(flux, device))
            * Tensor::from_data(scale, device);
        self.pre_quant_proj.forward(self.model.encode(projected))
    }

    /// Compressed flux of latents in all channels: `(batch, channels, 24, 24)` → `(batch, 9, 96, 96)`.
    fn reconstruct(&self, latent: Tensor<4>) -> Tensor<4> {
        let hidden = self.model.decode(self.post_quant_proj.forward(latent));
        self.subsample_out.forward(hidden)
    }

    /// Images of codes, each in the bands asked for and in those bands' own unit.
    ///
    /// # Errors
    /// A band is unknown.
    pub fn decode(
        &self,
        codes: &[&[u16]],
        bands: &[Vec<String>],
        device: &Device,
    ) -> Result<Vec<Image>, DataError> {
        let side = codes.first().map_or(0, |codes| codes.len().isqrt());
        let latent: Vec<f32> = codes
            .iter()
            .flat_map(|codes| self.quantizer.decode(codes))
            .collect();
        let shape = [codes.len(), self.quantizer.num_channels(), side, side];
        let latent = Tensor::from_data(TensorData::new(latent, shape), device);
        let flux = self.reconstruct(latent);
        let [_, channels, height, width] = flux.dims();
        let values: Vec<f32> = flux.into_data().iter::<f32>().collect();
        values
            .chunks_exact(channels * height * width)
            .zip(bands)
            .map(|(flux, bands)| preprocess::expand(flux, [height, width], bands, self.compression))
            .collect()
    }

    /// Number of codes in the vocabulary.
    pub fn codebook_size(&self) -> usize {
        self.quantizer.codebook_size()
    }
}
