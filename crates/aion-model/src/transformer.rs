//! The encoder-decoder over tokens of any modalities (paper, section 4).
//!
//! The encoder turns an object's tokens into states; the decoder turns questions ("what is at this
//! position of that modality?") and the states into logits. Both run over packed rows of objects
//! that need have nothing in common.

use std::collections::BTreeMap;

use aion_data::{ModalityId, ObjectTokens};
use aion_kernel::layer::{LayerNorm, Linear};
use aion_kernel::{Init, Weights, recomputed};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::block::{DecoderBlock, EncoderBlock, norm};
use crate::config::ModelConfig;
use crate::embedding::{EMBEDDING_STD, Embeddings, Side};
use crate::error::ModelError;
use crate::layout::{Layout, take_rows};
use crate::states::{Decoded, Encoded};
use crate::target_attention::{DecoderAttention, TargetAttention};
use crate::visible::{self, Target, Targets, Visible, VisibleTokens};
use crate::visible::{check_positions, check_tokens};

/// The transformer.
#[derive(Module, Debug)]
pub struct Transformer {
    embeddings: Embeddings,
    encoder: Vec<EncoderBlock>,
    encoder_norm: LayerNorm,
    decoder_proj_context: Linear,
    decoder: Vec<DecoderBlock>,
    decoder_norm: LayerNorm,
    mask_token: Param<Tensor<3>>,
    register_tokens: Option<Param<Tensor<3>>>,
    #[module(skip)]
    config: ModelConfig,
    #[module(skip)]
    decoder_attention: DecoderAttention,
    recompute: bool,
}

impl Transformer {
    /// Builds the model, taking every parameter from `weights` under its published name.
    ///
    /// # Errors
    /// The configuration is not valid. Missing weights are reported by [`Weights::finish`].
    pub fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, ModelError> {
        config.validate()?;
        let dim = config.dim;
        let rows = |name: &str, count: usize| {
            weights.param(name, [1, count, dim], Init::Normal(EMBEDDING_STD))
        };
        let registers = config.num_register_tokens;
        let encoder = weights.at("encoder");
        let decoder = weights.at("decoder");
        Ok(Transformer {
            embeddings: Embeddings::new(config, weights)?,
            encoder: (0..config.encoder_depth)
                .map(|place| EncoderBlock::new(config, &encoder.at(place)))
                .collect(),
            encoder_norm: norm(config, weights, "encoder_norm"),
            decoder_proj_context: Linear::new(
                &weights.at("decoder_proj_context"),
                dim,
                dim,
                true,
                Init::xavier(dim, dim),
            ),
            decoder: (0..config.decoder_depth)
                .map(|place| DecoderBlock::new(config, &decoder.at(place)))
                .collect(),
            decoder_norm: norm(config, weights, "decoder_norm"),
            mask_token: rows("mask_token", 1),
            register_tokens: (registers > 0).then(|| rows("register_tokens", registers)),
            config: config.clone(),
            decoder_attention: DecoderAttention::default(),
            recompute: false,
        })
    }

    /// The same model with another attention between questions.
    pub fn with_decoder_attention(mut self, attention: DecoderAttention) -> Self {
        self.decoder_attention = attention;
        self
    }

    /// The same model, whose blocks keep no activations while it is trained on the CPU: each runs again in the
    /// backward pass, with the same gradients.
    pub fn with_recompute(mut self, recompute: bool) -> Self {
        self.recompute = recompute;
        self
    }

