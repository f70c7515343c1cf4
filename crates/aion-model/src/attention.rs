//! Attention layers: within rows, and from rows to the encoder's.

use aion_kernel::layer::{LayerNorm, Linear};
use aion_kernel::{Init, Segments, Weights, attend, means, spread};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::block::NORM_EPSILON;
use crate::config::ModelConfig;

/// Normalisation of queries and keys, head by head.
#[derive(Module, Debug)]
struct HeadNorms {
    q_norm: LayerNorm,
    k_norm: LayerNorm,
}

impl HeadNorms {
    fn new(config: &ModelConfig, weights: &Weights) -> Option<Self> {
        let norm = |name: &str| {
            let dim = config.head_dim();
            LayerNorm::new(&weights.at(name), dim, NORM_EPSILON, config.norm_bias)
        };
        config.qk_norm.then(|| HeadNorms {
            q_norm: norm("q_norm"),
            k_norm: norm("k_norm"),
        })
    }

    /// Normalises queries and keys, `(rows, dim)` each, head by head.
    fn normalise(&self, queries: Tensor<2>, keys: Tensor<2>) -> [Tensor<2>; 2] {
        let by_head = |norm: &LayerNorm, values: Tensor<2>| {
            let [rows, dim] = values.dims();
            let head_dim = norm.dim();
            let values = values.reshape([rows, dim / head_dim, head_dim]);
            norm.forward(values).reshape([rows, dim])
        };
        [by_head(&self.q_norm, queries), by_head(&self.k_norm, keys)]
    }
}

/// Part `part` of `(rows, parts · dim)`: `(rows, dim)`.
fn columns(values: &Tensor<2>, part: usize, dim: usize) -> Tensor<2> {
    let rows = values.dims()[0];
    values
        .clone()
        .slice([0..rows, part * dim..(part + 1) * dim])
}

fn projection(config: &ModelConfig, weights: &Weights) -> Linear {
    let dim = config.dim;
    let init = Init::xavier(dim, dim);
    Linear::new(&weights.at("proj"), dim, dim, config.proj_bias, init)
}

/// Rows attend to rows of their own group.
#[derive(Module, Debug)]
pub(crate) struct SelfAttention {
    qkv: Linear,
    proj: Linear,
    norms: Option<HeadNorms>,
    dim: usize,
    heads: usize,
}

impl SelfAttention {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        let dim = config.dim;
        // Queries, keys and values are drawn as three matrices.
        let init = Init::xavier(dim, dim);
        SelfAttention {
            qkv: Linear::new(&weights.at("qkv"), dim, 3 * dim, config.qkv_bias, init),
            proj: projection(config, weights),
            norms: HeadNorms::new(config, weights),
            dim,
            heads: config.num_heads,
        }
    }

    /// `rows + attention(norm(rows))`; with `causal`, rows see none that come later in their group.
    ///
    /// # Shapes
    /// `(rows, dim)` → `(rows, dim)`
    pub(crate) fn forward(
        &self,
        rows: Tensor<2>,
        norm: &LayerNorm,
        groups: &Segments,
        causal: bool,
    ) -> Tensor<2> {
        let qkv = self.qkv.forward_normed(norm, rows.clone());
        let (segments, heads) = ((groups, groups), self.heads);
        let values = match &self.norms {
            None => attend([qkv], segments, heads, causal),
            Some(norms) => {
                let part = |part| columns(&qkv, part, self.dim);
                let [queries, keys] = norms.normalise(part(0), part(1));
                attend([queries, keys, part(2)], segments, heads, causal)
            }
        };
        self.proj.forward_onto(values, rows)
    }

    /// The same with equal weight on every row of the group. Values and projection are linear,
    /// so they are applied to the group's mean row instead of to each row.
    ///
    /// # Shapes
    /// `(rows, dim)` → `(rows, dim)`
    pub(crate) fn forward_uniform(
        &self,
        rows: Tensor<2>,
        norm: &LayerNorm,
        groups: &Segments,
    ) -> Tensor<2> {
        let mean = means(norm.forward(rows.clone()), groups);
        let values = self.qkv.forward_part(mean, 2 * self.dim..3 * self.dim);
        rows + spread(self.proj.forward(values), groups)
    }
}

/// Rows attend to the encoder's rows of their object.
#[derive(Module, Debug)]
pub(crate) struct CrossAttention {
    q: Linear,
    kv: Linear,
    proj: Linear,
    norms: Option<HeadNorms>,
    dim: usize,
    heads: usize,
}

impl CrossAttention {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        let dim = config.dim;
        let linear = |name: &str, outputs| {
            let init = Init::xavier(dim, dim);
            Linear::new(&weights.at(name), dim, outputs, config.qkv_bias, init)
        };
        CrossAttention {
            q: linear("q", dim),
            kv: linear("kv", 2 * dim),
            proj: projection(config, weights),
            norms: HeadNorms::new(config, weights),
            dim,
            heads: config.num_heads,
        }
    }

    /// `rows + attention(norm(rows), norm(context))`, a norm for either.
    ///
    /// # Shapes
    /// `(rows, dim)`, context `(context rows, dim)` → `(rows, dim)`
    pub(crate) fn forward(
        &self,
        rows: Tensor<2>,
        context: Tensor<2>,
        norms: [&LayerNorm; 2],
        objects: (&Segments, &Segments),
    ) -> Tensor<2> {
        let queries = self.q.forward_normed(norms[0], rows.clone());
        let kv = self.kv.forward_normed(norms[1], context);
        let values = match &self.norms {
            None => attend([queries, kv], objects, self.heads, false),
            Some(norms) => {
                let [queries, keys] = norms.normalise(queries, columns(&kv, 0, self.dim));
                let values = columns(&kv, 1, self.dim);
                attend([queries, keys, values], objects, self.heads, false)
            }
        };
        self.proj.forward_onto(values, rows)
    }
}
