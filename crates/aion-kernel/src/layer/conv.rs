//! Two-dimensional convolutions and their transposes.

use burn::module::{Module, Param};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, module};

use crate::activation::Activation;
use crate::conv::{
    ConvShape, PatchWeight, WinogradWeight, convolve_patches, convolve_winograd, is_winograd_shape,
    patch_input_gradient, patch_weight_gradient, winograd_weight_gradient,
};
use crate::gradient::{Gradient, Input, Inputs};
use crate::init::Init;
use crate::memory::{Derived, HostTensor, from_host};
use crate::rows::column_sums;
use crate::weights::Weights;

/// Two-dimensional convolution with a square kernel, weight `(outputs, inputs, k, k)`, on
/// channels-last images.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
    #[module(skip)]
    packed: Packed,
}

/// A weight as the products of patches want it, kept between calls.
type Packed = Derived<PatchWeight>;

impl Conv2d {
    /// Reads `weight` and `bias`; padding is half the kernel, so that stride 1 keeps the size.
    pub fn new(weights: &Weights, channels: [usize; 2], kernel: usize) -> Self {
        Self::strided(weights, channels, kernel, 1, kernel / 2)
    }

    /// The same with a stride and a padding.
    pub fn strided(
        weights: &Weights,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        let init = Init::fan_in(channels[0] * kernel * kernel);
        Self::initialized(
            weights,
            channels,
            kernel,
            [stride, padding],
            [init.clone(), init],
        )
    }

    /// The same with given initial values of weight and bias.
    pub fn initialized(
        weights: &Weights,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        [stride, padding]: [usize; 2],
        [weight, bias]: [Init; 2],
    ) -> Self {
        Conv2d {
            weight: weights.param("weight", [outputs, inputs, kernel, kernel], weight),
            bias: weights.param("bias", [outputs], bias),
            stride,
            padding,
            packed: Packed::default(),
        }
    }

    /// Weight and bias.
    pub fn parameters(&self) -> (Tensor<4>, Tensor<1>) {
        (self.weight.val(), self.bias.val())
    }

    /// Other parameters, as they are.
    #[cfg(test)]
    pub(super) fn set(&mut self, weight: Tensor<4>, bias: Tensor<1>) {
        self.weight = Param::initialized(burn::module::ParamId::new(), weight);
        self.bias = Param::initialized(burn::module::ParamId::new(), bias);
    }

    /// # Shapes
    /// `(batch, h, w, inputs)` → `(batch, h / stride, w / stride, outputs)`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.activated(input, Activation::Linear)
    }

    /// The same, followed by an activation.
    pub fn activated(&self, input: Tensor<4>, activation: Activation) -> Tensor<4> {
        let parameters = self.parameters();
        let steps = [self.stride, self.padding];
        convolve(input, parameters, steps, activation, &self.packed)
    }
}

/// A convolution with a weight that is computed and not a parameter of its own.
///
/// # Shapes
/// input `(batch, h, w, inputs)`, weight `(outputs, inputs, k, k)`, bias `(outputs)` →
/// `(batch, h, w, outputs)` for odd k
pub fn convolve_with(input: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let padding = weight.dims()[2] / 2;
    let packed = Packed::default();
    convolve(
        input,
        (weight, bias),
        [1, padding],
        Activation::Linear,
        &packed,
    )
}

fn convolve(
    input: Tensor<4>,
    (weight, bias): (Tensor<4>, Tensor<1>),
    [stride, padding]: [usize; 2],
    activation: Activation,
    packed: &Packed,
) -> Tensor<4> {
    let inputs = [Input::of(&input), Input::of(&weight), Input::of(&bias)];
    let Some(inputs) = Inputs::of(inputs) else {
        let options = ConvOptions::new([stride, stride], [padding, padding], [1, 1], 1);
        let output = module::conv2d(channels_first(input), weight, Some(bias), options);
        return activation.composed(channels_last(output));
    };
    let [batch, height, width, channels] = input.dims();
    let [outputs, _, kernel, _] = weight.dims();
    let shape = ConvShape {
        batch,
        height,
        width,
        inputs: channels,
        outputs,
        kernel,
        stride,
        padding,
    };
    let [height, width] = shape.output_size();
    let output_shape = [batch, height, width, outputs];
    if !inputs.is_tracked() {
        let output = on_host(inputs.hosts(), &shape, activation, packed);
        return from_host(output, output_shape);
    }
    // The gradient of these two follows from the result, so that nothing else is kept.
    let fused = match activation {
        Activation::Linear | Activation::Elu => activation,
        Activation::Gelu | Activation::Silu => Activation::Linear,
    };
    // Training changes weights where they lie, at every step: nothing is kept then.
    let output = on_host(inputs.hosts(), &shape, fused, &Packed::default());
    let output = inputs.result(output, output_shape, |[input, weight, _], output| {
        ConvGradient {
            input,
            weight,
            output,
            shape,
            activation: fused,
        }
    });
    match activation == fused {
        true => output,
        false => activation.of(output),
    }
}

