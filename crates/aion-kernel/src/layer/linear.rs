//! A linear map of the last axis.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::init::Init;
use crate::weights::Weights;

/// `y = x Wᵀ + b`, the weight stored `(outputs, inputs)`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Reads `weight` and, if asked, `bias`.
    pub fn new(weights: &Weights, inputs: usize, outputs: usize, bias: bool, init: Init) -> Self {
        Linear {
            weight: weights.param("weight", [outputs, inputs], init),
            bias: bias.then(|| weights.param("bias", [outputs], Init::Constant(0.0))),
        }
    }

    /// # Shapes
    /// `(…, inputs)` → `(…, outputs)`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        affine(input, self.weight.val(), bias)
    }

    /// Only the outputs `outputs`, at their share of the cost.
    ///
    /// # Shapes
    /// `(…, inputs)` → `(…, outputs.len())`
    pub fn forward_part<const D: usize>(
        &self,
        input: Tensor<D>,
        outputs: Range<usize>,
    ) -> Tensor<D> {
        let weight = self.weight.val().slice([outputs.clone()]);
        let bias = self.bias.as_ref().map(|bias| bias.val().slice([outputs]));
        affine(input, weight, bias)
    }
}

fn affine<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let mut dims = input.dims();
    let inputs = dims[D - 1];
    let rows: usize = dims[..D - 1].iter().product();
    let output = input.reshape([rows, inputs]).matmul(weight.transpose());
    let output = match bias {
        Some(bias) => output + bias.unsqueeze(),
        None => output,
    };
    dims[D - 1] = output.dims()[1];
    output.reshape(dims)
}
