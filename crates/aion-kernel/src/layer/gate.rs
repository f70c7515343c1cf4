//! Gates on channels from a softmax-weighted mean over pixels: squeeze-excite with a global context
//! (arXiv 2012.13375).

use burn::module::Module;
use burn::tensor::{Tensor, activation};

use super::Conv2d;
use crate::gate::{attended_mean, attended_mean_backward, gate_and_add, gate_backward};
use crate::gradient::{Gradient, Input, Inputs};
use crate::init::Init;
use crate::memory::HostTensor;
use crate::weights::Weights;

/// Slope of the hidden activation below zero.
const LEAKY_SLOPE: f64 = 0.1;
/// The smallest hidden size.
const MIN_HIDDEN: usize = 16;

/// A gate a channel, computed from the whole image.
#[derive(Module, Debug)]
pub struct SqueezeExcite {
    pub(super) to_k: Conv2d,
    squeeze: Conv2d,
    pub(super) excite: Conv2d,
}

impl SqueezeExcite {
    /// Reads the three 1×1 convolutions.
    pub fn new(weights: &Weights, dim: usize) -> Self {
        let hidden = MIN_HIDDEN.max(dim / 2);
        // Closed at first, so that a new unit is the identity.
        let closed = [Init::Constant(0.0), Init::Constant(-10.0)];
        let net = weights.at("net");
        SqueezeExcite {
            to_k: Conv2d::new(&weights.at("to_k"), [dim, 1], 1),
            squeeze: Conv2d::new(&net.at(0), [dim, hidden], 1),
            excite: Conv2d::initialized(&net.at(2), [hidden, dim], 1, [1, 0], closed),
        }
    }

    /// `values · gates(values) + rest`
    ///
    /// # Shapes
    /// `(batch, h, w, dim)` twice → the same
    pub fn gate_and_add(&self, values: Tensor<4>, rest: Tensor<4>) -> Tensor<4> {
        let gates = self.gates(self.context(&values));
        let shape = values.dims();
        let inputs = [Input::of(&values), Input::of(&gates), Input::of(&rest)];
        let Some(inputs) = Inputs::of(inputs) else {
            return values * gates + rest;
        };
        let [values, gates, rest] = inputs.hosts();
        let output = gate_and_add(values.values(), gates.values(), rest.values(), shape[0]);
        inputs.result(output, shape, |[values, gates, _], _| Gated {
            values,
            gates,
        })
    }

    /// `(batch, 1, 1, dim)` → the same
    pub(super) fn gates(&self, context: Tensor<4>) -> Tensor<4> {
        let hidden = activation::leaky_relu(self.squeeze.forward(context), LEAKY_SLOPE);
        activation::sigmoid(self.excite.forward(hidden))
    }

    /// The weighted mean over pixels, `(batch, 1, 1, dim)`.
    pub(super) fn context(&self, values: &Tensor<4>) -> Tensor<4> {
        let [batch, height, width, dim] = values.dims();
        let (key, offset) = self.to_k.parameters();
        if let Some(inputs) = Inputs::of([Input::of(values), Input::of(&key), Input::of(&offset)]) {
            let [values, key, _] = inputs.hosts();
            let context = attended_mean(values.values(), key.values(), batch);
            let shape = [batch, 1, 1, dim];
            return inputs.result(context, shape, |[values, key, _], _| Attended {
                values,
                key,
            });
        }
        let pixels = height * width;
        let keys = self.to_k.forward(values.clone());
        let weights = activation::softmax(keys.reshape([batch, 1, pixels]), 2);
        let flat = values.clone().reshape([batch, pixels, dim]);
        weights.matmul(flat).reshape([batch, 1, 1, dim])
    }
}

#[derive(Debug)]
struct Gated {
    values: HostTensor,
    gates: HostTensor,
}

impl Gradient<3> for Gated {
    fn backward(&self, output: &[f32], [_, _, rest]: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let batch = self.gates.dims::<4>()[0];
        let (values, gates) = (self.values.values(), self.gates.values());
        let [values, gates] = gate_backward(values, gates, output, batch);
        [Some(values), Some(gates), rest.then(|| output.to_vec())]
    }
}

#[derive(Debug)]
struct Attended {
    values: HostTensor,
    key: HostTensor,
}

impl Gradient<3> for Attended {
    fn backward(&self, output: &[f32], _: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let batch = self.values.dims::<4>()[0];
        let (values, key) = (self.values.values(), self.key.values());
        let [values, key] = attended_mean_backward(values, key, output, batch);
        // The weights do not depend on the offset, which all scores share.
        [Some(values), Some(key), Some(vec![0.0])]
    }
}
