//! A linear map of the last axis.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::LayerNorm;
use crate::activation::Activation;
use crate::gradient::{Gradient, Input, Inputs};
use crate::init::Init;
use crate::memory::{HostTensor, from_host};
use crate::product::{Finish, Left, Matrix, Panels, Product, Right, Transposed};
use crate::rows::column_sums;
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
        affine(input, self.weight.val(), self.bias())
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
        let bias = self.bias().map(|bias| bias.slice([outputs]));
        affine(input, weight, bias)
    }

    /// Of rows that are normalised first, without their standing in memory.
    ///
    /// # Shapes
    /// `(rows, inputs)` → `(rows, outputs)`
    pub fn forward_normed(&self, norm: &LayerNorm, input: Tensor<2>) -> Tensor<2> {
        let finish = Finish::default();
        let fused = norm.on_rows(&input, |left| self.on_host(left, input.dims()[0], finish));
        match fused {
            Some(output) => output,
            None => self.forward(norm.forward(input)),
        }
    }

    /// Added to other rows.
    ///
    /// # Shapes
    /// `(rows, inputs)`, rest `(rows, outputs)` → `(rows, outputs)`
    pub fn forward_onto(&self, input: Tensor<2>, rest: Tensor<2>) -> Tensor<2> {
        let [rows, inputs] = input.dims();
        if let (Some(host), Some(onto)) = (HostTensor::of(&input), HostTensor::of(&rest)) {
            let finish = Finish {
                rest: Some((onto.values(), rest.dims()[1])),
                ..Finish::default()
            };
            let left = Matrix::new(host.values(), inputs);
            if let Some(output) = self.on_host(left, rows, finish) {
                return output;
            }
        }
        rest + self.forward(input)
    }

    fn bias(&self) -> Option<Tensor<1>> {
        self.bias.as_ref().map(Param::val)
    }

    /// `None` where parameters are elsewhere or want a gradient.
    fn on_host(&self, left: impl Left, rows: usize, finish: Finish<'_>) -> Option<Tensor<2>> {
        let weight = HostTensor::of(&self.weight.val())?;
        let [outputs, inputs] = weight.dims();
        let bias = match &self.bias {
            Some(bias) => Some(HostTensor::of(&bias.val())?),
            None => None,
        };
        let finish = Finish {
            bias: bias.as_ref().map(HostTensor::values),
            ..finish
        };
        let product = Product {
            left,
            rows,
            right: Right::Weight(weight.values(), [outputs, inputs]),
            finish,
        };
        Some(from_host(product.matrix(), [rows, outputs]))
    }
}

/// Two linear maps of one input that is normalised first: `act(x W₁ᵀ) · (x W₂ᵀ)`, gated units (Shazeer
/// 2020).
///
/// # Shapes
/// `(rows, inputs)` → `(rows, outputs)`
pub fn gated_product(
    norm: &LayerNorm,
    input: Tensor<2>,
    maps: [&Linear; 2],
    activation: Activation,
) -> Tensor<2> {
    let rows = input.dims()[0];
    let fused = norm.on_rows(&input, |left| gated_on_host(left, rows, maps, activation));
    if let Some(output) = fused {
        return output;
    }
    let normed = norm.forward(input);
    let [first, second] = maps.map(|map| map.forward(normed.clone()));
    gate(first, second, activation)
}

/// `None` where parameters are elsewhere or want a gradient, and for maps with a bias.
fn gated_on_host(
    left: impl Left,
    rows: usize,
    maps: [&Linear; 2],
    activation: Activation,
) -> Option<Tensor<2>> {
    if maps.iter().any(|map| map.bias.is_some()) {
        return None;
    }
    let [first, second] = maps.map(|map| HostTensor::of(&map.weight.val()));
    let (first, second) = (first?, second?);
    let shape @ [outputs, _] = first.dims();
    let product = Product {
        left,
        rows,
        right: Right::Pair([first.values(), second.values()], shape),
        finish: Finish {
            activation,
            gated: true,
            ..Finish::default()
        },
    };
    Some(from_host(product.matrix(), [rows, outputs]))
}

/// `x Wᵀ + b` for a weight `(outputs, inputs)` that is no layer's own.
///
/// # Shapes
/// `(…, inputs)` → `(…, outputs)`
pub fn affine<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let mut dims = input.dims();
    let inputs = dims[D - 1];
    let rows: usize = dims[..D - 1].iter().product();
    let flat: Tensor<2> = input.reshape([rows, inputs]);
    let output = match &bias {
        None => {
            let inputs = Inputs::of([Input::of(&flat), Input::of(&weight)]);
            inputs.map(product)
        }
        Some(bias) => {
            let inputs = Inputs::of([Input::of(&flat), Input::of(&weight), Input::of(bias)]);
            inputs.map(product_with_bias)
        }
    };
    let output = output.unwrap_or_else(|| composed(flat, weight, bias));
    dims[D - 1] = output.dims()[1];
    output.reshape(dims)
}