fn on_host(
    [input, weight, bias]: &[HostTensor; 3],
    shape: &ConvShape,
    activation: Activation,
    packed: &Packed,
) -> Vec<f32> {
    let (input, bias) = (input.values(), bias.values());
    if is_winograd_shape(shape) {
        let weight = WinogradWeight::new(weight.values(), shape);
        convolve_winograd(input, weight, Some(bias), shape, activation)
    } else {
        let weight = packed.get(weight, |weight| PatchWeight::new(weight, shape));
        convolve_patches(input, &weight, bias, shape, activation)
    }
}

#[derive(Debug)]
struct ConvGradient {
    input: HostTensor,
    weight: HostTensor,
    output: HostTensor,
    shape: ConvShape,
    activation: Activation,
}

impl ConvGradient {
    fn of_input(&self, gradient: &[f32]) -> Vec<f32> {
        let (weight, adjoint) = (self.weight.values(), self.shape.adjoint());
        if self.shape.stride == 1 && is_winograd_shape(&adjoint) {
            let weight = WinogradWeight::adjoint(weight, &self.shape);
            return convolve_winograd(gradient, weight, None, &adjoint, Activation::Linear);
        }
        patch_input_gradient(gradient, weight, &self.shape)
    }

    fn of_weight(&self, gradient: &[f32]) -> Vec<f32> {
        let input = self.input.values();
        match is_winograd_shape(&self.shape) {
            true => winograd_weight_gradient(input, gradient, &self.shape),
            false => patch_weight_gradient(input, gradient, &self.shape),
        }
    }
}

impl Gradient<3> for ConvGradient {
    fn backward(&self, output: &[f32], [input, weight, bias]: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let before = self.activation.backward(self.output.values(), output);
        [
            input.then(|| self.of_input(&before)),
            weight.then(|| self.of_weight(&before)),
            bias.then(|| column_sums(&before, self.shape.outputs)),
        ]
    }
}

/// `(batch, h, w, c)` → `(batch, c, h, w)`
fn channels_first(images: Tensor<4>) -> Tensor<4> {
    images.permute([0, 3, 1, 2])
}

/// `(batch, c, h, w)` → `(batch, h, w, c)`
fn channels_last(images: Tensor<4>) -> Tensor<4> {
    images.permute([0, 2, 3, 1])
}

/// Transposed two-dimensional convolution, weight `(inputs, outputs, k, k)`, on channels-last images.
#[derive(Module, Debug)]
pub struct ConvTranspose2d {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
}

impl ConvTranspose2d {
    /// Reads `weight` and `bias`.
    pub fn new(
        weights: &Weights,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        let init = Init::fan_in(outputs * kernel * kernel);
        let shape = [inputs, outputs, kernel, kernel];
        ConvTranspose2d {
            weight: weights.param("weight", shape, init.clone()),
            bias: weights.param("bias", [outputs], init),
            stride,
            padding,
        }
    }

    /// # Shapes
    /// `(batch, h, w, inputs)` → `(batch, stride·h, stride·w, outputs)` for the sizes used here
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let (stride, padding) = (self.stride, self.padding);
        let options =
            ConvTransposeOptions::new([stride, stride], [padding, padding], [0, 0], [1, 1], 1);
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let output = module::conv_transpose2d(channels_first(input), weight, Some(bias), options);
        channels_last(output)
    }
}
