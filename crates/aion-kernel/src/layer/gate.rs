//! Gates on channels from a softmax-weighted mean over pixels: squeeze-excite with a global context
//! (arXiv 2012.13375).

use burn::module::Module;
use burn::tensor::{Tensor, activation};

use super::Conv2d;
use crate::gate::{attended_mean, gate_and_add};
use crate::init::Init;
use crate::memory::{HostTensor, from_host};
use crate::weights::Weights;

/// Slope of the hidden activation below zero.
const LEAKY_SLOPE: f64 = 0.1;
/// The smallest hidden size.
const MIN_HIDDEN: usize = 16;

/// A gate a channel, computed from the whole image.
#[derive(Module, Debug)]
pub struct SqueezeExcite {
    to_k: Conv2d,
    squeeze: Conv2d,
    excite: Conv2d,
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
        if let (Some(host), Some(gates), Some(rest)) = (
            HostTensor::of(&values),
            HostTensor::of(&gates),
            HostTensor::of(&rest),
        ) {
            let shape = values.dims();
            let output = gate_and_add(host.values(), gates.values(), rest.values(), shape[0]);
            return from_host(output, shape);
        }
        values * gates + rest
    }

    /// `(batch, 1, 1, dim)` → the same
    fn gates(&self, context: Tensor<4>) -> Tensor<4> {
        let hidden = activation::leaky_relu(self.squeeze.forward(context), LEAKY_SLOPE);
        activation::sigmoid(self.excite.forward(hidden))
    }

    /// The weighted mean over pixels, `(batch, 1, 1, dim)`.
    fn context(&self, values: &Tensor<4>) -> Tensor<4> {
        let [batch, height, width, dim] = values.dims();
        let (key, offset) = self.to_k.parameters();
        if let (Some(host), Some(key), Some(offset)) = (
            HostTensor::of(values),
            HostTensor::of(&key),
            HostTensor::of(&offset),
        ) {
            let offset = offset.values().first().copied().unwrap_or_default();
            let context = attended_mean(host.values(), key.values(), offset, batch);
            return from_host(context, [batch, 1, 1, dim]);
        }
        let pixels = height * width;
        let keys = self.to_k.forward(values.clone());
        let weights = activation::softmax(keys.reshape([batch, 1, pixels]), 2);
        let flat = values.clone().reshape([batch, pixels, dim]);
        weights.matmul(flat).reshape([batch, 1, 1, dim])
    }
}
