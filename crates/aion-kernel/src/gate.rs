//! The element-wise parts of gated residual units and of response normalisation, each in one pass
//! over memory instead of one an operation.

use rayon::prelude::*;

use crate::memory::{Shared, filled};
use crate::rows::add_up;
use crate::simd::{vectorized, vectorized_with};

/// Values worked on by one thread at a time.
const BLOCK: usize = 1 << 14;

/// `x · gate + rest`, the gate being one value a channel of each image.
///
/// # Shapes
/// `values`, `rest` `(batch, pixels, channels)`, `gates` `(batch, channels)`
pub(crate) fn gate_and_add(values: &[f32], gates: &[f32], rest: &[f32], batch: usize) -> Vec<f32> {
    by_rows(values, gates, batch, |output, values, start, gates| {
        let rest = &rest[start..start + values.len()];
        let rows = output
            .chunks_exact_mut(gates.len())
            .zip(values.chunks_exact(gates.len()))
            .zip(rest.chunks_exact(gates.len()));
        for ((output, values), rest) in rows {
            for (((o, v), r), g) in output.iter_mut().zip(values).zip(rest).zip(gates) {
                *o = v * g + r;
            }
        }
    })
}

/// The gradient of gates, `(batch, channels)`, from that of [`gate_and_add`]'s result.
pub(crate) fn gates_gradient(
    values: &[f32],
    gradient: &[f32],
    [batch, channels]: [usize; 2],
) -> Vec<f32> {
    let image = values.len() / batch;
    let images = values.chunks_exact(image).zip(gradient.chunks_exact(image));
    let of_gates = images.flat_map(|(values, gradient)| {
        let rows = BLOCK.div_ceil(channels) * channels;
        let blocks = values.par_chunks(rows).zip(gradient.par_chunks(rows));
        let partial = blocks.map(|(values, gradient)| {
            let mut sums = vec![0.0f32; channels];
            vectorized(|| {
                let rows = values.chunks_exact(channels);
                for (values, gradient) in rows.zip(gradient.chunks_exact(channels)) {
                    for ((sum, v), d) in sums.iter_mut().zip(values).zip(gradient) {
                        *sum += v * d;
                    }
                }
            });
            sums
        });
        add_up(partial.collect(), channels)
    });
    of_gates.collect()
}

/// A result as large as `values`, made some rows at a time by `each(result, values, start, gates)`.
fn by_rows(
    values: &[f32],
    gates: &[f32],
    batch: usize,
    each: impl Fn(&mut [f32], &[f32], usize, &[f32]) + Sync,
) -> Vec<f32> {
    let channels = gates.len() / batch;
    let image = values.len() / batch;
    let rows = (BLOCK / channels).max(1) * channels;
    let fill = |output: Shared| {
        // SAFETY: there is room for so many, and `each` writes all of them and reads none.
        let output = unsafe { std::slice::from_raw_parts_mut(output.0, values.len()) };
        let images = output.par_chunks_mut(image).zip(values.par_chunks(image));
        let images = images.zip(gates.par_chunks(channels)).enumerate();
        images.for_each(|(index, ((output, values), gates))| {
            let blocks = output.par_chunks_mut(rows).zip(values.par_chunks(rows));
            blocks.enumerate().for_each(|(block, (output, values))| {
                let start = index * image + block * rows;
                vectorized(|| each(output, values, start, gates));
            });
        });
    };
    // SAFETY: as above.
    unsafe { filled(values.len(), fill) }
}

/// The mean of each image's pixels under softmax weights: `(batch, pixels, channels)` and scores
/// `key · pixel + offset` → `(batch, channels)`.
pub(crate) fn attended_mean(values: &[f32], key: &[f32], batch: usize) -> Vec<f32> {
    let channels = key.len();
    let image = values.len() / batch;
    let mut context = vec![0.0; batch * channels];
    let images = context
        .par_chunks_mut(channels)
        .zip(values.par_chunks(image));
    images.for_each(|(context, pixels)| {
        let weights = softmax_weights(pixels, key);
        vectorized(|| {
            for (row, weight) in pixels.chunks_exact(channels).zip(&weights) {
                let pairs = context.iter_mut().zip(row);
                pairs.for_each(|(c, v)| *c += weight * v);
            }
        });
    });
    context
}

/// Softmax weights of an image's pixels. An offset of all scores would not change them.
fn softmax_weights(pixels: &[f32], key: &[f32]) -> Vec<f32> {
    let mut scores = dots(pixels, key);
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|s| *s = (*s - largest).exp());
    let total: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|s| *s /= total);
    scores
}

/// The product of every row with `key`.
fn dots(rows: &[f32], key: &[f32]) -> Vec<f32> {
    let blocks = rows.par_chunks(key.len() * 32);
    let blocks = blocks.flat_map_iter(|rows| {
        vectorized(|| {
            let rows = rows.chunks_exact(key.len());
            rows.map(|row| dot(row, key)).collect::<Vec<_>>()
        })
    });
    blocks.collect()
}

