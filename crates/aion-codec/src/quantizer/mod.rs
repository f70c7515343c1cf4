//! From continuous latents to integer codes and back.

mod fsq;
mod lfq;
mod linear;
mod reservoir;

pub use fsq::FiniteScalarQuantizer;
pub use lfq::{AuxiliaryLoss, LookupFreeQuantizer};
pub use linear::LinearQuantizer;
pub use reservoir::{Codebook, Reservoir};

/// Index of the first boundary that is not below `value`: the left side of a bucket belongs to it.
fn bucketize(value: f32, boundaries: &[f32]) -> usize {
    boundaries.partition_point(|boundary| *boundary < value)
}
