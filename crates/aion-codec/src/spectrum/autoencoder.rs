//! The network of the spectrum codec: ConvNeXt V2 in one dimension (arXiv 2301.00808).
//!
//! Activations are channels last, `(batch, length, channels)`, so that all but the depthwise
//! convolution are matrix products.

use aion_kernel::layer::{LayerNorm, Linear};
use aion_kernel::{Init, Weights};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};

use super::SpectrumConfig;

/// Epsilon of the norms. Not stored in checkpoints.
const EPSILON: f64 = 1e-6;
/// Width of the depthwise convolution.
const KERNEL: usize = 7;
/// Channels of the network's input: flux and uncertainty.
const INPUT_CHANNELS: usize = 2;

/// Stages of blocks, each after a halving of the length; the first after a quartering.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    downsample: Vec<Downsample>,
    stages: Vec<Vec<Block>>,
    norm: LayerNorm,
}

impl Encoder {
    pub(super) fn new(config: &SpectrumConfig, weights: &Weights) -> Self {
        let dims = &config.encoder_dims;
        let layers = weights.at("downsample_layers");
        let downsample = |(index, &outputs): (usize, &usize)| {
            let weights = layers.at(index);
            match index {
                0 => Downsample {
                    merge: Merge::new(&weights.at(0), INPUT_CHANNELS, outputs, 4),
                    norm: LayerNorm::new(&weights.at(1), outputs, EPSILON, true),
                    norm_first: false,
                },
                _ => Downsample {
                    merge: Merge::new(&weights.at(1), dims[index - 1], outputs, 2),
                    norm: LayerNorm::new(&weights.at(0), dims[index - 1], EPSILON, true),
                    norm_first: true,
                },
            }
        };
        Encoder {
            downsample: dims.iter().enumerate().map(downsample).collect(),
            stages: stages(&config.encoder_depths, dims, &weights.at("stages")),
            norm: LayerNorm::new(&weights.at("norm"), config.latent_channels, EPSILON, true),
        }
    }

    /// `(batch, pixels, 2)` → `(batch, pixels / stride, latent channels)`
    pub(super) fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let layers = self.downsample.iter().zip(&self.stages);
        let hidden = layers.fold(input, |x, (downsample, blocks)| {
            run(blocks, downsample.forward(x))
        });
        self.norm.forward(hidden)
    }
}

/// The encoder mirrored.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    upsample: Vec<Upsample>,
    stages: Vec<Vec<Block>>,
}

impl Decoder {
    pub(super) fn new(config: &SpectrumConfig, weights: &Weights) -> Self {
        let dims = &config.decoder_dims;
        let last = dims.len() - 1;
        let layers = weights.at("upsample_layers");
        let upsample = |(index, &outputs): (usize, &usize)| {
            let weights = layers.at(index);
            match index {
                0 => Upsample {
                    split: Split::new(&weights.at(0), config.latent_channels, outputs, 2),
                    norm: LayerNorm::new(&weights.at(1), outputs, EPSILON, true),
                    norm_first: false,
                },
                _ => Upsample {
                    split: Split::new(
                        &weights.at(1),
                        dims[index - 1],
                        outputs,
                        if index == last { 4 } else { 2 },
                    ),
                    norm: LayerNorm::new(&weights.at(0), dims[index - 1], EPSILON, true),
                    norm_first: true,
                },
            }
        };
        Decoder {
            upsample: dims.iter().enumerate().map(upsample).collect(),
            stages: stages(&config.decoder_depths, dims, &weights.at("stages")),
        }
    }

    /// `(batch, length, latent channels)` → `(batch, pixels, outputs)`
    pub(super) fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let layers = self.upsample.iter().zip(&self.stages);
        layers.fold(input, |x, (upsample, blocks)| {
            run(blocks, upsample.forward(x))
        })
    }
}

fn stages(depths: &[usize], dims: &[usize], weights: &Weights) -> Vec<Vec<Block>> {
    let stage = |(index, (&depth, &dim)): (usize, (&usize, &usize))| {
        let weights = weights.at(index);
        let block = |index| Block::new(&weights.at(index), dim);
        (0..depth).map(block).collect()
    };
    depths.iter().zip(dims).enumerate().map(stage).collect()
}

fn run(blocks: &[Block], input: Tensor<3>) -> Tensor<3> {
    blocks.iter().fold(input, |x, block| block.forward(x))
}

#[derive(Module, Debug)]
struct Downsample {
    merge: Merge,
    norm: LayerNorm,
    norm_first: bool,
}

impl Downsample {
    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        if self.norm_first {
            self.merge.forward(self.norm.forward(input))
        } else {
            self.norm.forward(self.merge.forward(input))
        }
    }
}

#[derive(Module, Debug)]
struct Upsample {
    split: Split,
    norm: LayerNorm,
    norm_first: bool,
}

impl Upsample {
    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        if self.norm_first {
            self.split.forward(self.norm.forward(input))
        } else {
            self.norm.forward(self.split.forward(input))
        }
    }
}

