//! Which questions of the decoder attend to which.

use aion_kernel::Segments;
use aion_kernel::layer::LayerNorm;
use burn::tensor::Tensor;

use crate::attention::SelfAttention;
use crate::config::ModelConfig;
use crate::layout::{Group, Layout, indices};

/// How the questions of one object attend to each other in the decoder. Those of a sequence attend to the ones
/// before them in it, whichever this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecoderAttention {
    /// As the published package computes predictions: its mask hides every question from every
    /// other, which softmax turns into equal weight on all questions of the object, whatever
    /// `decoder_sep_mask` says. Agreement with it needs the same, so this is the default.
    /// With `decoder_causal_mask` the package's mask is as meant and this equals `Content`.
    #[default]
    Reference,
    /// Attention by content, as in 4M: within a modality with `decoder_sep_mask`, else over all
    /// questions of the object. Right for models that were trained so.
    Content,
}

/// Which decoder rows a decoder row attends to.
#[derive(Debug, Clone)]
pub(crate) enum TargetAttention {
    /// Equal weight on all rows of these groups.
    Uniform(Segments),
    /// Softmax attention within these groups, possibly causal.
    Softmax(Segments, bool),
    /// Parts that know nothing of each other.
    Apart {
        /// The rows of each part, and how they attend.
        parts: Vec<(Vec<i64>, TargetAttention)>,
        /// The place of each row among those of all parts, one part after the other.
        places: Vec<i64>,
    },
}

impl TargetAttention {
    /// Questions about grids attend to each other as configuration and `attention` say; each
    /// sequence attends to itself alone, causally.
    pub(crate) fn new(layout: &Layout, config: &ModelConfig, attention: DecoderAttention) -> Self {
        let is_sequence = |group: &&Group| group.modality.is_some_and(|id| id.info().is_sequence());
        let (sequences, grids): (Vec<&Group>, Vec<&Group>) =
            layout.groups().iter().partition(is_sequence);
        let causal = config.decoder_causal_mask;
        let among_grids = if attention == DecoderAttention::Reference && !causal {
            TargetAttention::Uniform(by_object(&grids))
        } else if config.decoder_sep_mask {
            TargetAttention::Softmax(by_group(&grids), causal)
        } else {
            TargetAttention::Softmax(by_object(&grids), causal)
        };
        if sequences.is_empty() {
            return among_grids;
        }
        let of_sequences = TargetAttention::Softmax(by_group(&sequences), true);
        let parts = [(grids, among_grids), (sequences, of_sequences)];
        let parts: Vec<(Vec<i64>, TargetAttention)> = parts
            .into_iter()
            .map(|(groups, attention)| (rows(&groups), attention))
            .filter(|(rows, _)| !rows.is_empty())
            .collect();
        let mut places = vec![0; layout.objects().total()];
        for (place, row) in parts.iter().flat_map(|(rows, _)| rows).enumerate() {
            places[*row as usize] = place as i64;
        }
        TargetAttention::Apart { parts, places }
    }

    /// `rows + attention(norm(rows))`.
    ///
    /// # Shapes
    /// `(rows, dim)` → `(rows, dim)`
    pub(crate) fn forward(
        &self,
        layer: &SelfAttention,
        norm: &LayerNorm,
        rows: Tensor<2>,
    ) -> Tensor<2> {
        match self {
            TargetAttention::Uniform(groups) => layer.forward_uniform(rows, norm, groups),
            TargetAttention::Softmax(groups, causal) => layer.forward(rows, norm, groups, *causal),
            TargetAttention::Apart { parts, places } => {
                let device = rows.device();
                let select = |from: &Tensor<2>, which: &[i64]| {
                    from.clone().select(0, indices(which.to_vec(), &device))
                };
                let parts = parts
                    .iter()
                    .map(|(which, part)| part.forward(layer, norm, select(&rows, which)));
                select(&Tensor::cat(parts.collect(), 0), places)
            }
        }
    }
}

/// The rows of groups.
fn rows(groups: &[&Group]) -> Vec<i64> {
    let rows = groups.iter().flat_map(|group| group.rows.clone());
    rows.map(|row| row as i64).collect()
}

/// Each group by itself.
fn by_group(groups: &[&Group]) -> Segments {
    Segments::new(groups.iter().map(|group| group.rows.len()).collect())
}

/// All groups of an object together.
fn by_object(groups: &[&Group]) -> Segments {
    let objects = groups.chunk_by(|a, b| a.object == b.object);
    let rows = |groups: &[&Group]| groups.iter().map(|group| group.rows.len()).sum();
    Segments::new(objects.map(rows).collect())
}
