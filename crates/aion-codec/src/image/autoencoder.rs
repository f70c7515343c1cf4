//! The convolutional autoencoder of the image codec: MagViT without its transformer (arXiv
//! 2310.05737), with squeeze-excite gates (arXiv 2012.13375). Images are channels last.
//!
//! Numbers in weight names are positions in the published list of layers.

use aion_kernel::layer::{Conv2d, LayerNorm, SqueezeExcite};
use aion_kernel::{Activation, Weights};
use burn::module::Module;
use burn::tensor::Tensor;

use super::ImageConfig;

/// Epsilon of the last norm of the encoder. Not stored in checkpoints.
const NORM_EPSILON: f64 = 1e-5;

/// Encoder and decoder.
#[derive(Module, Debug)]
pub(super) struct Autoencoder {
    conv_in: Conv2d,
    conv_out: Conv2d,
    encoder_layers: Vec<Layer>,
    encoder_norm: LayerNorm,
    decoder_layers: Vec<Layer>,
}

/// One entry of the published list of layers.
#[derive(Module, Debug)]
enum Layer {
    Conv(Conv2d),
    Units(Vec<ResidualUnit>),
    Upsample(Conv2d),
}

impl Autoencoder {
    pub(super) fn new(config: &ImageConfig, weights: &Weights) -> Self {
        let inputs = config.multisurvey_projection_dims;
        let dims: Vec<usize> = (0..=config.n_compressions)
            .rev()
            .map(|halvings| config.hidden_dims >> halvings)
            .collect();
        let deepest = config.hidden_dims;
        let (encoder_layers, norm_index) = encoder(config, &dims, &weights.at("encoder_layers"));
        let norm = weights.at("encoder_layers").at(norm_index).at(1);
        Autoencoder {
            conv_in: Conv2d::new(&weights.at("conv_in.conv"), [inputs, dims[0]], 7),
            conv_out: Conv2d::new(&weights.at("conv_out.conv"), [dims[0], inputs], 3),
            encoder_layers,
            encoder_norm: LayerNorm::new(&norm, deepest, NORM_EPSILON, true),
            decoder_layers: decoder(config, &dims, &weights.at("decoder_layers")),
        }
    }

    /// The first convolution's weight and bias, to be merged with the projection before it.
    pub(super) fn conv_in(&self) -> (Tensor<4>, Tensor<1>) {
        self.conv_in.parameters()
    }

    /// The last convolution's weight and bias, to be merged with the projection after it.
    pub(super) fn conv_out(&self) -> (Tensor<4>, Tensor<1>) {
        self.conv_out.parameters()
    }

    /// What follows the first convolution: `(batch, 96, 96, least)` → `(batch, 24, 24, hidden)`
    pub(super) fn encode(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = self.encoder_layers.iter().fold(input, |x, l| l.forward(x));
        self.encoder_norm.forward(hidden)
    }

    /// What precedes the last convolution: `(batch, 24, 24, hidden)` → `(batch, 96, 96, least)`
    pub(super) fn decode(&self, input: Tensor<4>) -> Tensor<4> {
        self.decoder_layers.iter().fold(input, |x, l| l.forward(x))
    }
}

/// Unit, then a halving and units for every level, then a wide convolution and units.
/// Also gives the position of the norm that follows.
fn encoder(config: &ImageConfig, dims: &[usize], weights: &Weights) -> (Vec<Layer>, usize) {
    let deepest = config.hidden_dims;
    let mut layers = vec![Layer::Units(vec![ResidualUnit::new(
        &weights.at(0),
        dims[0],
    )])];
    for pair in dims.windows(2) {
        let conv = weights.at(layers.len()).at("conv");
        let down = Conv2d::strided(&conv, [pair[0], pair[1]], 3, 2, 1);
        layers.push(Layer::Conv(down));
        layers.push(units(config, &weights.at(layers.len()), pair[1]));
    }
    let conv = weights.at(layers.len()).at("conv");
    layers.push(Layer::Conv(Conv2d::new(&conv, [deepest, deepest], 7)));
    layers.push(units(config, &weights.at(layers.len()), deepest));
    let norm_index = layers.len();
    (layers, norm_index)
}

/// The encoder mirrored, with doublings for halvings.
fn decoder(config: &ImageConfig, dims: &[usize], weights: &Weights) -> Vec<Layer> {
    let deepest = config.hidden_dims;
    let mut layers = vec![units(config, &weights.at(0), deepest)];
    let conv = weights.at(1).at("conv");
    layers.push(Layer::Conv(Conv2d::new(&conv, [deepest, deepest], 3)));
    for pair in dims.windows(2).rev() {
        layers.push(units(config, &weights.at(layers.len()), pair[1]));
        let conv = weights.at(layers.len()).at("net.0");
        let up = Conv2d::new(&conv, [pair[1], 4 * pair[0]], 1);
        layers.push(Layer::Upsample(up));
    }
    let unit = ResidualUnit::new(&weights.at(layers.len()), dims[0]);
    layers.push(Layer::Units(vec![unit]));
    layers
}

fn units(config: &ImageConfig, weights: &Weights, dim: usize) -> Layer {
    let unit = |index| ResidualUnit::new(&weights.at(index), dim);
    Layer::Units((0..config.num_consecutive).map(unit).collect())
}

impl Layer {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Layer::Conv(conv) => conv.forward(input),
            Layer::Units(units) => units.iter().fold(input, |x, unit| unit.forward(x)),
            Layer::Upsample(conv) => pixel_shuffle(conv.activated(input, Activation::Silu)),
        }
    }
}

/// `(batch, h, w, 4 c)` → `(batch, 2 h, 2 w, c)`, the channels being `(c, y, x)`
fn pixel_shuffle(input: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    let channels = channels / 4;
    input
        .reshape([batch, height, width, channels, 2, 2])
        .permute([0, 1, 4, 2, 5, 3])
        .reshape([batch, 2 * height, 2 * width, channels])
}

/// `x + gate(elu(1×1 (elu(3×3 x))))`
#[derive(Module, Debug)]
struct ResidualUnit {
    conv: Conv2d,
    pointwise: Conv2d,
    gate: SqueezeExcite,
}

impl ResidualUnit {
    fn new(weights: &Weights, dim: usize) -> Self {
        let weights = weights.at("net");
        ResidualUnit {
            conv: Conv2d::new(&weights.at("0.conv"), [dim, dim], 3),
            pointwise: Conv2d::new(&weights.at(2), [dim, dim], 1),
            gate: SqueezeExcite::new(&weights.at(4), dim),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = self.conv.activated(input.clone(), Activation::Elu);
        self.gate.gate_and_add(&self.pointwise, hidden, input)
    }
}
