//! The spectrum codec: one for all spectrographs (paper §2.2).
//!
//! `wavelength_grid` brings any spectrum to one grid; `autoencoder` is the network; the first token
//! is the spectrum's brightness, the others its shape.

mod autoencoder;
mod config;
mod loss;
mod wavelength_grid;

pub use config::SpectrumConfig;
pub use loss::SpectrumLoss;

use aion_data::{DataError, Place, Problem, Spectrum};
use aion_kernel::layer::{LayerNorm, affine};
use aion_kernel::{Init, Weights};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::quantizer::{LinearQuantizer, LookupFreeQuantizer};
use crate::range::Coverage;
use autoencoder::{Decoder, Encoder};
use wavelength_grid::{LatentGrid, interpolate};

/// Epsilon of the norm before quantisation. Not stored in checkpoints.
const NORM_EPSILON: f64 = 1e-5;
/// The smallest brightness that spectra are divided by, in the flux unit.
const MIN_NORMALIZATION: f32 = 0.1;

/// Spectra to one brightness code and 272 shape codes, and back.
#[derive(Module, Debug)]
pub struct SpectrumCodec {
    encoder: Encoder,
    decoder: Decoder,
    pre_quant_norm: LayerNorm,
    quant_conv: Pointwise,
    post_quant_conv: Pointwise,
    #[module(skip)]
    quantizer: LookupFreeQuantizer,
    #[module(skip)]
    normalization: LinearQuantizer,
    #[module(skip)]
    grid: LatentGrid,
    #[module(skip)]
    config: SpectrumConfig,
}

/// A linear map of channels, stored as a convolution of width 1.
#[derive(Module, Debug)]
struct Pointwise {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
}

impl Pointwise {
    fn new(weights: &Weights, inputs: usize, outputs: usize) -> Self {
        let init = Init::fan_in(inputs);
        Pointwise {
            weight: weights.param("weight", [outputs, inputs, 1], init.clone()),
            bias: weights.param("bias", [outputs], init),
        }
    }

    /// `(rows, inputs)` → `(rows, outputs)`
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let [outputs, inputs, _] = self.weight.dims();
        let weight = self.weight.val().reshape([outputs, inputs]);
        affine(input, weight, Some(self.bias.val()))
    }
}

/// A spectrum as the network takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentSpectrum {
    /// Flux and uncertainty channels on the latent grid, `(2, pixels)`.
    pub channels: Vec<f32>,
    /// Code of the brightness.
    pub normalization: u16,
    /// Pixels off the grid, and NaN or infinite ones.
    pub coverage: Coverage,
}

impl SpectrumCodec {
    /// Builds the codec that `config` describes.
    pub fn new(config: &SpectrumConfig, weights: &Weights) -> Self {
        let (latent, bits) = (config.latent_channels, config.embedding_dim);
        let range = config.normalization_range;
        SpectrumCodec {
            encoder: Encoder::new(config, &weights.at("encoder")),
            decoder: Decoder::new(config, &weights.at("decoder")),
            pre_quant_norm: LayerNorm::new(
                &weights.at("pre_quant_norm"),
                latent,
                NORM_EPSILON,
                true,
            ),
            quant_conv: Pointwise::new(&weights.at("quant_conv"), latent, bits),
            post_quant_conv: Pointwise::new(&weights.at("post_quant_conv"), bits, latent),
            quantizer: LookupFreeQuantizer::new(&weights.at("_quantizer._quantizer"), bits),
            normalization: LinearQuantizer::new(
                &weights.at("normalization_quantizer"),
                config.codebook_size,
                (range.0 as f32, range.1 as f32),
            ),
            grid: LatentGrid::new(&weights.at("latent_grid"), config),
            config: config.clone(),
        }
    }

