//! Pre-norm transformer blocks of encoder and decoder.

use aion_kernel::layer::LayerNorm;
use aion_kernel::{Segments, Weights};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::attention::{CrossAttention, SelfAttention};
use crate::config::ModelConfig;
use crate::mlp::Mlp;
use crate::target_attention::TargetAttention;

/// Epsilon of every layer normalisation of the transformer, which checkpoints do not store.
pub(crate) const NORM_EPSILON: f64 = 1e-6;

/// A layer normalisation of the model's width.
pub(crate) fn norm(config: &ModelConfig, weights: &Weights, name: &str) -> LayerNorm {
    LayerNorm::new(
        &weights.at(name),
        config.dim,
        NORM_EPSILON,
        config.norm_bias,
    )
}

/// Self-attention and a feed-forward layer.
#[derive(Module, Debug)]
pub(crate) struct EncoderBlock {
    norm1: LayerNorm,
    attn: SelfAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl EncoderBlock {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        EncoderBlock {
            norm1: norm(config, weights, "norm1"),
            attn: SelfAttention::new(config, &weights.at("attn")),
            norm2: norm(config, weights, "norm2"),
            mlp: Mlp::new(config, &weights.at("mlp")),
        }
    }

    /// # Shapes
    /// `(rows, dim)` → `(rows, dim)`
    pub(crate) fn forward(&self, rows: Tensor<2>, objects: &Segments) -> Tensor<2> {
        let rows = self.attn.forward(rows, &self.norm1, objects, false);
        self.mlp.forward(rows, &self.norm2)
    }
}

/// Self-attention, attention to the encoder's rows, and a feed-forward layer.
#[derive(Module, Debug)]
pub(crate) struct DecoderBlock {
    norm1: LayerNorm,
    self_attn: SelfAttention,
    query_norm: LayerNorm,
    context_norm: LayerNorm,
    cross_attn: CrossAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl DecoderBlock {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        DecoderBlock {
            norm1: norm(config, weights, "norm1"),
            self_attn: SelfAttention::new(config, &weights.at("self_attn")),
            query_norm: norm(config, weights, "query_norm"),
            context_norm: norm(config, weights, "context_norm"),
            cross_attn: CrossAttention::new(config, &weights.at("cross_attn")),
            norm2: norm(config, weights, "norm2"),
            mlp: Mlp::new(config, &weights.at("mlp")),
        }
    }

    /// # Shapes
    /// `(rows, dim)`, context `(context rows, dim)` → `(rows, dim)`
    pub(crate) fn forward(
        &self,
        rows: Tensor<2>,
        context: Tensor<2>,
        attention: &TargetAttention,
        objects: (&Segments, &Segments),
    ) -> Tensor<2> {
        let rows = attention.forward(&self.self_attn, &self.norm1, rows);
        let norms = [&self.query_norm, &self.context_norm];
        let rows = self.cross_attn.forward(rows, context, norms, objects);
        self.mlp.forward(rows, &self.norm2)
    }
}
