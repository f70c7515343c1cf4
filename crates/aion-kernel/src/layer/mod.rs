//! Layers with their parameters named and laid out as published.

mod conv;
mod convnext;
mod gate;
mod linear;
mod norm;

pub use conv::{Conv2d, ConvTranspose2d, convolve_with};
pub use convnext::ConvNextBlock;
pub use gate::SqueezeExcite;
pub use linear::{Linear, affine, gate, gated_product};
pub use norm::{BatchNorm2d, LayerNorm};

#[cfg(test)]
mod tests;