/// Gradients of a gated branch from those of [`gate_and_add`]'s and of [`attended_mean`]'s results: in the place of
/// the values, results of exponential linear units, that before these units, and that of the key.
///
/// # Shapes
/// `values` and the first gradient `(batch, pixels, channels)`, `key` `(channels)`, `gates` and the second
/// gradient `(batch, channels)`
pub(crate) fn branch_backward(
    values: &mut [f32],
    key: &[f32],
    gates: &[f32],
    [output, context]: [&[f32]; 2],
) -> Vec<f32> {
    let channels = key.len();
    let image = values.len() * channels / gates.len();
    let rows = (BLOCK / channels).max(1);
    let images = values.par_chunks_mut(image).zip(output.par_chunks(image));
    let of_images = gates.par_chunks(channels).zip(context.par_chunks(channels));
    let of_key: Vec<Vec<f32>> = images
        .zip(of_images)
        .map(|((pixels, output), (gates, context))| {
            let mut scores = dots(pixels, context);
            let weights = softmax_weights(pixels, key);
            let mean: f32 = weights.iter().zip(&scores).map(|(w, s)| w * s).sum();
            for (score, weight) in scores.iter_mut().zip(&weights) {
                *score = weight * (*score - mean);
            }
            let blocks = pixels.par_chunks_mut(rows * channels);
            let blocks = blocks.zip(output.par_chunks(rows * channels));
            let of_rows = weights.par_chunks(rows).zip(scores.par_chunks(rows));
            let partial = blocks.zip(of_rows).map(|((pixels, output), of_rows)| {
                let of_channels = [gates, context, key];
                vectorized_with((pixels, output, of_rows, of_channels), branch_block)
            });
            add_up(partial.collect(), channels)
        })
        .collect();
    add_up(of_key, channels)
}

/// Some pixels and their gradient; weights of pixels and gradients of their scores; gates, gradient of the mean and key.
type BranchBlock<'a> = (
    &'a mut [f32],
    &'a [f32],
    (&'a [f32], &'a [f32]),
    [&'a [f32]; 3],
);

/// Their share of the key's gradient.
#[inline(always)]
fn branch_block((pixels, output, (weights, scores), channels): BranchBlock<'_>) -> Vec<f32> {
    let [gates, context, key] = channels;
    let mut of_key = vec![0.0f32; key.len()];
    let rows = pixels.chunks_exact_mut(key.len());
    let rows = rows.zip(output.chunks_exact(key.len()));
    for ((pixel, output), (weight, score)) in rows.zip(weights.iter().zip(scores)) {
        for (sum, value) in of_key.iter_mut().zip(&*pixel) {
            *sum += score * value;
        }
        let of_channels = gates.iter().zip(context).zip(key);
        for ((value, d), ((gate, c), k)) in pixel.iter_mut().zip(output).zip(of_channels) {
            // exp(x), x being below zero, is one more than the unit's result.
            *value = (d * gate + weight * c + score * k) * (value.min(0.0) + 1.0);
        }
    }
    of_key
}

/// Sum of products, in eight running sums so that it vectorises.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_and_means_are_the_obvious_ones() {
        let (batch, pixels, channels) = (2, 37, 19);
        let value = |i: usize| ((i * 7919) % 113) as f32 / 50.0 - 1.0;
        let values: Vec<f32> = (0..batch * pixels * channels).map(value).collect();
        let gates: Vec<f32> = (0..batch * channels).map(|i| value(i + 5)).collect();
        let output = gate_and_add(&values, &gates, &values, batch);
        for (i, found) in output.iter().enumerate() {
            let gate = gates[i / (pixels * channels) * channels + i % channels];
            assert!((found - (values[i] * gate + values[i])).abs() < 1e-6);
        }
        let key: Vec<f32> = (0..channels).map(|i| value(i + 3)).collect();
        let means = attended_mean(&values, &key, batch);
        for image in 0..batch {
            let rows = &values[image * pixels * channels..(image + 1) * pixels * channels];
            let rows: Vec<&[f32]> = rows.chunks(channels).collect();
            let weights: Vec<f64> = rows
                .iter()
                .map(|row| {
                    row.iter()
                        .zip(&key)
                        .map(|(a, b)| f64::from(a * b))
                        .sum::<f64>()
                        .exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            for channel in 0..channels {
                let sum: f64 = rows
                    .iter()
                    .zip(&weights)
                    .map(|(r, w)| f64::from(r[channel]) * w)
                    .sum();
                let found = f64::from(means[image * channels + channel]);
                assert!(
                    (found - sum / total).abs() < 1e-5,
                    "{found} {}",
                    sum / total
                );
            }
        }
    }
}
