//! What training of the image codec minimises: the negative log-likelihood of the pixels under
//! their noise, in decompressed flux (paper §2.1).

use aion_data::band::Band;
use aion_data::{DataError, Image};
use burn::tensor::{Device, Tensor, TensorData};

use super::preprocess::{CROP, centre_crop, channels_of, zeropoint_scale};
use super::{CompressedImage, ImageCodec};

/// Loss of a batch, and what it consists of.
#[derive(Debug, Clone)]
pub struct ImageLoss {
    /// What is minimised, `(1)`.
    pub total: Tensor<1>,
    /// Mean over pixels of the squared error in units of the noise, halved and limited as below, `(1)`.
    pub likelihood: Tensor<1>,
}

/// Residuals beyond this many standard deviations count linearly: sinh makes early mistakes in
/// bright pixels astronomically large, and one such pixel would otherwise own the gradient.
const HUBER_SIGMAS: f32 = 3.0;
/// Noise assumed where the survey gives none, nanomaggies.
const DEFAULT_SIGMA: f32 = 0.02;
/// Weight of the error of the compressed flux, which keeps the gradient alive where the decompressed
/// one saturates.
const COMPRESSED_WEIGHT: f32 = 1.0;

impl ImageCodec {
    /// The loss on a batch of images, quantisation included.
    ///
    /// # Errors
    /// An image that the codec cannot take.
    pub fn loss(&self, images: &[Image], device: &Device) -> Result<ImageLoss, DataError> {
        let compressed: Vec<CompressedImage> = images
            .iter()
            .map(|image| self.compress(image))
            .collect::<Result<_, _>>()?;
        let channels = self.bands.len();
        let mut inverse_sigma = Vec::with_capacity(images.len() * channels * CROP * CROP);
        for image in images {
            inverse_sigma.extend(inverse_noise(self.bands, image)?);
        }
        let shape = [images.len(), channels, CROP, CROP];
        let inverse_sigma: Tensor<4> =
            Tensor::from_data(TensorData::new(inverse_sigma, shape), device);
        let target: Vec<f32> = compressed.iter().flat_map(|i| i.flux.clone()).collect();
        let target: Tensor<4> = Tensor::from_data(TensorData::new(target, shape), device);

        let latent = self.latent(&compressed, device).permute([0, 3, 1, 2]);
        let latent = self.quantizer.straight_through(latent);
        let output = self.reconstruct(latent.permute([0, 2, 3, 1]));
        let output = output.permute([0, 3, 1, 2]);
        let present = inverse_sigma.clone().greater_elem(0.0).float();
        let count = present.clone().sum().clamp_min(1.0);

        let residual = (self.expand(output.clone()) - self.expand(target.clone())) * inverse_sigma;
        let likelihood = huber(residual).sum() / count.clone();
        let difference = (output - target) * present;
        let compressed = difference.powf_scalar(2.0).sum() / count;
        Ok(ImageLoss {
            total: likelihood.clone() + compressed * COMPRESSED_WEIGHT,
            likelihood,
        })
    }

    /// Nanomaggies of compressed flux, kept within what the clipped bands can hold, so that sinh
    /// cannot overflow.
    fn expand(&self, compressed: Tensor<4>) -> Tensor<4> {
        let bands = self.bands.iter();
        let brightest = bands
            .map(|band| band.clamp / zeropoint_scale(band))
            .fold(0.0, f32::max);
        let limit = self.compression.compress(brightest);
        let bounded = compressed.clamp(-limit, limit);
        (bounded / (self.compression.scale * self.compression.factor)).sinh()
            * self.compression.factor
    }
}

/// Half the square within the limit, linear beyond it.
fn huber(residual: Tensor<4>) -> Tensor<4> {
    let size = residual.abs();
    let inner = size.clone().clamp_max(HUBER_SIGMAS);
    inner.clone().powf_scalar(2.0) * 0.5 + (size - inner) * HUBER_SIGMAS
}

/// 1/σ of each pixel in nanomaggies, `(channels, 96, 96)`; 0 where there is no band or no valid pixel.
fn inverse_noise(bands: &[Band], image: &Image) -> Result<Vec<f32>, DataError> {
    let plane_len = image.height * image.width;
    let mut inverse = vec![0.0; bands.len() * CROP * CROP];
    for (index, channel) in channels_of(bands, &image.bands)?.into_iter().enumerate() {
        let scale = zeropoint_scale(&bands[channel]);
        let target = &mut inverse[channel * CROP * CROP..(channel + 1) * CROP * CROP];
        let size = [image.height, image.width];
        let ivar = image
            .ivar
            .as_ref()
            .and_then(|ivar| ivar.get(index * plane_len..(index + 1) * plane_len));
        let flux = image.flux.get(index * plane_len..(index + 1) * plane_len);
        match (ivar, flux) {
            (Some(ivar), _) => {
                for (target, ivar) in target.iter_mut().zip(centre_crop(ivar, size)) {
                    let valid = ivar.is_finite() && ivar > 0.0;
                    *target = if valid { ivar.sqrt() * scale } else { 0.0 };
                }
            }
            (None, Some(flux)) => {
                for (target, flux) in target.iter_mut().zip(centre_crop(flux, size)) {
                    *target = if flux.is_finite() {
                        1.0 / DEFAULT_SIGMA
                    } else {
                        0.0
                    };
                }
            }
            (None, None) => {}
        }
    }
    Ok(inverse)
}
