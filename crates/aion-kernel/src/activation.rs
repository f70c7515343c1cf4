//! Element-wise functions that follow a product or a convolution.

use std::borrow::Cow;

use burn::tensor::{Tensor, activation};
use pulp::Simd;
use pulp::bytemuck::cast_slice_mut;

use crate::gelu::{gelu, gelu_lanes, gelu_slope};
use crate::gradient::{Gradient, Input, Inputs};
use crate::memory::{HostTensor, in_blocks};
use crate::simd::{elu, elu_slope, silu, silu_slope, vectorized};

/// Values that one task works on.
const BLOCK: usize = 1 << 14;

#[derive(Debug)]
struct ActivationGradient {
    input: HostTensor,
    activation: Activation,
}

impl Gradient<1> for ActivationGradient {
    fn backward(&self, output: &[f32], _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        let input = self.input.values();
        let ([gradient], _) = in_blocks(input.len(), BLOCK, |start, [gradient]| {
            let block = start..start + gradient.len();
            let (input, output) = (&input[block.clone()], &output[block]);
            vectorized(|| {
                gradient.copy_from_slice(input);
                self.activation.slopes(gradient);
                gradient.iter_mut().zip(output).for_each(|(g, y)| *g *= y);
            });
        });
        [Some(gradient)]
    }
}

/// What is done to a result before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    Linear,
    /// Exponential linear unit.
    Elu,
    /// `x Φ(x)`, Φ being the normal distribution's.
    Gelu,
    /// `x / (1 + exp(-x))`
    Silu,
}

impl Activation {
    /// Of every value. For its gradient only the input is kept.
    pub fn of<const D: usize>(self, input: Tensor<D>) -> Tensor<D> {
        if self == Activation::Linear {
            return input;
        }
        let shape = input.dims();
        let Some(inputs) = Inputs::of([Input::of(&input)]) else {
            return self.composed(input);
        };
        let values = inputs.hosts()[0].values();
        let ([output], _) = in_blocks(values.len(), BLOCK, |start, [output]| {
            let values = &values[start..][..output.len()];
            vectorized(|| {
                output.copy_from_slice(values);
                self.apply_all(output);
            });
        });
        inputs.result(output, shape, |[input], _| ActivationGradient {
            input,
            activation: self,
        })
    }

    /// The same in burn's operations, on every device and with gradients.
    pub(crate) fn composed<const D: usize>(self, input: Tensor<D>) -> Tensor<D> {
        match self {
            Activation::Linear => input,
            // The exponential of large values never enters, so that their gradient is not infinity
            // times zero.
            Activation::Elu => {
                let negative = input.clone().clamp_max(0.0).exp() - 1.0;
                activation::relu(input) + negative
            }
            Activation::Gelu => activation::gelu(input),
            Activation::Silu => activation::silu(input),
        }
    }

    #[cfg(test)]
    pub(crate) fn apply(self, x: f32) -> f32 {
        match self {
            Activation::Linear => x,
            Activation::Elu => elu(x),
            Activation::Gelu => gelu(x),
            Activation::Silu => silu(x),
        }
    }

    /// Of every value of `values`, one loop a kind.
    #[inline(always)]
    pub(crate) fn apply_all(self, values: &mut [f32]) {
        match self {
            Activation::Linear => {}
            Activation::Elu => values.iter_mut().for_each(|x| *x = elu(*x)),
            Activation::Gelu => values.iter_mut().for_each(|x| *x = gelu(*x)),
            Activation::Silu => values.iter_mut().for_each(|x| *x = silu(*x)),
        }
    }

    /// The derivative at every value, in its place.
    #[inline(always)]
    pub(crate) fn slopes(self, values: &mut [f32]) {
        match self {
            Activation::Linear => values.fill(1.0),
            Activation::Elu => values.iter_mut().for_each(|x| *x = elu_slope(*x)),
            Activation::Gelu => values.iter_mut().for_each(|x| *x = gelu_slope(*x)),
            Activation::Silu => values.iter_mut().for_each(|x| *x = silu_slope(*x)),
        }
    }

    /// The gradient before the activation, from the result and its gradient; for those whose slope
    /// follows from the result.
    pub(crate) fn backward<'a>(self, result: &[f32], gradient: &'a [f32]) -> Cow<'a, [f32]> {
        if self != Activation::Elu {
            return Cow::Borrowed(gradient);
        }
        let ([before], _) = in_blocks(result.len(), BLOCK, |start, [before]| {
            let (result, gradient) = (&result[start..], &gradient[start..]);
            vectorized(|| {
                for ((before, y), d) in before.iter_mut().zip(result).zip(gradient) {
                    // exp(x), x being below zero.
                    *before = d * (y.min(0.0) + 1.0);
                }
            });
        });
        Cow::Owned(before)
    }

    /// Of every lane.
    #[inline(always)]
    pub(crate) fn lanes<S: Simd>(self, simd: S, lanes: S::f32s) -> S::f32s {
        if let Activation::Gelu = self {
            return gelu_lanes(simd, lanes)[0];
        }
        let mut lanes = [lanes];
        self.apply_all(cast_slice_mut(&mut lanes));
        let [lanes] = lanes;
        lanes
    }
}
