//! Passes over the rows of matrices, in chunks that do not depend on the number of threads, so that
//! sums do not either.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::memory::in_blocks;
use crate::simd::{mean_and_spread, sum, vectorized, vectorized_with};

/// Rows of a chunk.
const ROWS: usize = 64;
/// Values of a chunk where rows do not matter.
const BLOCK: usize = 1 << 14;

/// The sum of each column.
pub(crate) fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    let chunks = values.par_chunks(ROWS * columns);
    let partial = chunks.map(|rows| {
        let mut sums = vec![0.0f32; columns];
        vectorized(|| {
            for row in rows.chunks_exact(columns) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
        });
        sums
    });
    add_up(partial.collect(), columns)
}

/// The sum of equally long rows, in order.
pub(crate) fn add_up(partial: Vec<Vec<f32>>, columns: usize) -> Vec<f32> {
    let mut total = vec![0.0f32; columns];
    for sums in partial {
        total
            .iter_mut()
            .zip(sums)
            .for_each(|(total, sum)| *total += sum);
    }
    total
}

/// `act(x) · y`
pub(crate) fn gated(x: &[f32], y: &[f32], activation: Activation) -> Vec<f32> {
    let ([output], _) = in_blocks(x.len(), BLOCK, |start, [output]| {
        let (x, y) = (&x[start..][..output.len()], &y[start..][..output.len()]);
        vectorized(|| {
            output.copy_from_slice(x);
            activation.apply_all(output);
            output.iter_mut().zip(y).for_each(|(o, y)| *o *= y);
        });
    });
    output
}

/// Gradients of [`gated`] from that of its result: `[dx, dy]`.
pub(crate) fn gated_backward(
    x: &[f32],
    y: &[f32],
    gradient: &[f32],
    activation: Activation,
) -> [Vec<f32>; 2] {
    let (gradients, _) = in_blocks(x.len(), BLOCK, |start, outputs: [&mut [f32]; 2]| {
        let block = start..start + outputs[0].len();
        let inputs = [&x[block.clone()], &y[block.clone()]];
        vectorized_with((outputs, inputs, &gradient[block], activation), gate_block);
    });
    gradients
}

/// What a task of [`gated_backward`] writes, reads, and the gradient of its results.
type GateBlock<'a> = ([&'a mut [f32]; 2], [&'a [f32]; 2], &'a [f32], Activation);

#[inline(always)]
fn gate_block(([dx, dy], [x, y], gradient, activation): GateBlock<'_>) {
    dy.copy_from_slice(x);
    activation.apply_all(dy);
    dx.copy_from_slice(x);
    activation.slopes(dx);
    for (((dx, dy), y), g) in dx.iter_mut().zip(dy).zip(y).zip(gradient) {
        *dx *= y * g;
        *dy *= g;
    }
}

/// Rows to mean 0 and variance 1, then scale and shift, one value a column.
pub(crate) fn normalize(values: &[f32], [scale, shift]: [&[f32]; 2], epsilon: f32) -> Vec<f32> {
    let columns = scale.len();
    let ([output], _) = in_blocks(values.len(), ROWS * columns, |start, [output]| {
        let values = &values[start..][..output.len()];
        vectorized(|| {
            let rows = output.chunks_exact_mut(columns);
            for (output, row) in rows.zip(values.chunks_exact(columns)) {
                let [mean, inverse] = mean_and_spread(row, epsilon);
                let affine = scale.iter().zip(shift);
                for ((output, x), (scale, shift)) in output.iter_mut().zip(row).zip(affine) {
                    *output = (x - mean) * inverse * scale + shift;
                }
            }
        });
    });
    output
}

/// Gradients of [`normalize`] from that of its result: `[values, scale, shift]`.
pub(crate) fn normalize_backward(
    values: &[f32],
    scale: &[f32],
    epsilon: f32,
    gradient: &[f32],
) -> [Vec<f32>; 3] {
    let columns = scale.len();
    let ([output], partial) = in_blocks(values.len(), ROWS * columns, |start, [output]| {
        let block = start..start + output.len();
        vectorized_with(
            (
                output,
                [&values[block.clone()], &gradient[block]],
                scale,
                epsilon,
            ),
            normalize_rows_backward,
        )
    });
    let (scales, shifts) = partial
        .into_iter()
        .map(|[scale, shift]| (scale, shift))
        .unzip();
    [output, add_up(scales, columns), add_up(shifts, columns)]
}

/// What a task of [`normalize_backward`] writes, values and gradients that it reads, scale, epsilon.
type NormBlock<'a> = (&'a mut [f32], [&'a [f32]; 2], &'a [f32], f32);

/// Gradients of scale and shift.
#[inline(always)]
fn normalize_rows_backward(
    (output, [values, gradient], scale, epsilon): NormBlock<'_>,
) -> [Vec<f32>; 2] {
    let columns = scale.len();
    let mut sums = [vec![0.0f32; columns], vec![0.0f32; columns]];
    let rows = output.chunks_exact_mut(columns);
    let rows = rows.zip(values.chunks_exact(columns));
    for ((output, row), gradient) in rows.zip(gradient.chunks_exact(columns)) {
        normalize_row_backward(output, row, gradient, scale, epsilon, &mut sums);
    }
    sums
}

#[inline(always)]
fn normalize_row_backward(
    output: &mut [f32],
    row: &[f32],
    gradient: &[f32],
    scale: &[f32],
    epsilon: f32,
    [scale_sums, shift_sums]: &mut [Vec<f32>; 2],
) {
    let [mean, inverse] = mean_and_spread(row, epsilon);
    // The gradient of the normalised row, first in the output's place.
    for ((output, g), scale) in output.iter_mut().zip(gradient).zip(scale) {
        *output = g * scale;
    }
    for ((sum, g), x) in scale_sums.iter_mut().zip(gradient).zip(row) {
        *sum += g * (x - mean) * inverse;
    }
    shift_sums
        .iter_mut()
        .zip(gradient)
        .for_each(|(sum, g)| *sum += g);
    let count = row.len() as f64;
    let mean_gradient = (sum(output, f64::from) / count) as f32;
    let along = along_row(output, row, mean) * f64::from(inverse) / count;
    let along = along as f32;
    for (output, x) in output.iter_mut().zip(row) {
        let normal = (x - mean) * inverse;
        *output = inverse * (*output - mean_gradient - normal * along);
    }
}

/// `Σ g (x - mean)`, in running sums so that it vectorises.
#[inline(always)]
fn along_row(gradient: &[f32], row: &[f32], mean: f32) -> f64 {
    let mut sums = [0.0f64; 16];
    let (gradients, last) = gradient.as_chunks::<16>();
    let (rows, last_row) = row.as_chunks::<16>();
    for (gradients, row) in gradients.iter().zip(rows) {
        for ((sum, g), x) in sums.iter_mut().zip(gradients).zip(row) {
            *sum += f64::from(g * (x - mean));
        }
    }
    let last = last.iter().zip(last_row);
    sums.iter().sum::<f64>() + last.map(|(g, x)| f64::from(g * (x - mean))).sum::<f64>()
}
