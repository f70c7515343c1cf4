//! The parts of a ConvNeXt block on the CPU, channels last, with their gradients.
//!
//! A row is one position. Rows are worked on in chunks that do not depend on the number of threads,
//! and what chunks sum is added up in order, so that results do not depend on it either. What runs
//! over a chunk is a [`pulp::WithSimd`] and not a closure: only so it is compiled for the machine's
//! vectors for certain.

mod mix;
mod mix_gradient;
mod response;
mod response_gradient;

pub(crate) use mix::{Mix, Norm, TAPS};
pub(crate) use mix_gradient::MixGradient;
pub(crate) use response::{Response, energies, gelu_with_energies};
pub(crate) use response_gradient::{ResponseGradient, respond_backward};

/// Rows of a chunk.
const ROWS: usize = 64;

/// Adds value by value.
fn add(total: &mut [f32], values: &[f32]) {
    let pairs = total.iter_mut().zip(values);
    pairs.for_each(|(total, value)| *total += value);
}
