//! Embeddings: token, position and modality, in and out.
//!
//! A token's row is its entry in the modality's table; its place is a fixed sine-cosine position
//! code plus one vector a modality. The decoder is asked with a mask row at each place and answers
//! through one matrix a modality; of a sequence it is told the token before instead (paper, section 4.1;
//! Mizrahi et al. 2023).

use std::collections::BTreeMap;

use aion_data::ModalityId;
use aion_kernel::layer::{Embedding, Linear, select_rows};
use aion_kernel::{Init, Weights};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::config::{ConfigError, ModelConfig};
use crate::layout::{Layout, indices};
use crate::visible::num_positions;

/// Standard deviation of newly drawn embeddings.
pub(crate) const EMBEDDING_STD: f32 = 0.02;

/// Standard deviation of the first modality vectors: as large as that of positions and of numbers' codes, as
/// a number is found among others by them alone. From a small start that took thousands of steps to learn.
const MODALITY_STD: f32 = 0.5;

/// Position code and modality vector.
#[derive(Module, Debug)]
struct Place {
    position: Param<Tensor<3>>,
    /// `None` where the decoder's is shared.
    modality: Option<Param<Tensor<3>>>,
}

impl Place {
    fn new(dim: usize, id: ModalityId, shared: bool, weights: &Weights) -> Self {
        let info = id.info();
        let positions = num_positions(id);
        let axes = if info.is_sequence() {
            vec![positions]
        } else {
            vec![info.grid.1, info.grid.0]
        };
        let vector = || weights.param("mod_emb", [1, 1, dim], Init::Normal(MODALITY_STD));
        Place {
            position: weights.buffer("pos_emb", [1, positions, dim], Init::SineCosine(axes)),
            modality: (!shared).then(vector),
        }
    }
}

/// What the encoder knows of a modality.
#[derive(Module, Debug)]
struct InputEmbedding {
    #[module(skip)]
    id: ModalityId,
    tokens: Embedding,
    place: Place,
}

/// What the decoder knows of a modality.
#[derive(Module, Debug)]
struct OutputEmbedding {
    #[module(skip)]
    id: ModalityId,
    /// What a sequence's questions follow; of grids kept so that a saved checkpoint is whole.
    tokens: Embedding,
    place: Place,
    to_logits: Linear,
}

/// Standard deviation of the first embeddings of ordered codes: as large as that of positions. Each
/// of a number's thousand codes is seen so seldom that it would hardly grow out of a small start.
const ORDERED_STD: f32 = 0.5;

/// Codes of numbers are ordered. Their embeddings and heads start with neighbouring codes alike, so that what
/// is learned of one code holds for those beside it; and alike for all numbers, so that one is easily copied to another.
fn token_table(dim: usize, id: ModalityId, weights: &Weights) -> Embedding {
    let init = if id.info().is_number() {
        Init::Ordered(ORDERED_STD)
    } else {
        Init::Normal(EMBEDDING_STD)
    };
    Embedding::new(&weights.at("token_emb"), id.info().vocabulary, dim, init)
}

/// The embeddings of all modalities of a model.
#[derive(Module, Debug)]
pub(crate) struct Embeddings {
    inputs: Vec<InputEmbedding>,
    outputs: Vec<OutputEmbedding>,
}

/// Which side's places are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Encoder,
    Decoder,
}

impl Embeddings {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, ConfigError> {
        let (dim, targets) = (config.dim, config.targets()?);
        let inputs = config.inputs()?.into_iter().map(|id| {
            let weights = weights.at("encoder_embeddings").at(id);
            let shared = config.share_modality_embeddings && targets.contains(&id);
            if shared {
                weights.alias("mod_emb", &format!("decoder_embeddings.{id}.mod_emb"));
            }
            InputEmbedding {
                id,
                tokens: token_table(dim, id, &weights),
                place: Place::new(dim, id, shared, &weights),
            }
        });
        let outputs = targets.iter().map(|&id| {
            let weights = weights.at("decoder_embeddings").at(id);
            let vocabulary = id.info().vocabulary;
            let init = if id.info().is_number() {
                Init::Ordered((2.0 / (dim + vocabulary) as f32).sqrt())
            } else {
                Init::xavier(dim, vocabulary)
            };
            OutputEmbedding {
                id,
                tokens: token_table(dim, id, &weights),
                place: Place::new(dim, id, false, &weights),
                to_logits: Linear::new(&weights.at("to_logits"), dim, vocabulary, false, init),
            }
        });
        Ok(Embeddings {
            inputs: inputs.collect(),
            outputs: outputs.collect(),
        })
    }

