//! The element-wise parts of gated residual units and of response normalisation, each in one pass
//! over memory instead of one an operation.

use rayon::prelude::*;

use crate::simd::vectorized;

/// Values worked on by one thread at a time.
const BLOCK: usize = 1 << 14;

/// `x · gate + rest`, the gate being one value a channel of each image.
///
/// # Shapes
/// `values`, `rest` `(batch, pixels, channels)`, `gates` `(batch, channels)`
pub(crate) fn gate_and_add(values: &[f32], gates: &[f32], rest: &[f32], batch: usize) -> Vec<f32> {
    let channels = gates.len() / batch;
    let image = values.len() / batch;
    let rows = (BLOCK / channels).max(1) * channels;
    let mut output = vec![0.0; values.len()];
    let blocks = output
        .par_chunks_mut(image)
        .zip(values.par_chunks(image))
        .zip(rest.par_chunks(image))
        .zip(gates.par_chunks(channels));
    blocks.for_each(|(((output, values), rest), gates)| {
        let blocks = output
            .par_chunks_mut(rows)
            .zip(values.par_chunks(rows))
            .zip(rest.par_chunks(rows));
        blocks.for_each(|((output, values), rest)| {
            vectorized(|| {
                let rows = output
                    .chunks_exact_mut(channels)
                    .zip(values.chunks_exact(channels))
                    .zip(rest.chunks_exact(channels));
                for ((output, values), rest) in rows {
                    for (((o, v), r), g) in output.iter_mut().zip(values).zip(rest).zip(gates) {
                        *o = v * g + r;
                    }
                }
            });
        });
    });
    output
}

/// The mean of each image's pixels under softmax weights: `(batch, pixels, channels)` and scores
/// `key · pixel + offset` → `(batch, channels)`.
pub(crate) fn attended_mean(values: &[f32], key: &[f32], offset: f32, batch: usize) -> Vec<f32> {
    let channels = key.len();
    let image = values.len() / batch;
    let mut context = vec![0.0; batch * channels];
    let images = context
        .par_chunks_mut(channels)
        .zip(values.par_chunks(image));
    images.for_each(|(context, pixels)| {
        let mut scores: Vec<f32> = pixels
            .par_chunks(channels * 32)
            .flat_map_iter(|rows| {
                vectorized(|| {
                    rows.chunks_exact(channels)
                        .map(|row| dot(row, key) + offset)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        scores.iter_mut().for_each(|s| *s = (*s - largest).exp());
        let total: f32 = scores.iter().sum();
        vectorized(|| {
            for (row, score) in pixels.chunks_exact(channels).zip(&scores) {
                let weight = score / total;
                context
                    .iter_mut()
                    .zip(row)
                    .for_each(|(c, v)| *c += weight * v);
            }
        });
    });
    context
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
        let means = attended_mean(&values, &key, 0.3, batch);
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
