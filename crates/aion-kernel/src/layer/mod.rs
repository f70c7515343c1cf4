//! Layers with their parameters named and laid out as published.

mod conv;
mod linear;
mod norm;

pub use conv::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d};
pub use linear::Linear;
pub use norm::{BatchNorm2d, LayerNorm};