    fn input(&self, id: ModalityId) -> Option<&InputEmbedding> {
        self.inputs.iter().find(|embedding| embedding.id == id)
    }

    fn output(&self, id: ModalityId) -> Option<&OutputEmbedding> {
        self.outputs.iter().find(|embedding| embedding.id == id)
    }

    /// Modalities that can be input.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = ModalityId> {
        self.inputs.iter().map(|embedding| embedding.id)
    }

    /// Modalities that can be predicted.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = ModalityId> {
        self.outputs.iter().map(|embedding| embedding.id)
    }

    /// Rows of the encoder's token tables, in the order of `layout`, after `registers`.
    /// Modalities that the model lacks give no rows: callers check them before.
    ///
    /// # Shapes
    /// registers `(n, dim)` → `(rows, dim)`
    pub(crate) fn token_rows(
        &self,
        tokens: &BTreeMap<ModalityId, Vec<i64>>,
        layout: &Layout,
        registers: Option<Tensor<2>>,
    ) -> Tensor<2> {
        let readings = tokens
            .iter()
            .filter_map(|(id, tokens)| Some(self.input(*id)?.tokens.forward(tokens)));
        arrange(readings, layout, registers)
    }

    /// What the decoder is told at each question, in the order of `layout`: of a sequence the token that the
    /// question follows, else only `mask`. `counts` are numbers of questions, `tokens` those of sequences.
    ///
    /// # Shapes
    /// mask `(1, dim)` → `(rows, dim)`
    pub(crate) fn told_rows(
        &self,
        mask: &Tensor<2>,
        counts: &BTreeMap<ModalityId, usize>,
        tokens: &BTreeMap<ModalityId, Vec<i64>>,
        layout: &Layout,
    ) -> Tensor<2> {
        let readings = counts.iter().filter_map(|(id, count)| {
            let Some(tokens) = tokens.get(id) else {
                return Some(mask.clone().expand([*count, mask.dims()[1]]));
            };
            Some(self.output(*id)?.tokens.forward(tokens))
        });
        arrange(readings, layout, None)
    }

    /// Position code plus modality vector, in the order of `layout`, after `registers`.
    ///
    /// # Shapes
    /// registers `(n, dim)` → `(rows, dim)`
    pub(crate) fn place_rows(
        &self,
        side: Side,
        positions: &BTreeMap<ModalityId, Vec<i64>>,
        layout: &Layout,
        registers: Option<Tensor<2>>,
    ) -> Tensor<2> {
        let readings = positions.iter().filter_map(|(id, positions)| {
            let output = || self.output(*id).map(|embedding| &embedding.place);
            let place = match side {
                Side::Encoder => &self.input(*id)?.place,
                Side::Decoder => output()?,
            };
            let vector = match &place.modality {
                Some(vector) => vector.val(),
                None => output()?.modality.as_ref()?.val(),
            };
            let codes: Tensor<2> = place.position.val().squeeze_dim(0);
            let device = codes.device();
            let codes = codes.select(0, indices(positions.clone(), &device));
            Some(codes + vector.squeeze_dim(0))
        });
        arrange(readings, layout, registers)
    }

    /// Logits of rows that ask for one modality; `None` when it cannot be predicted.
    ///
    /// # Shapes
    /// `(rows, dim)` → `(rows, vocabulary)`
    pub(crate) fn logits(&self, id: ModalityId, rows: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.output(id)?.to_logits.forward(rows))
    }
}

/// Brings readings made modality by modality into the order of the batch.
fn arrange(
    readings: impl Iterator<Item = Tensor<2>>,
    layout: &Layout,
    registers: Option<Tensor<2>>,
) -> Tensor<2> {
    let num_registers = registers.as_ref().map_or(0, |rows| rows.dims()[0]);
    let mut parts: Vec<Tensor<2>> = registers.into_iter().chain(readings).collect();
    let rows = match parts.len() {
        1 => parts.remove(0),
        _ => Tensor::cat(parts, 0),
    };
    match layout.sources(num_registers) {
        Some(sources) => select_rows(rows, &sources),
        None => rows,
    }
}
