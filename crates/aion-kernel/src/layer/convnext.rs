//! The ConvNeXt V2 block in one dimension (arXiv 2301.00808), channels last.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation, module};

use crate::init::Init;
use crate::memory::{Derived, HostTensor, from_host};
use crate::product::{Finish, Matrix, Panels, Product};
use crate::sequence::{MixAndNormalize, add_bias_and, gelu_and_respond};
use crate::weights::Weights;

/// Width of the depthwise convolution.
const KERNEL: usize = 7;
/// Hidden channels a channel.
const EXPANSION: usize = 4;
/// Channels from which on the block has a kernel of its own. A norm over fewer amplifies rounding so
/// much that burn's exact error function is worth its time, of which such a block takes little.
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
            depthwise: at("dwconv").param("weight", [dim, 1, KERNEL], init.clone()),
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

    /// The block made of burn's operations, for training and for other devices.
    fn composed(&self, input: Tensor<3>) -> Tensor<3> {
        let [batch, length, dim] = input.dims();
        let margin = KERNEL / 2;
        let padded = input.clone().pad([(margin, margin), (0, 0)], 0.0);
        let weight = self.depthwise.val();
        let start = self.depthwise_bias.val().reshape([1, 1, dim]);
        let mixed = (0..KERNEL).fold(start, |sum, tap| {
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

    fn on_host(&self, input: &Tensor<3>) -> Option<Tensor<3>> {
        let [batch, length, dim] = input.dims();
        if dim < LEAST_DIM {
            return None;
        }
        let (rows, hidden_dim) = (batch * length, EXPANSION * dim);
        let values = HostTensor::of(input)?;
        let depthwise = HostTensor::of(&self.depthwise.val())?;
        let vector = |param: &Param<Tensor<1>>| HostTensor::of(&param.val());
        let bias = vector(&self.depthwise_bias)?;
        let norm = [vector(&self.norm_weight)?, vector(&self.norm_bias)?];
        let taps = self
            .taps
            .get(&depthwise, |weight| transpose(weight, KERNEL));
        let mix = MixAndNormalize {
            kernel: &taps,
            bias: bias.values(),
            norm: [norm[0].values(), norm[1].values()],
            epsilon: EPSILON as f32,
        };
        let mixed = mix.run(values.values(), length);

        let product = |a: &[f32], weight: &HostTensor, depth: usize, columns: usize| {
            let right = Panels::new(weight.values(), [depth, columns], [1, depth]);
            let (left, finish) = (Matrix::new(a, depth), Finish::default());
            Product {
                left,
                rows,
                right: &right,
                finish,
            }
            .matrix()
        };
        let expand = HostTensor::of(&self.expand.val())?;
        let mut hidden = product(&mixed, &expand, dim, hidden_dim);
        drop(mixed);
        let (gamma, beta) = (
            HostTensor::of(&self.gamma.val())?,
            HostTensor::of(&self.beta.val())?,
        );
        gelu_and_respond(
            &mut hidden,
            length,
            vector(&self.expand_bias)?.values(),
            [gamma.values(), beta.values()],
            EPSILON as f32,
        );
        let contract = HostTensor::of(&self.contract.val())?;
        let mut output = product(&hidden, &contract, hidden_dim, dim);
        add_bias_and(
            &mut output,
            vector(&self.contract_bias)?.values(),
            values.values(),
        );
        Some(from_host(output, [batch, length, dim]))
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
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    #[test]
    fn host_and_composed_blocks_agree() {
        for (batch, length, dim) in [(1, 5, 16), (3, 130, 24), (2, 64, 17)] {
            let device = Device::flex();
            let mut block = ConvNextBlock::new(&Weights::seeded(1, &device), dim);
            // The response norm starts at zero and would hide its own mistakes.
            let draw = |shape: [usize; 3]| Tensor::random(shape, Distribution::Default, &device);
            block.gamma = Param::from_tensor(draw([1, 1, EXPANSION * dim]));
            block.beta = Param::from_tensor(draw([1, 1, EXPANSION * dim]));
            let input: Tensor<3> = draw([batch, length, dim]) * 4.0 - 2.0;
            let composed = block.composed(input.clone()).into_data();
            let host = block.on_host(&input).expect("on the CPU").into_data();
            for (a, b) in host.iter::<f32>().zip(composed.iter::<f32>()) {
                assert!((a - b).abs() < 1e-4, "{batch} {length} {dim}: {a} {b}");
            }
        }
    }
}
