//! Training of the codecs that have networks, on their own losses (paper §2.1, §2.2, §2.4).

use std::marker::PhantomData;

use aion_codec::Codec;
use aion_codec::image::ImageCodec;
use aion_codec::scalar_field::ScalarFieldCodec;
use aion_codec::spectrum::SpectrumCodec;
use aion_data::{DataError, Image, Measurement, ScalarField, Spectrum};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::codec_report::Watched;
use crate::error::TrainError;
use crate::mix::Mix;
use crate::step::{Step, StepLoss};

/// What a loss consists of, by name.
pub type Terms = Vec<(&'static str, Tensor<1>)>;

/// A codec with a loss.
pub trait TrainedCodec: Module {
    /// What it is trained on.
    type Measured;

    /// The measurement, if it is of the codec's kind.
    fn take(measurement: Measurement) -> Option<Self::Measured>;

    /// The codec as one of any kind.
    fn into_any(self) -> Codec;

    /// The loss of a batch, and what it consists of.
    ///
    /// # Errors
    /// A measurement that the codec cannot take.
    fn batch_loss(
        &self,
        batch: &[Self::Measured],
        device: &Device,
    ) -> Result<(Tensor<1>, Terms), DataError>;
}

/// Likelihood of the pixels.
impl TrainedCodec for ImageCodec {
    type Measured = Image;

    fn take(measurement: Measurement) -> Option<Image> {
        match measurement {
            Measurement::Image(image) => Some(image),
            _ => None,
        }
    }

    fn into_any(self) -> Codec {
        Codec::Image(Box::new(self))
    }

    fn batch_loss(
        &self,
        batch: &[Image],
        device: &Device,
    ) -> Result<(Tensor<1>, Terms), DataError> {
        let loss = self.loss(batch, device)?;
        Ok((loss.total, vec![("likelihood", loss.likelihood)]))
    }
}

/// Likelihood of the flux, cross-entropy of the mask, and the quantiser's terms.
impl TrainedCodec for SpectrumCodec {
    type Measured = Spectrum;

    fn take(measurement: Measurement) -> Option<Spectrum> {
        match measurement {
            Measurement::Spectrum(spectrum) => Some(spectrum),
            _ => None,
        }
    }

    fn into_any(self) -> Codec {
        Codec::Spectrum(Box::new(self))
    }

    fn batch_loss(
        &self,
        batch: &[Spectrum],
        device: &Device,
    ) -> Result<(Tensor<1>, Terms), DataError> {
        let loss = self.loss(batch, device)?;
        let terms = vec![
            ("likelihood", loss.likelihood),
            ("mask", loss.mask),
            ("commitment", loss.commitment),
        ];
        Ok((loss.total, terms))
    }
}

/// Mean squared error of the map.
impl TrainedCodec for ScalarFieldCodec {
    type Measured = ScalarField;

    fn take(measurement: Measurement) -> Option<ScalarField> {
        match measurement {
            Measurement::ScalarField(map) => Some(map),
            _ => None,
        }
    }

    fn into_any(self) -> Codec {
        Codec::ScalarField(Box::new(self))
    }

    fn batch_loss(
        &self,
        batch: &[ScalarField],
        device: &Device,
    ) -> Result<(Tensor<1>, Terms), DataError> {
        Ok((self.loss(batch, device)?, Vec::new()))
    }
}

/// A codec's training: measurements of its kind, and where they are computed with.
#[derive(Debug)]
pub struct CodecStep<C> {
    /// The measurements.
    pub examples: Mix,
    /// What is watched.
    pub watched: Watched,
    /// Number in a batch.
    pub batch: u64,
    /// The device of the codec.
    pub device: Device,
    /// What is trained.
    pub codec: PhantomData<C>,
}

impl<C: TrainedCodec> Step for CodecStep<C> {
    type Model = C;
    type Batch = Vec<C::Measured>;

    fn batch(&self, position: u64) -> Result<Self::Batch, TrainError> {
        let measurements = self.examples.batch(position, self.batch);
        Ok(measurements.into_iter().filter_map(C::take).collect())
    }

    fn loss(&self, codec: &C, batch: Self::Batch) -> Result<StepLoss, TrainError> {
        let (total, terms) = codec.batch_loss(&batch, &self.device)?;
        let value = |(name, term): (&str, Tensor<1>)| {
            (name.to_owned(), f64::from(term.into_scalar::<f32>()))
        };
        Ok(StepLoss {
            total,
            terms: terms.into_iter().map(value).collect(),
            weight: 1.0,
            tokens: 0,
            operations: 0.0,
        })
    }

    fn validate(&self, codec: &C) -> Result<Vec<(String, f64)>, TrainError> {
        let measured = self.watched.measurements().cloned();
        let measured: Vec<C::Measured> = measured.filter_map(C::take).collect();
        if measured.is_empty() {
            return Ok(Vec::new());
        }
        let mut sum = 0.0;
        for batch in measured.chunks(self.batch as usize) {
            let (loss, _) = codec.batch_loss(batch, &self.device)?;
            sum += batch.len() as f64 * f64::from(loss.into_scalar::<f32>());
        }
        let loss = (Self::HELD_OUT.to_owned(), sum / measured.len() as f64);
        let figures = self
            .watched
            .figures(codec.clone().into_any(), &self.device)?;
        Ok(std::iter::once(loss).chain(figures).collect())
    }
}
