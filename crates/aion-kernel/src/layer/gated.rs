//! Gated feed-forward layers on a residual stream (Shazeer 2020): `x + W₂ (act(W₁ n) · W₃ n)`, n being the
//! normalised x.
//!
//! While gradients are wanted, only the two hidden units before their product are kept; normalised rows and
//! gated units are made again in the backward pass.

use burn::tensor::Tensor;

use super::linear::{gated_product, input_gradient, times_weight, weight_gradient};
use super::normed::NormedRows;
use super::{LayerNorm, Linear};
use crate::activation::Activation;
use crate::adamw::add;
use crate::gradient::{Gradient, Input, Inputs};
use crate::memory::HostTensor;
use crate::product::{Finish, Matrix, Right, add_product};
use crate::rows::{gated, gated_backward};

/// `rows + down(act(first(norm(rows))) · second(norm(rows)))`
///
/// # Shapes
/// `(rows, dim)` → `(rows, dim)`
pub fn gated_mlp(
    norm: &LayerNorm,
    rows: Tensor<2>,
    maps @ [first, second, down]: [&Linear; 3],
    activation: Activation,
) -> Tensor<2> {
    if let Some(output) = trained(norm, &rows, maps, activation) {
        return output;
    }
    let hidden = gated_product(norm, rows.clone(), [first, second], activation);
    down.forward_onto(hidden, rows)
}

/// The same where a gradient is wanted, in one operation; `None` where none is, for maps with a bias, and
/// where rows or parameters are not in the CPU's memory.
fn trained(
    norm: &LayerNorm,
    rows: &Tensor<2>,
    maps: [&Linear; 3],
    activation: Activation,
) -> Option<Tensor<2>> {
    if !rows.is_autodiff() || maps.iter().any(|map| map.bias().is_some()) {
        return None;
    }
    let [scale, shift] = norm.parameters();
    let weights = maps.map(Linear::weight);
    let inputs = Inputs::of([
        Input::of(rows),
        Input::of(&scale),
        Input::of(&shift),
        Input::of(&weights[0]),
        Input::of(&weights[1]),
        Input::of(&weights[2]),
    ])?;
    let shape @ [count, _] = rows.dims();
    let [rows, scale, shift, first, second, down] = inputs.hosts().clone();
    let normed = NormedRows::new(rows, [scale, shift], norm);
    let units = [&first, &second]
        .map(|weight| times_weight(normed.left(), count, weight, Finish::default()));
    let [dim, hidden] = down.dims();
    let gates = gated(&units[0], &units[1], activation);
    let finish = Finish {
        rest: Some((normed.plain(), dim)),
        ..Finish::default()
    };
    let output = times_weight(Matrix::new(&gates, hidden), count, &down, finish);
    Some(inputs.result(output, shape, |_, _| GatedGradient {
        normed,
        weights: [first, second, down],
        units,
        activation,
    }))
}

#[derive(Debug)]
struct GatedGradient {
    normed: NormedRows,
    /// `(hidden, dim)` twice, `(dim, hidden)`
    weights: [HostTensor; 3],
    /// `(rows, hidden)` each, before activation and product.
    units: [Vec<f32>; 2],
    activation: Activation,
}

impl Gradient<6> for GatedGradient {
    fn backward(&self, output: &[f32], wanted: [bool; 6]) -> [Option<Vec<f32>>; 6] {
        let ([first, second, down], [x, y]) = (&self.weights, &self.units);
        let of_down =
            wanted[5].then(|| weight_gradient(output, &gated(x, y, self.activation), down.dims()));
        let [dx, dy] = gated_backward(x, y, &input_gradient(output, down), self.activation);
        let mut of_normed = input_gradient(&dx, first);
        add_input_gradient(&dy, second, &mut of_normed);
        let [mut rows, scale, shift] = self.normed.backward(&of_normed);
        add(&mut rows, output);
        let normed = (wanted[3] || wanted[4]).then(|| self.normed.values());
        let of_weight = |gradient: &[f32], weight: &HostTensor, wanted: bool| {
            let normed = normed.as_ref().filter(|_| wanted)?;
            Some(weight_gradient(gradient, normed, weight.dims()))
        };
        [
            Some(rows),
            Some(scale),
            Some(shift),
            of_weight(&dx, first, wanted[3]),
            of_weight(&dy, second, wanted[4]),
            of_down,
        ]
    }
}

/// Adds the gradient of another map's input.
fn add_input_gradient(output: &[f32], weight: &HostTensor, total: &mut [f32]) {
    let shape @ [outputs, _] = weight.dims();
    let left = Matrix::new(output, outputs);
    let right = Right::Plain(weight.values(), shape);
    add_product(left, output.len() / outputs, right, total);
}
