//! The image codec: one for all surveys (paper §2.1).
//!
//! `preprocess` brings pixels of any survey to one scale and 9 channels; `autoencoder` is the
//! network; `loss` is what training minimises; `bands` gives a trained codec bands of another survey.

mod autoencoder;
mod bands;
mod config;
mod loss;
mod preprocess;

pub use config::{BandsConfig, ImageConfig};
pub use loss::ImageLoss;
pub(crate) use preprocess::centre_crop;
pub use preprocess::{CROP, CompressedImage};

use aion_data::band::{BANDS, Band};
use aion_data::{DataError, Image};
use aion_kernel::layer::{Conv2d, convolve_with};
use aion_kernel::{Init, Weights, objects_abreast};
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
    /// In channel order.
    #[module(skip)]
    bands: &'static [Band],
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

    /// A convolution of this projection's output, as one convolution of its input and a channel of
    /// ones. The bias becomes that channel's kernel, so that it counts inside the image only.
    ///
    /// # Shapes
    /// `(outputs, hidden, k, k)` → `(outputs, inputs + 1, k, k)`
    fn before(&self, conv: Tensor<4>) -> Tensor<4> {
        let [outputs, hidden, kernel, _] = conv.dims();
        let inputs = self.weight.dims()[1];
        let bias = self.bias.val().reshape([hidden, 1]);
        let projection = Tensor::cat(vec![self.weight.val(), bias], 1);
        conv.permute([0, 2, 3, 1])
            .reshape([outputs * kernel * kernel, hidden])
            .matmul(projection)
            .reshape([outputs, kernel, kernel, inputs + 1])
            .permute([0, 3, 1, 2])
    }

    /// A convolution followed by this projection, as one convolution.
    ///
    /// # Shapes
    /// `(hidden, inputs, k, k)`, `(hidden)` → `(outputs, inputs, k, k)`, `(outputs)`
    fn after(&self, conv: Tensor<4>, bias: Tensor<1>) -> (Tensor<4>, Tensor<1>) {
        let [hidden, inputs, kernel, _] = conv.dims();
        let weight = self.weight.val();
        let outputs = weight.dims()[0];
        let conv = conv.reshape([hidden, inputs * kernel * kernel]);
        let merged = weight.clone().matmul(conv);
        let bias = weight.matmul(bias.reshape([hidden, 1])).reshape([outputs]);
        (
            merged.reshape([outputs, inputs, kernel, kernel]),
            bias + self.bias.val(),
        )
    }
}

impl ImageCodec {
    /// Builds the codec that `config` describes, with the published bands.
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
            bands: &BANDS,
        }
    }

    /// Crops, clips, rescales and compresses an image into the network's channels.
    ///
    /// # Errors
    /// A band is unknown or the image is smaller than the crop.
    pub fn compress(&self, image: &Image) -> Result<CompressedImage, DataError> {
        preprocess::compress(image, self.bands, self.compression)
    }

    /// Codes of a batch of compressed images, 576 each for the published configuration.
    pub fn encode(&self, images: &[CompressedImage], device: &Device) -> Vec<Vec<u16>> {
        let groups = images.chunks(objects_abreast(device));
        groups
            .flat_map(|images| self.encode_together(images, device))
            .collect()
    }

    fn encode_together(&self, images: &[CompressedImage], device: &Device) -> Vec<Vec<u16>> {
        let latent = self.latent(images, device).permute([0, 3, 1, 2]);
        let [_, channels, height, width] = latent.dims();
        let positions = height * width;
        let values: Vec<f32> = latent.into_data().iter::<f32>().collect();
        values
            .chunks_exact(channels * positions)
            .map(|latent| self.quantizer.encode(latent, positions))
            .collect()
    }

    /// Latents before rounding, `(batch, 24, 24, channels)`.
    pub fn latent(&self, images: &[CompressedImage], device: &Device) -> Tensor<4> {
        let pixels = CROP * CROP;
        // One more, of ones, for the bias.
        let channels = self.bands.len() + 1;
        let mut input = vec![0.0; images.len() * pixels * channels];
        for (target, image) in input.chunks_exact_mut(pixels * channels).zip(images) {
            // Fewer bands make the projection smaller; the published scale evens that out.
            let scale = (NUM_CHANNELS as f32 / image.num_bands() as f32).sqrt();
            for (pixel, target) in target.chunks_exact_mut(channels).enumerate() {
                for (channel, value) in target.iter_mut().enumerate() {
                    let flux = image.flux.get(channel * pixels + pixel);
                    *value = scale * flux.copied().unwrap_or(1.0);
                }
            }
        }
        let shape = [images.len(), CROP, CROP, channels];
        let input = Tensor::from_data(TensorData::new(input, shape), device);
        let (weight, bias) = self.model.conv_in();
        let hidden = convolve_with(input, self.subsample_in.before(weight), bias);
        self.pre_quant_proj.forward(self.model.encode(hidden))
    }

    /// Compressed flux of latents in all channels: `(batch, 24, 24, channels)` → `(batch, 96, 96, bands)`.
    fn reconstruct(&self, latent: Tensor<4>) -> Tensor<4> {
        let hidden = self.model.decode(self.post_quant_proj.forward(latent));
        let (weight, bias) = self.model.conv_out();
        let (weight, bias) = self.subsample_out.after(weight, bias);
        convolve_with(hidden, weight, bias)
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
        let abreast = objects_abreast(device);
        let groups = codes.chunks(abreast).zip(bands.chunks(abreast));
        let images = groups.map(|(codes, bands)| self.decode_together(codes, bands, device));
        Ok(images.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn decode_together(
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
        let latent: Tensor<4> = Tensor::from_data(TensorData::new(latent, shape), device);
        let flux = self.reconstruct(latent.permute([0, 2, 3, 1]));
        let flux = flux.permute([0, 3, 1, 2]);
        let [_, channels, height, width] = flux.dims();
        let values: Vec<f32> = flux.into_data().iter::<f32>().collect();
        values
            .chunks_exact(channels * height * width)
            .zip(bands)
            .map(|(flux, bands)| {
                let bands = (self.bands, bands.as_slice());
                preprocess::expand(flux, [height, width], bands, self.compression)
            })
            .collect()
    }

    /// Number of codes in the vocabulary.
    pub fn codebook_size(&self) -> usize {
        self.quantizer.codebook_size()
    }
}
