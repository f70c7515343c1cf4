//! The parts of a ConvNeXt block on the CPU, channels last, each in one pass over memory.

use rayon::prelude::*;

use crate::simd::{gelu, vectorized};

/// Rows worked on by one thread at a time.
const ROWS: usize = 64;

/// A convolution of each channel with its own kernel, then normalisation of each position.
pub(crate) struct MixAndNormalize<'a> {
    /// `(taps, channels)`
    pub kernel: &'a [f32],
    /// `(channels)`
    pub bias: &'a [f32],
    /// Scale and shift of the norm, `(channels)` each.
    pub norm: [&'a [f32]; 2],
    pub epsilon: f32,
}

impl MixAndNormalize<'_> {
    /// # Shapes
    /// `(batch, length, channels)` → the same
    pub(crate) fn run(&self, input: &[f32], length: usize) -> Vec<f32> {
        let channels = self.bias.len();
        let taps = self.kernel.len() / channels;
        let mut output = vec![0.0; input.len()];
        let blocks = output.par_chunks_mut(ROWS * channels).enumerate();
        blocks.for_each(|(block, rows)| {
            vectorized(|| {
                for (offset, row) in rows.chunks_exact_mut(channels).enumerate() {
                    let at = block * ROWS + offset;
                    row.copy_from_slice(self.bias);
                    for (tap, kernel) in self.kernel.chunks_exact(channels).enumerate() {
                        let place = at % length + tap;
                        if place < taps / 2 || place - taps / 2 >= length {
                            continue;
                        }
                        let source = (at + tap - taps / 2) * channels;
                        let source = &input[source..source + channels];
                        for ((sum, x), w) in row.iter_mut().zip(source).zip(kernel) {
                            *sum += x * w;
                        }
                    }
                    normalize(row, self.norm, self.epsilon);
                }
            });
        });
        output
    }
}

/// To mean 0 and variance 1, then scale and shift. Sums are 64-bit: with the two channels of a
/// decoder's last stage the variance can be tiny, and an error in it large.
#[inline(always)]
fn normalize(row: &mut [f32], [scale, shift]: [&[f32]; 2], epsilon: f32) {
    let count = row.len() as f64;
    let mean = sum(row, f64::from) / count;
    let variance = sum(row, |x| (f64::from(x) - mean) * (f64::from(x) - mean)) / count;
    let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
    for ((x, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
        *x = ((f64::from(*x) - mean) * inverse) as f32 * scale + shift;
    }
}

/// The sum of `term` over a row, in eight running sums so that it vectorises.
#[inline(always)]
fn sum(row: &[f32], term: impl Fn(f32) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    let (blocks, rest) = row.as_chunks::<8>();
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += term(*x);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| term(*x)).sum::<f64>()
}

/// GELU of `values + bias`, then global response normalisation over each object's positions, in
/// place.
///
/// # Shapes
/// `values` `(batch, length, channels)`; `bias`, `gamma`, `beta` `(channels)`
pub(crate) fn gelu_and_respond(
    values: &mut [f32],
    length: usize,
    bias: &[f32],
    [gamma, beta]: [&[f32]; 2],
    epsilon: f32,
) {
    let channels = bias.len();
    for object in values.chunks_exact_mut(length * channels) {
        let energies: Vec<Vec<f64>> = object
            .par_chunks_mut(ROWS * channels)
            .map(|rows| {
                let mut energy = vec![0.0f64; channels];
                vectorized(|| {
                    for row in rows.chunks_exact_mut(channels) {
                        for ((x, b), e) in row.iter_mut().zip(bias).zip(&mut energy) {
                            *x = gelu(*x + b);
                            *e += f64::from(*x) * f64::from(*x);
                        }
                    }
                });
                energy
            })
            .collect();
        let norm = |channel: usize| energies.iter().map(|e| e[channel]).sum::<f64>().sqrt() as f32;
        let norms: Vec<f32> = (0..channels).map(norm).collect();
        let mean = norms.iter().sum::<f32>() / channels as f32 + epsilon;
        let factors: Vec<f32> = norms
            .iter()
            .zip(gamma)
            .map(|(norm, gamma)| gamma * (norm / mean) + 1.0)
            .collect();
        object.par_chunks_mut(ROWS * channels).for_each(|rows| {
            vectorized(|| {
                for row in rows.chunks_exact_mut(channels) {
                    for ((x, factor), beta) in row.iter_mut().zip(&factors).zip(beta) {
                        *x = *x * factor + beta;
                    }
                }
            });
        });
    }
}

/// `values += bias + rest`, in place; `bias` `(channels)`.
pub(crate) fn add_bias_and(values: &mut [f32], bias: &[f32], rest: &[f32]) {
    let block = ROWS * bias.len();
    let blocks = values.par_chunks_mut(block).zip(rest.par_chunks(block));
    blocks.for_each(|(values, rest)| {
        vectorized(|| {
            let rows = values
                .chunks_exact_mut(bias.len())
                .zip(rest.chunks_exact(bias.len()));
            for (values, rest) in rows {
                for ((x, b), r) in values.iter_mut().zip(bias).zip(rest) {
                    *x += b + r;
                }
            }
        });
    });
}
