//! Convolutions and their transposes, in one and two dimensions.

use burn::module::{Module, Param};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, module};

use crate::init::Init;
use crate::weights::Weights;

/// Two-dimensional convolution with a square kernel, weight `(outputs, inputs, k, k)`.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// Reads `weight` and `bias`; padding is half the kernel, so that stride 1 keeps the size.
    pub fn new(weights: &Weights, [inputs, outputs]: [usize; 2], kernel: usize) -> Self {
        Self::strided(weights, [inputs, outputs], kernel, 1, kernel / 2)
    }

    /// The same with a stride and a padding.
    pub fn strided(
        weights: &Weights,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        let init = Init::fan_in(inputs * kernel * kernel);
        let shape = [outputs, inputs, kernel, kernel];
        Conv2d {
            weight: weights.param("weight", shape, init.clone()),
            bias: weights.param("bias", [outputs], init),
            stride,
            padding,
        }
    }

    /// # Shapes
    /// `(batch, inputs, h, w)` → `(batch, outputs, h / stride, w / stride)`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let (stride, padding) = (self.stride, self.padding);
        let options = ConvOptions::new([stride, stride], [padding, padding], [1, 1], 1);
        module::conv2d(input, self.weight.val(), Some(self.bias.val()), options)
    }
}

/// Transposed two-dimensional convolution, weight `(inputs, outputs, k, k)`.
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
    /// `(batch, inputs, h, w)` → `(batch, outputs, stride·h, stride·w)` for the sizes used here
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let (stride, padding) = (self.stride, self.padding);
        let options =
            ConvTransposeOptions::new([stride, stride], [padding, padding], [0, 0], [1, 1], 1);
        module::conv_transpose2d(input, self.weight.val(), Some(self.bias.val()), options)
    }
}

/// One-dimensional convolution, weight `(outputs, inputs / groups, k)`.
#[derive(Module, Debug)]
pub struct Conv1d {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
    groups: usize,
}

impl Conv1d {
    /// A convolution whose stride is its kernel: it merges `kernel` positions into one.
    pub fn merging(weights: &Weights, [inputs, outputs]: [usize; 2], kernel: usize) -> Self {
        let init = Init::TruncatedNormal(0.02);
        Conv1d {
            weight: weights.param("weight", [outputs, inputs, kernel], init),
            bias: weights.param("bias", [outputs], Init::Constant(0.0)),
            stride: kernel,
            padding: 0,
            groups: 1,
        }
    }

    /// A convolution of each channel with its own kernel, keeping the length.
    pub fn depthwise(weights: &Weights, channels: usize, kernel: usize) -> Self {
        let init = Init::TruncatedNormal(0.02);
        Conv1d {
            weight: weights.param("weight", [channels, 1, kernel], init),
            bias: weights.param("bias", [channels], Init::Constant(0.0)),
            stride: 1,
            padding: kernel / 2,
            groups: channels,
        }
    }

    /// # Shapes
    /// `(batch, inputs, length)` → `(batch, outputs, length / stride)`
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let options = ConvOptions::new([self.stride], [self.padding], [1], self.groups);
        module::conv1d(input, self.weight.val(), Some(self.bias.val()), options)
    }
}

/// Transposed one-dimensional convolution whose stride is its kernel: it splits each position
/// into `kernel`. Weight `(inputs, outputs, k)`.
#[derive(Module, Debug)]
pub struct ConvTranspose1d {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
    stride: usize,
}

impl ConvTranspose1d {
    /// Reads `weight` and `bias`.
    pub fn new(weights: &Weights, [inputs, outputs]: [usize; 2], kernel: usize) -> Self {
        let init = Init::fan_in(outputs * kernel);
        ConvTranspose1d {
            weight: weights.param("weight", [inputs, outputs, kernel], init.clone()),
            bias: weights.param("bias", [outputs], init),
            stride: kernel,
        }
    }

    /// # Shapes
    /// `(batch, inputs, length)` → `(batch, outputs, length · stride)`
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let options = ConvTransposeOptions::new([self.stride], [0], [0], [1], 1);
        module::conv_transpose1d(input, self.weight.val(), Some(self.bias.val()), options)
    }
}
