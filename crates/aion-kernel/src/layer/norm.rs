//! Normalisations.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, module};

use crate::gradient::{Gradient, Input, Inputs};
use crate::init::Init;
use crate::memory::HostTensor;
use crate::product::Normalized;
use crate::rows;
use crate::weights::Weights;

/// Layer normalisation over the last axis.
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    /// Reads `weight` and `bias`. Checkpoints always hold a bias; `trained_bias` false keeps it as
    /// stored (zeros), as the published models do.
    pub fn new(weights: &Weights, dim: usize, epsilon: f64, trained_bias: bool) -> Self {
        let zeros = Init::Constant(0.0);
        LayerNorm {
            weight: weights.param("weight", [dim], Init::Constant(1.0)),
            bias: if trained_bias {
                weights.param("bias", [dim], zeros)
            } else {
                weights.buffer("bias", [dim], zeros)
            },
            epsilon,
        }
    }

    /// Size of the axis that is normalised.
    pub fn dim(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Added to the variance.
    pub(super) fn epsilon(&self) -> f32 {
        self.epsilon as f32
    }

    /// Scale and shift.
    pub(super) fn parameters(&self) -> [Tensor<1>; 2] {
        [self.weight.val(), self.bias.val()]
    }

    /// # Shapes
    /// `(…, dim)` → `(…, dim)`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let [scale, shift] = self.parameters();
        let inputs = [Input::of(&input), Input::of(&scale), Input::of(&shift)];
        let Some(inputs) = Inputs::of(inputs) else {
            return module::layer_norm(input, scale, Some(shift), self.epsilon);
        };
        let epsilon = self.epsilon();
        let [values, scale, shift] = inputs.hosts();
        let affine = [scale.values(), shift.values()];
        let output = rows::normalize(values.values(), affine, epsilon);
        inputs.result(output, input.dims(), |[values, scale, _], _| NormGradient {
            values,
            scale,
            epsilon,
        })
    }

    /// Other parameters, as they are.
    #[cfg(test)]
    pub(super) fn set(&mut self, weight: Tensor<1>, bias: Tensor<1>) {
        self.weight = Param::initialized(burn::module::ParamId::new(), weight);
        self.bias = Param::initialized(burn::module::ParamId::new(), bias);
    }

    /// What `then` makes of the normalised rows as the left factor of a product; `None` where rows or
    /// parameters are not in the CPU's memory or want a gradient.
    pub(super) fn on_rows<R>(
        &self,
        input: &Tensor<2>,
        then: impl FnOnce(Normalized<'_>) -> Option<R>,
    ) -> Option<R> {
        let input = HostTensor::of(input)?;
        let [scale, shift] = self.parameters().map(|values| HostTensor::of(&values));
        let (scale, shift) = (scale?, shift?);
        let affine = [scale.values(), shift.values()];
        then(Normalized::new(input.values(), affine, self.epsilon()))
    }
}

#[derive(Debug)]
struct NormGradient {
    values: HostTensor,
    scale: HostTensor,
    epsilon: f32,
}

impl Gradient<3> for NormGradient {
    fn backward(&self, output: &[f32], _: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let (values, scale) = (self.values.values(), self.scale.values());
        rows::normalize_backward(values, scale, self.epsilon, output).map(Some)
    }
}

/// Batch normalisation of the last axis with fixed statistics, as at inference.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    running_mean: Param<Tensor<1>>,
    running_var: Param<Tensor<1>>,
}

/// The reference's epsilon, which checkpoints do not store.
const BATCH_NORM_EPSILON: f64 = 1e-5;

impl BatchNorm2d {
    /// Reads the affine parameters and the running statistics.
    pub fn new(weights: &Weights, channels: usize) -> Self {
        weights.constant(
            "num_batches_tracked",
            crate::tensor_file::StoredTensor::int64(&[], &[0]),
        );
        BatchNorm2d {
            weight: weights.param("weight", [channels], Init::Constant(1.0)),
            bias: weights.param("bias", [channels], Init::Constant(0.0)),
            running_mean: weights.buffer("running_mean", [channels], Init::Constant(0.0)),
            running_var: weights.buffer("running_var", [channels], Init::Constant(1.0)),
        }
    }

    /// # Shapes
    /// `(…, channels)` → the same
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let scale = self.weight.val() / (self.running_var.val() + BATCH_NORM_EPSILON).sqrt();
        let shift = self.bias.val() - self.running_mean.val() * scale.clone();
        input * scale.unsqueeze() + shift.unsqueeze()
    }
}