    /// Whether blocks run again in the backward pass.
    pub fn recomputes(&self) -> bool {
        self.recompute
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Modalities that can be input, in registry order.
    pub fn inputs(&self) -> impl Iterator<Item = ModalityId> {
        self.embeddings.inputs()
    }

    /// Modalities that have a head, in registry order.
    pub fn targets(&self) -> impl Iterator<Item = ModalityId> {
        self.embeddings.outputs()
    }

    /// Encodes all tokens of each object.
    ///
    /// # Errors
    /// See [`Transformer::encode_visible`]; and a modality has a wrong number of tokens.
    pub fn encode(&self, batch: &[ObjectTokens]) -> Result<Encoded, ModelError> {
        let shown: Result<Vec<VisibleTokens>, ModelError> = batch
            .iter()
            .enumerate()
            .map(|(object, tokens)| visible::show_all(object, tokens))
            .collect();
        self.encode_visible(&shown?)
    }

    /// Encodes the tokens shown of each object: an object's result depends on its own tokens only.
    ///
    /// # Errors
    /// The batch is empty, an object has no tokens, a modality is none of the model's inputs, or
    /// a token or a position is out of range.
    pub fn encode_visible(&self, batch: &[VisibleTokens]) -> Result<Encoded, ModelError> {
        self.check_inputs(batch)?;
        let registers = self.config.num_register_tokens;
        let layout = Layout::new(batch.iter(), registers, Visible::len);
        let tokens = by_modality(batch, |shown| shown.tokens.clone());
        let positions = by_modality(batch, |shown| shown.positions.clone());
        let registers: Option<Tensor<2>> = self
            .register_tokens
            .as_ref()
            .map(|rows| rows.val().squeeze_dim(0));
        // Registers have no place.
        let blank = registers.as_ref().map(Tensor::zeros_like);
        let tokens = self.embeddings.token_rows(&tokens, &layout, registers);
        let places = self
            .embeddings
            .place_rows(Side::Encoder, &positions, &layout, blank);
        let mut rows = tokens + places.clone();
        for block in &self.encoder {
            let objects = layout.objects().clone();
            rows = self.run(block, [rows], move |block, [rows]| {
                block.forward(rows, &objects)
            });
        }
        let rows = self.encoder_norm.forward(rows);
        let states = self.decoder_proj_context.forward(rows) + places;
        Ok(Encoded { states, layout })
    }

    /// Answers questions about each encoded object, in one pass for all of them.
    ///
    /// # Errors
    /// The numbers of objects differ, an object has no targets, a modality is none of the model's
    /// targets, a sequence is asked for by position or a grid by tokens, or a position or a token is out of
    /// range.
    pub fn decode(&self, encoded: &Encoded, targets: &[Targets]) -> Result<Decoded, ModelError> {
        self.check_targets(encoded, targets)?;
        let layout = Layout::new(targets.iter(), 0, Target::len);
        let positions = by_modality(targets, Target::positions);
        let places = self
            .embeddings
            .place_rows(Side::Decoder, &positions, &layout, None);
        let mut rows = places + self.told(targets, &positions, &layout);
        let attention = TargetAttention::new(&layout, &self.config, self.decoder_attention);
        for block in &self.decoder {
            let attention = attention.clone();
            let objects = [&layout, &encoded.layout].map(|layout| layout.objects().clone());
            let inputs = [rows, encoded.states.clone()];
            rows = self.run(block, inputs, move |block, [rows, context]| {
                let [targets, shown] = &objects;
                block.forward(rows, context, &attention, (targets, shown))
            });
        }
        let states = self.decoder_norm.forward(rows);
        Ok(Decoded { states, layout })
    }

    /// The result of one of the model's blocks.
    fn run<M: Module + 'static, const N: usize>(
        &self,
        block: &M,
        inputs: [Tensor<2>; N],
        forward: impl Fn(&M, [Tensor<2>; N]) -> Tensor<2> + Send + Sync + 'static,
    ) -> Tensor<2> {
        if self.recompute {
            recomputed(block, inputs, forward)
        } else {
            forward(block, inputs)
        }
    }

