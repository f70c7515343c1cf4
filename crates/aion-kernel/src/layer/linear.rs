//! A linear map of the last axis.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::LayerNorm;
use super::normed::normed_affine;
use super::weight::WeightMatrix;
use crate::activation::Activation;
use crate::gradient::{Gradient, Input, Inputs};
use crate::init::Init;
use crate::memory::{HostTensor, from_host};
use crate::product::{Finish, Left, Matrix, Product, Right, Transposed};
use crate::rows::column_sums;
use crate::weights::Weights;

/// `y = x Wᵀ + b`, the weight stored `(outputs, inputs)`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: WeightMatrix,
    bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Reads `weight` and, if asked, `bias`.
    pub fn new(weights: &Weights, inputs: usize, outputs: usize, bias: bool, init: Init) -> Self {
        Linear {
            weight: WeightMatrix::new(weights, [outputs, inputs], init),
            bias: bias.then(|| weights.param("bias", [outputs], Init::Constant(0.0))),
        }
    }

    /// With these parameters.
    #[cfg(test)]
    pub(super) fn of(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        Linear {
            weight: WeightMatrix::of(weight),
            bias: bias.map(|bias| Param::initialized(burn::module::ParamId::new(), bias)),
        }
    }

    /// # Shapes
    /// `(…, inputs)` → `(…, outputs)`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        by_rows(input, |rows| {
            let host = HostTensor::of(&rows);
            let [count, inputs] = rows.dims();
            let fused = host.and_then(|host| {
                let left = Matrix::new(host.values(), inputs);
                self.on_host(left, count, Finish::default())
            });
            fused.unwrap_or_else(|| affine(rows, self.weight.val(), self.bias()))
        })
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
        let weight = self.weight.rows(outputs.clone());
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
        if let Some(output) = fused {
            return output;
        }
        let (weight, bias) = (self.weight(), self.bias());
        normed_affine(norm, &input, &weight, bias.as_ref())
            .unwrap_or_else(|| affine(norm.forward(input), weight, bias))
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
        affine_onto(input, self.weight(), self.bias(), Some(rest))
    }

    /// `(outputs, inputs)`
    pub(super) fn weight(&self) -> Tensor<2> {
        self.weight.val()
    }

    /// `(outputs)`
    pub(super) fn bias(&self) -> Option<Tensor<1>> {
        self.bias.as_ref().map(Param::val)
    }

    /// `None` where parameters are elsewhere or want a gradient.
    fn on_host(&self, left: impl Left, rows: usize, finish: Finish<'_>) -> Option<Tensor<2>> {
        let weight = self.weight.on_host()?;
        let shape @ [outputs, _] = weight.shape();
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
            right: Right::Weight(weight.stored(), shape),
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
pub(super) fn gated_product(
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
    let [first, second] = maps.map(|map| map.weight.on_host());
    let (first, second) = (first?, second?);
    let shape @ [outputs, _] = first.shape();
    let product = Product {
        left,
        rows,
        right: Right::Pair([first.stored(), second.stored()], shape),
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
    by_rows(input, |rows| affine_onto(rows, weight, bias, None))
}

/// The same of rows, added to others where there are any.
fn affine_onto(
    rows: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    rest: Option<Tensor<2>>,
) -> Tensor<2> {
    // The rest comes first, as in a sum of both: burn goes through the graph from the last input on, and
    // gradients that add up in another order would differ from those of blocks that are made again.
    let inputs = Inputs::of([
        Input::optional(rest.as_ref()),
        Input::of(&rows),
        Input::of(&weight),
        Input::optional(bias.as_ref()),
    ]);
    if let Some(inputs) = inputs {
        return product(inputs);
    }
    let output = composed(rows, weight, bias);
    match rest {
        Some(rest) => rest + output,
        None => output,
    }
}

/// A map of the last axis as one of rows: all other axes are one.
fn by_rows<const D: usize>(
    input: Tensor<D>,
    map: impl FnOnce(Tensor<2>) -> Tensor<2>,
) -> Tensor<D> {
    let mut dims = input.dims();
    let rows: usize = dims[..D - 1].iter().product();
    let output = map(input.reshape([rows, dims[D - 1]]));
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

fn product(factors: Inputs<4>) -> Tensor<2> {
    let [rest, input, weight, bias] = factors.hosts();
    let ([rows, inputs], [outputs, _]) = (input.dims(), weight.dims());
    let finish = Finish {
        bias: bias.optional_values(),
        rest: rest.optional_values().map(|rest| (rest, outputs)),
        ..Finish::default()
    };
    let left = Matrix::new(input.values(), inputs);
    let output = times_weight(left, rows, weight, finish);
    factors.result(output, [rows, outputs], |[_, input, weight, _], _| {
        LinearGradient { input, weight }
    })
}

#[derive(Debug)]
struct LinearGradient {
    /// `(rows, inputs)`
    input: HostTensor,
    /// `(outputs, inputs)`
    weight: HostTensor,
}

impl Gradient<4> for LinearGradient {
    fn backward(
        &self,
        output: &[f32],
        [_, input, weight, bias]: [bool; 4],
    ) -> [Option<Vec<f32>>; 4] {
        let shape @ [outputs, _] = self.weight.dims();
        [
            None,
            input.then(|| input_gradient(output, &self.weight)),
            weight.then(|| weight_gradient(output, self.input.values(), shape)),
            bias.then(|| column_sums(output, outputs)),
        ]
    }

    fn passed_on(&self) -> Option<usize> {
        Some(0)
    }
}

/// `finish(x Wᵀ)` for a weight `(outputs, inputs)`.
pub(super) fn times_weight(
    left: impl Left,
    rows: usize,
    weight: &HostTensor,
    finish: Finish<'_>,
) -> Vec<f32> {
    let product = Product {
        left,
        rows,
        right: Right::Weight(weight.values().into(), weight.dims()),
        finish,
    };
    product.matrix()
}

/// `dY W`: the gradient of a map's input from that of its result.
pub(super) fn input_gradient(output: &[f32], weight: &HostTensor) -> Vec<f32> {
    let shape @ [outputs, _] = weight.dims();
    let product = Product {
        left: Matrix::new(output, outputs),
        rows: output.len() / outputs,
        right: Right::Plain(weight.values(), shape),
        finish: Finish::default(),
    };
    product.matrix()
}

/// `dYᵀ X`: the gradient of a weight `(outputs, inputs)`.
pub(super) fn weight_gradient(
    output: &[f32],
    input: &[f32],
    [outputs, inputs]: [usize; 2],
) -> Vec<f32> {
    let product = Product {
        left: Transposed::new(output, outputs),
        rows: outputs,
        right: Right::Plain(input, [input.len() / inputs, inputs]),
        finish: Finish::default(),
    };
    product.matrix()
}

/// `act(x) · y`, element by element.
///
/// # Shapes
/// `(rows, columns)` twice → the same
pub(super) fn gate(first: Tensor<2>, second: Tensor<2>, activation: Activation) -> Tensor<2> {
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
