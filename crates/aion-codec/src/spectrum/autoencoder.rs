//! The network of the spectrum codec: ConvNeXt V2 in one dimension (arXiv 2301.00808).
//!
//! Activations are channels last, `(batch, length, channels)`, so that all but the depthwise
//! convolution are matrix products.

use aion_kernel::layer::{ConvNextBlock, LayerNorm, affine};
use aion_kernel::{Init, Weights};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::SpectrumConfig;

/// Epsilon of the norms. Not stored in checkpoints.
const EPSILON: f64 = 1e-6;
/// Channels of the network's input: flux and uncertainty.
const INPUT_CHANNELS: usize = 2;

/// Stages of blocks, each after a halving of the length; the first after a quartering.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    downsample: Vec<Downsample>,
    stages: Vec<Vec<ConvNextBlock>>,
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
    stages: Vec<Vec<ConvNextBlock>>,
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

fn stages(depths: &[usize], dims: &[usize], weights: &Weights) -> Vec<Vec<ConvNextBlock>> {
    let stage = |(index, (&depth, &dim)): (usize, (&usize, &usize))| {
        let weights = weights.at(index);
        let block = |index| ConvNextBlock::new(&weights.at(index), dim);
        (0..depth).map(block).collect()
    };
    depths.iter().zip(dims).enumerate().map(stage).collect()
}

fn run(blocks: &[ConvNextBlock], input: Tensor<3>) -> Tensor<3> {
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
        let output = affine(rows, weight, Some(self.bias.val()));
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
        let weight = self.weight.val().permute([2, 1, 0]);
        let weight = weight.reshape([kernel * outputs, inputs]);
        let bias = self.bias.val().repeat(&[kernel]);
        let output = affine(input.reshape([batch * length, inputs]), weight, Some(bias));
        output.reshape([batch, length * kernel, outputs])
    }
}
