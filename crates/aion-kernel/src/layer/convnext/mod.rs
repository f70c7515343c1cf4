//! The ConvNeXt V2 block in one dimension (arXiv 2301.00808), channels last.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation, module};

use crate::gradient::{Input, Inputs};
use crate::init::Init;
use crate::memory::{Derived, from_host};
use crate::sequence::TAPS;
use crate::weights::Weights;
use gradient::BlockGradient;
use host::Block;

mod gradient;
mod host;
mod narrow;

/// Hidden channels a channel.
const EXPANSION: usize = 4;
/// Channels from which on the block is made of matrix products; see [`narrow`].
const LEAST_DIM: usize = 16;
/// Epsilon of both norms. Not stored in checkpoints.
const EPSILON: f64 = 1e-6;

/// Depthwise convolution, norm, two products around GELU and response normalisation, and the input
/// added.
#[derive(Module, Debug)]
pub struct ConvNextBlock {
    depthwise: Param<Tensor<3>>,
    depthwise_bias: Param<Tensor<1>>,
    norm_weight: Param<Tensor<1>>,
    norm_bias: Param<Tensor<1>>,
    expand: Param<Tensor<2>>,
    expand_bias: Param<Tensor<1>>,
    gamma: Param<Tensor<3>>,
    beta: Param<Tensor<3>>,
    contract: Param<Tensor<2>>,
    contract_bias: Param<Tensor<1>>,
    #[module(skip)]
    taps: Derived<Vec<f32>>,
}

impl ConvNextBlock {
    /// Reads the block's parameters.
    pub fn new(weights: &Weights, dim: usize) -> Self {
        let (init, zeros) = (Init::TruncatedNormal(0.02), Init::Constant(0.0));
        let hidden = EXPANSION * dim;
        let at = |name: &str| weights.at(name);
        ConvNextBlock {
            depthwise: at("dwconv").param("weight", [dim, 1, TAPS], init.clone()),
            depthwise_bias: at("dwconv").param("bias", [dim], zeros.clone()),
            norm_weight: at("norm").param("weight", [dim], Init::Constant(1.0)),
            norm_bias: at("norm").param("bias", [dim], zeros.clone()),
            expand: at("pwconv1").param("weight", [hidden, dim], init.clone()),
            expand_bias: at("pwconv1").param("bias", [hidden], zeros.clone()),
            gamma: at("grn").param("gamma", [1, 1, hidden], zeros.clone()),
            beta: at("grn").param("beta", [1, 1, hidden], zeros.clone()),
            contract: at("pwconv2").param("weight", [dim, hidden], init),
            contract_bias: at("pwconv2").param("bias", [dim], zeros),
            taps: Derived::default(),
        }
    }

    /// # Shapes
    /// `(batch, length, dim)` → the same
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        match self.on_host(&input) {
            Some(output) => output,
            None => self.composed(input),
        }
    }

    /// The block made of burn's operations, for other devices.
    fn composed(&self, input: Tensor<3>) -> Tensor<3> {
        let [batch, length, dim] = input.dims();
        let margin = TAPS / 2;
        let padded = input.clone().pad([(margin, margin), (0, 0)], 0.0);
        let weight = self.depthwise.val();
        let start = self.depthwise_bias.val().reshape([1, 1, dim]);
        let mixed = (0..TAPS).fold(start, |sum, tap| {
            let kernel = weight.clone().narrow(2, tap, 1).reshape([1, 1, dim]);
            padded.clone().narrow(1, tap, length) * kernel + sum
        });
        let (scale, shift) = (self.norm_weight.val(), self.norm_bias.val());
        let hidden = module::layer_norm(mixed, scale, Some(shift), EPSILON)
            .reshape([batch * length, dim])
            .matmul(self.expand.val().transpose())
            + self.expand_bias.val().unsqueeze();
        let hidden = activation::gelu(hidden).reshape([batch, length, EXPANSION * dim]);
        let energy = hidden.clone().powf_scalar(2.0).sum_dim(1).sqrt();
        let share = energy.clone() / (energy.mean_dim(2) + EPSILON);
        let factor = self.gamma.val() * share + 1.0;
        let hidden = hidden * factor + self.beta.val();
        let output = hidden
            .reshape([batch * length, EXPANSION * dim])
            .matmul(self.contract.val().transpose())
            + self.contract_bias.val().unsqueeze();
        input + output.reshape([batch, length, dim])
    }

    /// `None` on other devices, and where there is nothing.
    fn on_host(&self, input: &Tensor<3>) -> Option<Tensor<3>> {
        let shape @ [_, _, dim] = input.dims();
        if shape.contains(&0) {
            return None;
        }
        let inputs = Inputs::of([
            Input::of(input),
            Input::of(&self.depthwise.val()),
            Input::of(&self.depthwise_bias.val()),
            Input::of(&self.norm_weight.val()),
            Input::of(&self.norm_bias.val()),
            Input::of(&self.expand.val()),
            Input::of(&self.expand_bias.val()),
            Input::of(&self.gamma.val()),
            Input::of(&self.beta.val()),
            Input::of(&self.contract.val()),
            Input::of(&self.contract_bias.val()),
        ])?;
        let hosts = inputs.hosts();
        let [values, depthwise, ..] = hosts;
        let taps = |weight: &[f32]| transpose(weight, TAPS);
        if inputs.is_tracked() {
            // Training changes weights where they lie, at every step: nothing is kept then.
            let taps = taps(depthwise.values());
            let (output, kept) = Block::new(hosts, &taps).forward_kept(values.values());
            let gradient = |hosts, _| BlockGradient { hosts, taps, kept };
            return Some(inputs.result(output, shape, gradient));
        }
        let taps = self.taps.get(depthwise, taps);
        let block = Block::new(hosts, &taps);
        let output = match dim < LEAST_DIM {
            true => block.forward_narrow(values.values()),
            false => block.forward(values.values()),
        };
        Some(from_host(output, shape))
    }
}

/// `(rows, columns)` → `(columns, rows)`
fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len())
        .map(|at| values[at % rows * columns + at / rows])
        .collect()
}

#[cfg(test)]
mod tests;
