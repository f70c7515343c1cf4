//! The gated branch of a residual unit on the CPU, `rest + v · gates(v)` for `v = elu(1×1 hidden)`, as one
//! operation. For the gradient `v` is made again: kept, it would be a third of what training keeps of a unit.

use burn::tensor::Tensor;

use super::linear::{input_gradient, times_weight, weight_gradient};
use crate::activation::Activation;
use crate::gate::{attended_mean, branch_backward, gate_and_add, gates_gradient};
use crate::gradient::{Gradient, Inputs};
use crate::memory::HostTensor;
use crate::product::{Finish, Matrix};
use crate::rows::column_sums;
use crate::simd::logistic;

/// Slope of the hidden activation below zero.
pub(super) const LEAKY_SLOPE: f32 = 0.1;

/// # Shapes
/// Inputs are hidden values `(batch, h, w, inputs)` and rest `(batch, h, w, channels)`, then weight and bias of the
/// 1×1 convolutions: of hidden values `(channels, inputs)`, of scores `(1, channels)`, of units
/// `(units, channels)`, of gates `(channels, units)` → as rest
pub(super) fn gated_branch(inputs: Inputs<10>, shape: [usize; 4]) -> Tensor<4> {
    let [
        hidden,
        rest,
        weight,
        bias,
        key,
        _,
        squeeze,
        of_squeeze,
        excite,
        of_excite,
    ] = inputs.hosts().clone();
    let batch = shape[0];
    let pointwise = Map { weight, bias };
    let values = pointwise.of(hidden.values(), Activation::Elu);
    let context = attended_mean(&values, key.values(), batch);
    let squeeze = Map {
        weight: squeeze,
        bias: of_squeeze,
    };
    let mut units = squeeze.of(&context, Activation::Linear);
    leaky_slopes(&units.clone(), &mut units);
    let excite = Map {
        weight: excite,
        bias: of_excite,
    };
    let mut gates = excite.of(&units, Activation::Linear);
    gates.iter_mut().for_each(|gate| *gate = logistic(*gate));
    let output = gate_and_add(&values, &gates, rest.values(), batch);
    drop(values);
    inputs.result(output, shape, |_, _| BranchGradient {
        hidden,
        pointwise,
        key,
        squeeze,
        excite,
        context,
        units,
        gates,
    })
}

/// Multiplies by the slopes of leaky units whose inputs or results are `units`.
fn leaky_slopes(units: &[f32], values: &mut [f32]) {
    for (value, unit) in values.iter_mut().zip(units) {
        *value *= if *unit < 0.0 { LEAKY_SLOPE } else { 1.0 };
    }
}

/// A linear map of rows.
#[derive(Debug)]
struct Map {
    /// `(outputs, inputs)`, perhaps with axes of 1 after these.
    weight: HostTensor,
    bias: HostTensor,
}

impl Map {
    fn of(&self, rows: &[f32], activation: Activation) -> Vec<f32> {
        let [_, inputs] = self.weight.dims();
        let finish = Finish {
            bias: Some(self.bias.values()),
            activation,
            ..Finish::default()
        };
        let left = Matrix::new(rows, inputs);
        times_weight(left, rows.len() / inputs, &self.weight, finish)
    }

    /// Gradients of weight and bias from that of the result.
    fn backward(&self, output: &[f32], rows: &[f32]) -> [Option<Vec<f32>>; 2] {
        let shape @ [outputs, _] = self.weight.dims();
        let weight = weight_gradient(output, rows, shape);
        [weight, column_sums(output, outputs)].map(Some)
    }
}

#[derive(Debug)]
struct BranchGradient {
    hidden: HostTensor,
    pointwise: Map,
    key: HostTensor,
    squeeze: Map,
    excite: Map,
    /// `(batch, channels)`
    context: Vec<f32>,
    /// `(batch, units)`, after their activation.
    units: Vec<f32>,
    /// `(batch, channels)`
    gates: Vec<f32>,
}

impl Gradient<10> for BranchGradient {
    fn backward(&self, output: &[f32], wanted: [bool; 10]) -> [Option<Vec<f32>>; 10] {
        let hidden = self.hidden.values();
        let mut values = self.pointwise.of(hidden, Activation::Elu);
        let key = self.key.values();
        let shape = [self.gates.len() / key.len(), key.len()];
        let mut of_gates = gates_gradient(&values, output, shape);
        for (gradient, gate) in of_gates.iter_mut().zip(&self.gates) {
            *gradient *= gate * (1.0 - gate);
        }
        let mut of_units = input_gradient(&of_gates, &self.excite.weight);
        leaky_slopes(&self.units, &mut of_units);
        let of_context = input_gradient(&of_units, &self.squeeze.weight);
        let of_key = branch_backward(&mut values, key, &self.gates, [output, &of_context]);
        let [squeeze, of_squeeze] = self.squeeze.backward(&of_units, &self.context);
        let [excite, of_excite] = self.excite.backward(&of_gates, &self.units);
        let [weight, bias] = match wanted[2] || wanted[3] {
            true => self.pointwise.backward(&values, hidden),
            false => [None, None],
        };
        [
            wanted[0].then(|| input_gradient(&values, &self.pointwise.weight)),
            None,
            weight,
            bias,
            Some(of_key),
            // Softmax weights do not depend on the offset, which all scores share.
            Some(vec![0.0]),
            squeeze,
            of_squeeze,
            excite,
            of_excite,
        ]
    }

    fn passed_on(&self) -> Option<usize> {
        Some(1)
    }
}
