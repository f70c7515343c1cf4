//! Layers with their parameters named and laid out as published.

mod branch;
mod conv;
mod convnext;
mod cross_entropy;
mod embedding;
mod gate;
mod gated;
mod linear;
mod norm;
mod normed;
mod select;
mod weight;

pub use conv::{Conv2d, ConvTranspose2d, convolve_with};
pub use convnext::ConvNextBlock;
pub use cross_entropy::cross_entropy;
pub use embedding::Embedding;
pub use gate::SqueezeExcite;
pub use gated::gated_mlp;
pub use linear::{Linear, affine};
pub use norm::{BatchNorm2d, LayerNorm};
pub use select::select_rows;

#[cfg(test)]
mod tests;
