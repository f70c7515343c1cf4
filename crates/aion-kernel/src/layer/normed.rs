//! Linear maps of normalised rows while gradients are wanted: the normalised rows are made again in
//! the backward pass instead of being kept.

use burn::tensor::Tensor;

use super::LayerNorm;
use super::linear::{input_gradient, times_weight, weight_gradient};
use crate::gradient::{Gradient, Input, Inputs};
use crate::memory::HostTensor;
use crate::product::{Finish, Normalized};
use crate::rows::{column_sums, normalize, normalize_backward};

/// Rows, and how they are normalised.
#[derive(Debug)]
pub(super) struct NormedRows {
    /// `(rows, dim)`
    rows: HostTensor,
    /// Scale and shift, `(dim)` each.
    affine: [HostTensor; 2],
    epsilon: f32,
}

impl NormedRows {
    pub(super) fn new(rows: HostTensor, affine: [HostTensor; 2], norm: &LayerNorm) -> Self {
        NormedRows {
            rows,
            affine,
            epsilon: norm.epsilon(),
        }
    }

    fn affine(&self) -> [&[f32]; 2] {
        self.affine.each_ref().map(HostTensor::values)
    }

    /// The rows as they are.
    pub(super) fn plain(&self) -> &[f32] {
        self.rows.values()
    }

    /// As the left factor of a product, without their standing in memory.
    pub(super) fn left(&self) -> Normalized<'_> {
        Normalized::new(self.rows.values(), self.affine(), self.epsilon)
    }

    /// In memory.
    pub(super) fn values(&self) -> Vec<f32> {
        normalize(self.rows.values(), self.affine(), self.epsilon)
    }

    /// Gradients of rows, scale and shift from that of the normalised rows.
    pub(super) fn backward(&self, gradient: &[f32]) -> [Vec<f32>; 3] {
        let scale = self.affine[0].values();
        normalize_backward(self.rows.values(), scale, self.epsilon, gradient)
    }
}

/// `norm(x) Wᵀ + b`, normalised rows standing in memory at no time but in the backward pass; `None` where rows or parameters are not in the CPU's memory.
///
/// # Shapes
/// `(rows, inputs)`, weight `(outputs, inputs)` → `(rows, outputs)`
pub(super) fn normed_affine(
    norm: &LayerNorm,
    input: &Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<2>> {
    let [scale, shift] = norm.parameters();
    let inputs = Inputs::of([
        Input::of(input),
        Input::of(&scale),
        Input::of(&shift),
        Input::of(weight),
        Input::optional(bias),
    ])?;
    let [rows, scale, shift, weight, bias] = inputs.hosts().clone();
    let [outputs, _] = weight.dims();
    let normed = NormedRows::new(rows, [scale, shift], norm);
    let rows = input.dims()[0];
    let finish = Finish {
        bias: bias.optional_values(),
        ..Finish::default()
    };
    let output = times_weight(normed.left(), rows, &weight, finish);
    Some(
        inputs.result(output, [rows, outputs], |_, _| NormedGradient {
            normed,
            weight,
        }),
    )
}

#[derive(Debug)]
struct NormedGradient {
    normed: NormedRows,
    /// `(outputs, inputs)`
    weight: HostTensor,
}

impl Gradient<5> for NormedGradient {
    fn backward(
        &self,
        output: &[f32],
        [_, _, _, weight, bias]: [bool; 5],
    ) -> [Option<Vec<f32>>; 5] {
        let shape @ [outputs, _] = self.weight.dims();
        let of_weight = weight.then(|| weight_gradient(output, &self.normed.values(), shape));
        let of_normed = input_gradient(output, &self.weight);
        let [rows, scale, shift] = self.normed.backward(&of_normed).map(Some);
        let bias = bias.then(|| column_sums(output, outputs));
        [rows, scale, shift, of_weight, bias]
    }
}