    /// Normalises a spectrum and brings it to the latent grid.
    ///
    /// # Errors
    /// The arrays differ in length or are shorter than two pixels.
    pub fn prepare(&self, spectrum: &Spectrum) -> Result<LatentSpectrum, DataError> {
        let len = spectrum.wavelength.len();
        let lengths = [
            spectrum.flux.len(),
            spectrum.ivar.len(),
            spectrum.mask.len(),
        ];
        if len < 2 || lengths.iter().any(|other| *other != len) {
            let problem = Problem::Shape {
                found: format!("flux, ivar, mask of {lengths:?} pixels"),
                expected: format!("as many as wavelengths ({len}), at least 2"),
            };
            return Err(DataError::new(Place::field("flux"), problem));
        }
        let flux: Vec<f32> = spectrum.flux.iter().map(|flux| self.clean(*flux)).collect();
        let clip = self.config.clip_ivar.map(|clip| clip as f32);
        let deviation: Vec<f32> = spectrum
            .ivar
            .iter()
            .map(|ivar| inverse_deviation(*ivar, clip))
            .collect();

        let code = self
            .normalization
            .encode(log_brightness(&flux, &spectrum.mask));
        let brightness = self.brightness(code);
        let scaling = self.config.input_scaling as f32;
        let scaled: Vec<f32> = flux
            .iter()
            .map(|flux| (flux / brightness - 1.0) * scaling)
            .collect();
        let deviation: Vec<f32> = deviation
            .iter()
            .map(|deviation| deviation / brightness * scaling)
            .collect();

        let latent = self.grid.wavelength();
        let mut channels = interpolate(&spectrum.wavelength, &scaled, latent);
        channels.extend(interpolate(&spectrum.wavelength, &deviation, latent));
        channels.iter_mut().for_each(|value| *value = value.asinh());
        Ok(LatentSpectrum {
            channels,
            normalization: code,
            coverage: self.coverage(spectrum),
        })
    }

    /// NaN and infinite flux count as 0; the rest is clipped where the configuration says so.
    fn clean(&self, flux: f32) -> f32 {
        let flux = if flux.is_finite() { flux } else { 0.0 };
        match self.config.clip_flux {
            Some(clip) => flux.clamp(-clip as f32, clip as f32),
            None => flux,
        }
    }

    /// The flux that a brightness code stands for.
    fn brightness(&self, code: u16) -> f32 {
        (10f32.powf(self.normalization.decode(code)) - 1.0).max(MIN_NORMALIZATION)
    }

    fn coverage(&self, spectrum: &Spectrum) -> Coverage {
        let mut wavelengths = spectrum.wavelength.iter();
        Coverage::of(spectrum.flux.iter().copied(), |_| {
            wavelengths.next().is_none_or(|w| self.grid.spans(*w))
        })
    }

    /// Codes of a batch: brightness first.
    pub fn encode(&self, spectra: &[LatentSpectrum], device: &Device) -> Vec<Vec<u16>> {
        let latent = self.latent(spectra, device);
        let [_, positions, _] = latent.dims();
        let values: Vec<f32> = latent.into_data().iter::<f32>().collect();
        let codes = self.quantizer.encode(&values);
        let with_brightness = |(spectrum, codes): (&LatentSpectrum, &[u16])| {
            let mut all = vec![spectrum.normalization];
            all.extend_from_slice(codes);
            all
        };
        spectra
            .iter()
            .zip(codes.chunks_exact(positions.max(1)))
            .map(with_brightness)
            .collect()
    }

    /// Latents before quantisation, `(batch, positions, bits)`.
    pub fn latent(&self, spectra: &[LatentSpectrum], device: &Device) -> Tensor<3> {
        let values: Vec<f32> = spectra.iter().flat_map(|s| s.channels.clone()).collect();
        let shape = [spectra.len(), 2, self.grid.wavelength().len()];
        let input: Tensor<3> = Tensor::from_data(TensorData::new(values, shape), device);
        let hidden = self.encoder.forward(input.swap_dims(1, 2));
        let [batch, positions, channels] = hidden.dims();
        let hidden = self.pre_quant_norm.forward(hidden);
        self.quant_conv
            .forward(hidden.reshape([batch * positions, channels]))
            .reshape([batch, positions, self.quantizer.num_channels()])
    }

    /// Flux relative to the brightness less 1, and mask logits, on the latent grid:
    /// `(rows, bits)` → `(batch, pixels, channels)`.
    fn reconstruct(&self, latent: Tensor<2>, batch: usize) -> Tensor<3> {
        let hidden = self.post_quant_conv.forward(latent);
        let [rows, channels] = hidden.dims();
        self.decoder
            .forward(hidden.reshape([batch, rows / batch, channels]))
    }

