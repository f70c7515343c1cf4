//! Gates on channels from a softmax-weighted mean over pixels: squeeze-excite with a global context
//! (arXiv 2012.13375).

use burn::module::Module;
use burn::tensor::{Tensor, activation};

use super::Conv2d;
use super::branch::{LEAKY_SLOPE, gated_branch};
use crate::activation::Activation;
use crate::gradient::{Input, Inputs};
use crate::init::Init;
use crate::weights::Weights;

/// The smallest hidden size.
const MIN_HIDDEN: usize = 16;

/// A gate a channel, computed from the whole image.
#[derive(Module, Debug)]
pub struct SqueezeExcite {
    pub(super) to_k: Conv2d,
    pub(super) squeeze: Conv2d,
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

    /// `rest + v · gates(v)` for `v = elu(pointwise(hidden))`, `pointwise` being a 1×1 convolution.
    ///
    /// # Shapes
    /// hidden `(batch, h, w, inputs)`, rest `(batch, h, w, dim)` → `(batch, h, w, dim)`
    pub fn gate_and_add(
        &self,
        pointwise: &Conv2d,
        hidden: Tensor<4>,
        rest: Tensor<4>,
    ) -> Tensor<4> {
        let maps = [pointwise, &self.to_k, &self.squeeze, &self.excite];
        let [values, scores, squeeze, excite] = maps.map(Conv2d::parameters);
        let inputs = Inputs::of([
            Input::of(&hidden),
            Input::of(&rest),
            Input::of(&values.0),
            Input::of(&values.1),
            Input::of(&scores.0),
            Input::of(&scores.1),
            Input::of(&squeeze.0),
            Input::of(&squeeze.1),
            Input::of(&excite.0),
            Input::of(&excite.1),
        ]);
        match inputs {
            Some(inputs) => gated_branch(inputs, rest.dims()),
            None => self.composed(pointwise.activated(hidden, Activation::Elu), rest),
        }
    }

    /// `rest + values · gates(values)` in burn's operations, on every device and with gradients.
    pub(super) fn composed(&self, values: Tensor<4>, rest: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, dim] = values.dims();
        let pixels = height * width;
        let keys = self.to_k.forward(values.clone());
        let weights = activation::softmax(keys.reshape([batch, 1, pixels]), 2);
        let flat = values.clone().reshape([batch, pixels, dim]);
        let context = weights.matmul(flat).reshape([batch, 1, 1, dim]);
        let hidden = self.squeeze.forward(context);
        let hidden = activation::leaky_relu(hidden, f64::from(LEAKY_SLOPE));
        values * activation::sigmoid(self.excite.forward(hidden)) + rest
    }
}
