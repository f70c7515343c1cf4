//! Convolution as a product of gathered patches with the weight.

use rayon::prelude::*;

use super::{Activation, ConvShape, Product};
use crate::simd::vectorized;

/// Output pixels whose patches are gathered at a time: they should stay in the outer cache.
const PATCH_BYTES: usize = 4 << 20;

/// A weight laid out `(kernel rows, kernel columns, inputs; outputs)`.
#[derive(Debug)]
pub(crate) struct PatchWeight(Vec<f32>);

impl PatchWeight {
    /// From the published layout `(outputs, inputs, k, k)`.
    pub(crate) fn new(weight: &[f32], shape: &ConvShape) -> Self {
        let (taps, outputs) = (shape.kernel * shape.kernel, shape.outputs);
        let mut packed = vec![0.0; weight.len()];
        let rows = weight.chunks_exact(shape.inputs * taps);
        for (output, row) in rows.enumerate() {
            for (channel, kernel) in row.chunks_exact(taps).enumerate() {
                for (tap, value) in kernel.iter().enumerate() {
                    packed[(tap * shape.inputs + channel) * outputs + output] = *value;
                }
            }
        }
        PatchWeight(packed)
    }
}

/// # Shapes
/// `(batch, height, width, inputs)` → `(batch, height', width', outputs)`
pub(crate) fn convolve_patches(
    input: &[f32],
    weight: &PatchWeight,
    bias: &[f32],
    shape: &ConvShape,
    activation: Activation,
) -> Vec<f32> {
    let [height, width] = shape.output_size();
    let (outputs, depth) = (shape.outputs, shape.kernel * shape.kernel * shape.inputs);
    let mut output = vec![0.0; shape.batch * height * width * outputs];
    let pointwise = shape.kernel == 1 && shape.stride == 1 && shape.padding == 0;
    let step = (PATCH_BYTES / (4 * depth * width)).clamp(1, height) * width;
    let step = if pointwise {
        output.len() / outputs
    } else {
        step
    };
    let padded = if pointwise {
        Vec::new()
    } else {
        pad(input, shape)
    };
    let mut patches = vec![0.0; if pointwise { 0 } else { step * depth }];
    for (block, target) in output.chunks_mut(step * outputs).enumerate() {
        let pixels = target.len() / outputs;
        let a = if pointwise {
            (input, depth)
        } else {
            gather(&padded, shape, block * step, &mut patches[..pixels * depth]);
            (&patches[..], depth)
        };
        let product = Product {
            rows: pixels,
            columns: outputs,
            depth,
            a,
            b: (&weight.0, outputs, 1),
        };
        product.write(target, outputs, true);
        target.par_chunks_mut(outputs * 64).for_each(|rows| {
            vectorized(|| finish(rows, bias, activation));
        });
    }
    output
}

/// Adds the bias and applies the activation.
#[inline(always)]
pub(super) fn finish(rows: &mut [f32], bias: &[f32], activation: Activation) {
    for row in rows.chunks_exact_mut(bias.len()) {
        match activation {
            Activation::Linear => row.iter_mut().zip(bias).for_each(|(x, b)| *x += b),
            Activation::Elu => row
                .iter_mut()
                .zip(bias)
                .for_each(|(x, b)| *x = crate::simd::elu(*x + b)),
        }
    }
}

fn padded_size(shape: &ConvShape) -> [usize; 2] {
    [shape.height, shape.width].map(|size| size + 2 * shape.padding)
}

/// The images with a border of zeros, so that every patch row is one run of memory.
fn pad(input: &[f32], shape: &ConvShape) -> Vec<f32> {
    let [height, width] = padded_size(shape);
    let row = shape.width * shape.inputs;
    let mut padded = vec![0.0; shape.batch * height * width * shape.inputs];
    for (index, source) in input.chunks_exact(row).enumerate() {
        let (image, y) = (index / shape.height, index % shape.height);
        let at = ((image * height + y + shape.padding) * width + shape.padding) * shape.inputs;
        padded[at..at + row].copy_from_slice(source);
    }
    padded
}

/// Patches of consecutive output pixels from `first` on, one a row of `patches`.
fn gather(padded: &[f32], shape: &ConvShape, first: usize, patches: &mut [f32]) {
    let [out_height, out_width] = shape.output_size();
    let [height, width] = padded_size(shape);
    let run = shape.kernel * shape.inputs;
    let patch_len = shape.kernel * run;
    let patches = patches.par_chunks_exact_mut(patch_len);
    patches.enumerate().for_each(|(offset, patch)| {
        let pixel = first + offset;
        let (x, rest) = (pixel % out_width, pixel / out_width);
        let (y, image) = (rest % out_height, rest / out_height);
        for (ky, target) in patch.chunks_exact_mut(run).enumerate() {
            let row = image * height + y * shape.stride + ky;
            let at = (row * width + x * shape.stride) * shape.inputs;
            target.copy_from_slice(&padded[at..at + run]);
        }
    });
}