    /// Spectra of codes. Each is given on its own wavelengths, or on the latent grid where `None`.
    /// The mask is true where the codec expects no valid pixel; `ivar` is 1, as it is not coded.
    pub fn decode(
        &self,
        codes: &[&[u16]],
        wavelengths: &[Option<&[f32]>],
        device: &Device,
    ) -> Vec<Spectrum> {
        let decoded = self.decode_with_logits(codes, wavelengths, device);
        decoded.into_iter().map(|(spectrum, _)| spectrum).collect()
    }

    /// Logits of the mask, above 0 where the codec expects no valid pixel, on the wavelengths of
    /// [`SpectrumCodec::decode`].
    pub fn mask_logits(
        &self,
        codes: &[&[u16]],
        wavelengths: &[Option<&[f32]>],
        device: &Device,
    ) -> Vec<Vec<f32>> {
        let decoded = self.decode_with_logits(codes, wavelengths, device);
        decoded.into_iter().map(|(_, logits)| logits).collect()
    }

    fn decode_with_logits(
        &self,
        codes: &[&[u16]],
        wavelengths: &[Option<&[f32]>],
        device: &Device,
    ) -> Vec<(Spectrum, Vec<f32>)> {
        let shape_codes: Vec<u16> = codes
            .iter()
            .flat_map(|codes| codes.get(1..).unwrap_or_default())
            .copied()
            .collect();
        let latent = self.quantizer.decode(&shape_codes);
        let shape = [shape_codes.len(), self.quantizer.num_channels()];
        let latent = Tensor::from_data(TensorData::new(latent, shape), device);
        let output = self.reconstruct(latent, codes.len());
        let [_, pixels, channels] = output.dims();
        let values: Vec<f32> = output.into_data().iter::<f32>().collect();
        codes
            .iter()
            .zip(values.chunks_exact(pixels * channels))
            .zip(wavelengths)
            .map(|((codes, values), wavelength)| {
                let brightness = self.brightness(codes.first().copied().unwrap_or_default());
                let plane = |channel: usize| -> Vec<f32> {
                    let values = values.iter().skip(channel);
                    values.step_by(channels).copied().collect()
                };
                let logits = if channels > 1 {
                    plane(1)
                } else {
                    vec![f32::NEG_INFINITY; pixels]
                };
                self.observed(plane(0), logits, brightness, *wavelength)
            })
            .collect()
    }

    fn observed(
        &self,
        flux: Vec<f32>,
        logits: Vec<f32>,
        brightness: f32,
        wavelength: Option<&[f32]>,
    ) -> (Spectrum, Vec<f32>) {
        let grid = self.grid.wavelength();
        let (flux, logits, wavelength) = match wavelength {
            Some(wavelength) => (
                interpolate(grid, &flux, wavelength),
                interpolate(grid, &logits, wavelength),
                wavelength.to_vec(),
            ),
            None => (flux, logits, grid.to_vec()),
        };
        let spectrum = Spectrum {
            flux: flux.iter().map(|flux| (flux + 1.0) * brightness).collect(),
            ivar: vec![1.0; wavelength.len()],
            // A logit of 0, as off the grid, is half and rounds to "valid".
            mask: logits.iter().map(|logit| *logit > 0.0).collect(),
            wavelength,
        };
        (spectrum, logits)
    }
}

/// Square root of an inverse variance, NaN and negative values counting as 0.
fn inverse_deviation(ivar: f32, clip: Option<f32>) -> f32 {
    let ivar = if ivar.is_nan() { 0.0 } else { ivar };
    let clipped = clip.map_or(ivar, |clip| ivar.clamp(0.0, clip));
    clipped.clamp(0.0, f32::MAX).sqrt()
}

/// log10(1 + mean flux of the good pixels), the mean being no smaller than its floor.
fn log_brightness(flux: &[f32], mask: &[bool]) -> f32 {
    let good = flux.iter().zip(mask).filter(|(_, masked)| !**masked);
    let (sum, count) = good.fold((0.0f64, 0usize), |(sum, count), (flux, _)| {
        (sum + f64::from(*flux), count + 1)
    });
    let mean = (sum as f32) / (count as f32 + 1.0);
    (mean.max(MIN_NORMALIZATION) + 1.0).log10()
}