/// A convolution whose stride is its kernel: a product on merged positions.
#[derive(Module, Debug)]
struct Merge {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
}

impl Merge {
    fn new(weights: &Weights, inputs: usize, outputs: usize, kernel: usize) -> Self {
        Merge {
            weight: weights.param(
                "weight",
                [outputs, inputs, kernel],
                Init::TruncatedNormal(0.02),
            ),
            bias: weights.param("bias", [outputs], Init::Constant(0.0)),
        }
    }

    /// `(batch, length, inputs)` → `(batch, length / kernel, outputs)`
    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let [batch, length, _] = input.dims();
        let [outputs, inputs, kernel] = self.weight.dims();
        let merged = length / kernel;
        let rows = input.reshape([batch * merged, kernel * inputs]);
        let weight = self.weight.val().swap_dims(1, 2);
        let weight = weight.reshape([outputs, kernel * inputs]);
        let output = rows.matmul(weight.transpose()) + self.bias.val().unsqueeze();
        output.reshape([batch, merged, outputs])
    }
}

/// A transposed convolution whose stride is its kernel: a product, then positions are split.
#[derive(Module, Debug)]
struct Split {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
}

impl Split {
    fn new(weights: &Weights, inputs: usize, outputs: usize, kernel: usize) -> Self {
        let init = Init::fan_in(outputs * kernel);
        Split {
            weight: weights.param("weight", [inputs, outputs, kernel], init.clone()),
            bias: weights.param("bias", [outputs], init),
        }
    }

    /// `(batch, length, inputs)` → `(batch, length · kernel, outputs)`
    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let [batch, length, _] = input.dims();
        let [inputs, outputs, kernel] = self.weight.dims();
        let weight = self.weight.val().swap_dims(1, 2);
        let weight = weight.reshape([inputs, kernel * outputs]);
        let output = input.reshape([batch * length, inputs]).matmul(weight);
        let output = output.reshape([batch, length * kernel, outputs]);
        output + self.bias.val().reshape([1, 1, outputs])
    }
}

/// Depthwise convolution, norm, two products around GELU and response normalisation.
#[derive(Module, Debug)]
struct Block {
    depthwise: Depthwise,
    norm: LayerNorm,
    pwconv1: Linear,
    grn: ResponseNorm,
    pwconv2: Linear,
}

impl Block {
    fn new(weights: &Weights, dim: usize) -> Self {
        let init = Init::TruncatedNormal(0.02);
        let (first, second) = (weights.at("pwconv1"), weights.at("pwconv2"));
        Block {
            depthwise: Depthwise::new(&weights.at("dwconv"), dim),
            norm: LayerNorm::new(&weights.at("norm"), dim, EPSILON, true),
            pwconv1: Linear::new(&first, dim, 4 * dim, true, init.clone()),
            grn: ResponseNorm::new(&weights.at("grn"), 4 * dim),
            pwconv2: Linear::new(&second, 4 * dim, dim, true, init),
        }
    }

    /// `(batch, length, dim)` → the same
    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let hidden = self.norm.forward(self.depthwise.forward(input.clone()));
        let hidden = activation::gelu(self.pwconv1.forward(hidden));
        input + self.pwconv2.forward(self.grn.forward(hidden))
    }
}

/// A convolution of each channel with its own kernel, stored `(dim, 1, 7)`.
#[derive(Module, Debug)]
struct Depthwise {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
}

impl Depthwise {
    fn new(weights: &Weights, dim: usize) -> Self {
        let init = Init::TruncatedNormal(0.02);
        Depthwise {
            weight: weights.param("weight", [dim, 1, KERNEL], init),
            bias: weights.param("bias", [dim], Init::Constant(0.0)),
        }
    }

    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let [_, length, dim] = input.dims();
        let margin = KERNEL / 2;
        let padded = input.pad([(margin, margin), (0, 0)], 0.0);
        let weight = self.weight.val();
        let start = self.bias.val().reshape([1, 1, dim]);
        (0..KERNEL).fold(start, |sum, tap| {
            let kernel = weight.clone().narrow(2, tap, 1).reshape([1, 1, dim]);
            padded.clone().narrow(1, tap, length) * kernel + sum
        })
    }
}

/// Global response normalisation: each channel scaled by its share of the energy over positions.
#[derive(Module, Debug)]
struct ResponseNorm {
    gamma: Param<Tensor<3>>,
    beta: Param<Tensor<3>>,
}

impl ResponseNorm {
    fn new(weights: &Weights, dim: usize) -> Self {
        let zeros = Init::Constant(0.0);
        ResponseNorm {
            gamma: weights.param("gamma", [1, 1, dim], zeros.clone()),
            beta: weights.param("beta", [1, 1, dim], zeros),
        }
    }

    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let energy = input.clone().powf_scalar(2.0).sum_dim(1).sqrt();
        let share = energy.clone() / (energy.mean_dim(2) + EPSILON);
        let factor = self.gamma.val() * share + 1.0;
        input * factor + self.beta.val()
    }
}