    /// What the decoder is told at each question: one row for all where no sequence is asked for.
    fn told(
        &self,
        targets: &[Targets],
        positions: &BTreeMap<ModalityId, Vec<i64>>,
        layout: &Layout,
    ) -> Tensor<2> {
        let mask: Tensor<2> = self.mask_token.val().squeeze_dim(0);
        let tokens = by_modality(targets, |target| match target {
            Target::At(_) => Vec::new(),
            Target::After(tokens) => tokens.clone(),
        });
        if tokens.is_empty() {
            return mask;
        }
        let counts = positions.iter().map(|(id, of)| (*id, of.len())).collect();
        self.embeddings.told_rows(&mask, &counts, &tokens, layout)
    }

    /// Logits of the questions about one modality, in object order.
    ///
    /// # Errors
    /// The modality is none of the model's targets or was not asked for.
    ///
    /// # Shapes
    /// `(positions of all objects, vocabulary)`
    pub fn logits(&self, decoded: &Decoded, modality: ModalityId) -> Result<Tensor<2>, ModelError> {
        let ranges: Vec<_> = decoded
            .layout
            .of(modality)
            .map(|group| group.rows.clone())
            .collect();
        let unknown = || self.unknown_target(modality);
        if ranges.is_empty() {
            return Err(unknown());
        }
        let rows = take_rows(&decoded.states, &ranges);
        self.embeddings.logits(modality, rows).ok_or_else(unknown)
    }

    fn check_inputs(&self, batch: &[VisibleTokens]) -> Result<(), ModelError> {
        if batch.is_empty() {
            return Err(ModelError::EmptyBatch);
        }
        for (object, tokens) in batch.iter().enumerate() {
            if tokens.values().all(Visible::is_empty) {
                return Err(ModelError::NoTokens { object });
            }
            for (&modality, shown) in tokens {
                if !self.inputs().any(|known| known == modality) {
                    return Err(ModelError::UnknownInput {
                        object,
                        modality,
                        known: listed(self.inputs()),
                    });
                }
                check_tokens(object, modality, shown)?;
            }
        }
        Ok(())
    }

    fn check_targets(&self, encoded: &Encoded, targets: &[Targets]) -> Result<(), ModelError> {
        let (expected, found) = (encoded.layout.objects().lengths().len(), targets.len());
        if expected != found {
            return Err(ModelError::BatchSize { expected, found });
        }
        for (object, targets) in targets.iter().enumerate() {
            if targets.values().all(Target::is_empty) {
                return Err(ModelError::NoTargets { object });
            }
            for (&modality, target) in targets {
                match (target, modality.info().is_sequence()) {
                    (Target::At(_), true) => return Err(ModelError::SequenceTarget { modality }),
                    (Target::After(_), false) => return Err(ModelError::GridTarget { modality }),
                    (Target::At(positions), false) => check_positions(object, modality, positions)?,
                    (Target::After(tokens), true) => {
                        check_tokens(object, modality, &Visible::all(tokens))?;
                    }
                }
                if !self.targets().any(|known| known == modality) {
                    return Err(self.unknown_target(modality));
                }
            }
        }
        Ok(())
    }

    fn unknown_target(&self, modality: ModalityId) -> ModelError {
        ModelError::UnknownTarget {
            modality,
            known: listed(self.targets()),
        }
    }
}

/// The values of each modality over all objects, in object order.
fn by_modality<T>(
    batch: &[BTreeMap<ModalityId, T>],
    values: impl Fn(&T) -> Vec<u16>,
) -> BTreeMap<ModalityId, Vec<i64>> {
    let mut collected: BTreeMap<ModalityId, Vec<i64>> = BTreeMap::new();
    for (modality, part) in batch.iter().flatten() {
        let values = values(part);
        if !values.is_empty() {
            let values = values.into_iter().map(i64::from);
            collected.entry(*modality).or_default().extend(values);
        }
    }
    collected
}

fn listed(modalities: impl Iterator<Item = ModalityId>) -> String {
    let keys: Vec<&str> = modalities.map(ModalityId::key).collect();
    keys.join(", ")
}
