//! Feed-forward layers, plain or gated (Shazeer 2020).

use aion_kernel::layer::{LayerNorm, Linear, gated_mlp};
use aion_kernel::{Activation, Init, Weights};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::config::{self, ModelConfig};

/// `fc2(act(fc1 x))`, or `fc2(act(fc1 x) · fc3 x)` when gated.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    fc1: Linear,
    fc2: Linear,
    fc3: Option<Linear>,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        let (dim, hidden, bias) = (config.dim, config.mlp_hidden(), config.mlp_bias);
        let linear = |name: &str, inputs, outputs| {
            let init = Init::xavier(inputs, outputs);
            Linear::new(&weights.at(name), inputs, outputs, bias, init)
        };
        Mlp {
            fc1: linear("fc1", dim, hidden),
            fc2: linear("fc2", hidden, dim),
            fc3: config.gated_mlp.then(|| linear("fc3", dim, hidden)),
            activation: match config.act_layer {
                config::Activation::SiLU => Activation::Silu,
                config::Activation::GELU => Activation::Gelu,
            },
        }
    }

    /// `rows + mlp(norm(rows))`
    ///
    /// # Shapes
    /// `(rows, dim)` → `(rows, dim)`
    pub(crate) fn forward(&self, rows: Tensor<2>, norm: &LayerNorm) -> Tensor<2> {
        if let Some(fc3) = &self.fc3 {
            return gated_mlp(norm, rows, [&self.fc1, fc3, &self.fc2], self.activation);
        }
        let hidden = self.fc1.forward_normed(norm, rows.clone());
        self.fc2.forward_onto(self.activation.of(hidden), rows)
    }
}
