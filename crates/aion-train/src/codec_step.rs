//! Training of the image and the spectrum codec on their own losses (paper §2.1, §2.2).

use aion_codec::image::ImageCodec;
use aion_codec::spectrum::SpectrumCodec;
use aion_data::{Image, Measurement, Spectrum};
use burn::tensor::{Device, Tensor};

use crate::data::Examples;
use crate::error::TrainError;
use crate::step::{Step, StepLoss};

/// Measurements of one kind, and where they are computed with.
#[derive(Debug)]
pub struct CodecData {
    /// The measurements.
    pub examples: Examples<Measurement>,
    /// Number in a batch.
    pub batch: u64,
    /// The device of the codec.
    pub device: Device,
}

/// Likelihood of the pixels.
#[derive(Debug)]
pub struct ImageStep(pub CodecData);

impl Step for ImageStep {
    type Model = ImageCodec;
    type Batch = Vec<Image>;

    fn batch(&self, position: u64) -> Result<Vec<Image>, TrainError> {
        let measurements = self.0.examples.batch(position, self.0.batch);
        let images = measurements.into_iter().filter_map(|found| match found {
            Measurement::Image(image) => Some(image),
            _ => None,
        });
        Ok(images.collect())
    }

    fn loss(&self, codec: &ImageCodec, images: Vec<Image>) -> Result<StepLoss, TrainError> {
        let loss = codec.loss(&images, &self.0.device)?;
        Ok(StepLoss {
            total: loss.total,
            terms: terms([("likelihood", loss.likelihood)]),
            weight: 1.0,
            tokens: 0,
        })
    }
}

/// Likelihood of the flux, cross-entropy of the mask, and the quantiser's terms.
#[derive(Debug)]
pub struct SpectrumStep(pub CodecData);

impl Step for SpectrumStep {
    type Model = SpectrumCodec;
    type Batch = Vec<Spectrum>;

    fn batch(&self, position: u64) -> Result<Vec<Spectrum>, TrainError> {
        let measurements = self.0.examples.batch(position, self.0.batch);
        let spectra = measurements.into_iter().filter_map(|found| match found {
            Measurement::Spectrum(spectrum) => Some(spectrum),
            _ => None,
        });
        Ok(spectra.collect())
    }

    fn loss(&self, codec: &SpectrumCodec, spectra: Vec<Spectrum>) -> Result<StepLoss, TrainError> {
        let loss = codec.loss(&spectra, &self.0.device)?;
        Ok(StepLoss {
            total: loss.total,
            terms: terms([
                ("likelihood", loss.likelihood),
                ("mask", loss.mask),
                ("commitment", loss.commitment),
            ]),
            weight: 1.0,
            tokens: 0,
        })
    }
}

fn terms<const N: usize>(terms: [(&str, Tensor<1>); N]) -> Vec<(String, f64)> {
    terms
        .into_iter()
        .map(|(name, value)| (name.to_owned(), f64::from(value.into_scalar::<f32>())))
        .collect()
}