/// The same in burn's operations, on every device and with gradients.
fn composed(input: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let output = input.matmul(weight.transpose());
    match bias {
        Some(bias) => output + bias.unsqueeze(),
        None => output,
    }
}

fn product(factors: Inputs<2>) -> Tensor<2> {
    let [input, weight] = factors.hosts();
    let (output, shape) = multiply(input, weight, None);
    factors.result(output, shape, |[input, weight], _| LinearGradient {
        input,
        weight,
    })
}

fn product_with_bias(factors: Inputs<3>) -> Tensor<2> {
    let [input, weight, bias] = factors.hosts();
    let (output, shape) = multiply(input, weight, Some(bias.values()));
    factors.result(output, shape, |[input, weight, _], _| LinearGradient {
        input,
        weight,
    })
}

fn multiply(
    input: &HostTensor,
    weight: &HostTensor,
    bias: Option<&[f32]>,
) -> (Vec<f32>, [usize; 2]) {
    let ([rows, inputs], [outputs, _]) = (input.dims(), weight.dims());
    let product = Product {
        left: Matrix::new(input.values(), inputs),
        rows,
        right: Right::Weight(weight.values(), [outputs, inputs]),
        finish: Finish {
            bias,
            ..Finish::default()
        },
    };
    (product.matrix(), [rows, outputs])
}

#[derive(Debug)]
struct LinearGradient {
    /// `(rows, inputs)`
    input: HostTensor,
    /// `(outputs, inputs)`
    weight: HostTensor,
}

impl LinearGradient {
    /// `dY W`
    fn of_input(&self, output: &[f32]) -> Vec<f32> {
        let [outputs, inputs] = self.weight.dims();
        let right = Panels::new(self.weight.values(), [outputs, inputs], [inputs, 1]);
        let product = Product {
            left: Matrix::new(output, outputs),
            rows: output.len() / outputs,
            right: Right::Packed(&right),
            finish: Finish::default(),
        };
        product.matrix()
    }

    /// `dYᵀ X`
    fn of_weight(&self, output: &[f32]) -> Vec<f32> {
        let ([rows, inputs], [outputs, _]) = (self.input.dims(), self.weight.dims());
        let right = Panels::new(self.input.values(), [rows, inputs], [inputs, 1]);
        let product = Product {
            left: Transposed::new(output, outputs),
            rows: outputs,
            right: Right::Packed(&right),
            finish: Finish::default(),
        };
        product.matrix()
    }
}

impl Gradient<2> for LinearGradient {
    fn backward(&self, output: &[f32], [input, weight]: [bool; 2]) -> [Option<Vec<f32>>; 2] {
        [
            input.then(|| self.of_input(output)),
            weight.then(|| self.of_weight(output)),
        ]
    }
}

impl Gradient<3> for LinearGradient {
    fn backward(&self, output: &[f32], [input, weight, bias]: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let outputs = self.weight.dims::<2>()[0];
        [
            input.then(|| self.of_input(output)),
            weight.then(|| self.of_weight(output)),
            bias.then(|| column_sums(output, outputs)),
        ]
    }
}

/// `act(x) · y`, element by element.
///
/// # Shapes
/// `(rows, columns)` twice → the same
pub fn gate(first: Tensor<2>, second: Tensor<2>, activation: Activation) -> Tensor<2> {
    let shape = first.dims();
    let Some(inputs) = Inputs::of([Input::of(&first), Input::of(&second)]) else {
        return activation.composed(first) * second;
    };
    let [x, y] = inputs.hosts();
    let output = crate::rows::gated(x.values(), y.values(), activation);
    inputs.result(output, shape, |[x, y], _| GateGradient { x, y, activation })
}

#[derive(Debug)]
struct GateGradient {
    x: HostTensor,
    y: HostTensor,
    activation: Activation,
}

impl Gradient<2> for GateGradient {
    fn backward(&self, output: &[f32], _: [bool; 2]) -> [Option<Vec<f32>>; 2] {
        let (x, y) = (self.x.values(), self.y.values());
        crate::rows::gated_backward(x, y, output, self.activation).map(Some)
    }
}
