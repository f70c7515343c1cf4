//! Feed-forward layers, plain or gated (Shazeer 2020).

use aion_kernel::layer::Linear;
use aion_kernel::{Init, Weights};
use burn::module::Module;
use burn::tensor::{Tensor, activation};

use crate::config::{Activation, ModelConfig};

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
            activation: config.act_layer,
        }
    }

    /// # Shapes
    /// `(rows, dim)` → `(rows, dim)`
    pub(crate) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let hidden = self.fc1.forward(input.clone());
        let hidden = match self.activation {
            Activation::SiLU => activation::silu(hidden),
            Activation::GELU => activation::gelu(hidden),
        };
        let hidden = match &self.fc3 {
            Some(gate) => hidden * gate.forward(input),
            None => hidden,
        };
        self.fc2.forward(hidden)
    }
}
