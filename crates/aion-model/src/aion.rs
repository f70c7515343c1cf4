//! A checkpoint in use: its transformer and its codecs, from objects to answers.

use std::path::Path;

use aion_codec::{Codec, CodecError, CodecSet};
use aion_data::{DataError, Measurement, ModalityId, Object, ObjectTokens};
use aion_kernel::{LoadReport, Narrow};
use burn::tensor::Device;

use crate::checkpoint::Checkpoint;
use crate::error::ModelError;
use crate::predict::{Distribution, Prediction};
use crate::states::Encoded;
use crate::target_attention::DecoderAttention;
use crate::transformer::Transformer;

/// An open checkpoint. Weights are mapped and codecs opened when they are first needed.
#[derive(Debug)]
pub struct Aion {
    /// The transformer.
    pub transformer: Transformer,
    /// The codecs beside it.
    pub codecs: CodecSet,
    /// What became of the transformer's tensors.
    pub report: LoadReport,
}

impl Aion {
    /// Opens the checkpoint in `folder`; `narrow` keeps the transformer's matrices in fewer bits.
    ///
    /// # Errors
    /// See [`Checkpoint::open_narrowed`]. Codecs are opened later and give their errors then.
    pub fn open(
        folder: &Path,
        device: &Device,
        narrow: Option<Narrow>,
    ) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open_narrowed(folder, device, narrow)?;
        Ok(Aion {
            transformer: checkpoint.transformer,
            report: checkpoint.report,
            codecs: CodecSet::new(folder, device),
        })
    }

    /// The same with another attention between predicted positions.
    pub fn with_decoder_attention(mut self, attention: DecoderAttention) -> Self {
        self.transformer = self.transformer.with_decoder_attention(attention);
        self
    }

    /// Tokens of each object, in order, with the fraction of values out of range. A bad object gives
    /// its own error.
    ///
    /// # Errors
    /// A codec is absent or cannot be opened.
    pub fn tokenize(
        &self,
        objects: &[Object],
    ) -> Result<Vec<Result<aion_codec::Encoded, DataError>>, CodecError> {
        self.codecs.encode(objects)
    }

    /// Encoder states of all tokens of each object.
    ///
    /// # Errors
    /// See [`Transformer::encode`].
    pub fn embed(&self, batch: &[ObjectTokens]) -> Result<Encoded, ModelError> {
        self.transformer.encode(batch)
    }

    /// The likeliest measurements: those of each prediction's argmax tokens.
    ///
    /// # Errors
    /// The codec is absent or cannot be opened, or its codes are fewer than the vocabulary's.
    pub fn most_likely(
        &self,
        target: ModalityId,
        predictions: &[&Prediction],
    ) -> Result<Vec<Measurement>, CodecError> {
        let tokens: Vec<Vec<u16>> = predictions.iter().map(|p| p.argmax()).collect();
        let tokens: Vec<&[u16]> = tokens.iter().map(Vec::as_slice).collect();
        self.codecs.decode(target, &tokens, &[])
    }

    /// The values that a scalar's codes stand for; `None` for anything but a scalar.
    ///
    /// # Errors
    /// The codec is absent or cannot be opened.
    pub fn grid(&self, target: ModalityId) -> Result<Option<Vec<f32>>, CodecError> {
        Ok(match &self.codecs.codec(target)?.codec {
            Codec::Scalar(codec) => codec.grid(),
            _ => None,
        })
    }

    /// The distribution of a scalar's value; `None` for anything but a scalar.
    ///
    /// # Errors
    /// The codec is absent or cannot be opened.
    pub fn distribution(
        &self,
        target: ModalityId,
        prediction: &Prediction,
    ) -> Result<Option<Distribution>, CodecError> {
        let grid = self.grid(target)?;
        Ok(grid.and_then(|grid| prediction.distribution(&grid)))
    }
}
