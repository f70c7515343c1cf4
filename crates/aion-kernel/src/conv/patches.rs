//! Convolution as a product of patches with the weight. Patches are gathered where the product packs
//! its rows, a few at a time, and never stand in memory.

use std::ops::Range;

use rayon::prelude::*;

use super::ConvShape;
use crate::activation::Activation;
use crate::product::{Finish, Left, Matrix, Panels, Product, Right, Rows, Transposed};
use crate::simd::vectorized;

/// A weight as panels, its rows `(kernel rows, kernel columns, inputs)`.
#[derive(Debug)]
pub(crate) struct PatchWeight(Panels);

impl PatchWeight {
    /// From the published layout `(outputs, inputs, k, k)`.
    pub(crate) fn new(weight: &[f32], shape: &ConvShape) -> Self {
        let (taps, inputs, outputs) = (shape.kernel * shape.kernel, shape.inputs, shape.outputs);
        if taps == 1 {
            return PatchWeight(Panels::new(weight, [inputs, outputs], [1, inputs]));
        }
        let mut ordered = vec![0.0; weight.len()];
        let kernels = ordered.par_chunks_exact_mut(inputs * taps);
        let kernels = kernels.zip(weight.par_chunks_exact(inputs * taps));
        kernels.for_each(|(to, from)| {
            for (channel, kernel) in from.chunks_exact(taps).enumerate() {
                for (tap, value) in kernel.iter().enumerate() {
                    to[tap * inputs + channel] = *value;
                }
            }
        });
        let depth = inputs * taps;
        PatchWeight(Panels::new(&ordered, [depth, outputs], [1, depth]))
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
    let finish = Finish {
        bias: Some(bias),
        activation,
        ..Finish::default()
    };
    let (rows, right) = (shape.output_pixels(), &weight.0);
    if (shape.kernel, shape.stride, shape.padding) == (1, 1, 0) {
        let left = Matrix::new(input, shape.inputs);
        return Product {
            left,
            rows,
            right: Right::Packed(right),
            finish,
        }
        .matrix();
    }
    let padded = pad(input, shape);
    let left = Patches {
        padded: &padded,
        shape,
    };
    Product {
        left,
        rows,
        right: Right::Packed(right),
        finish,
    }
    .matrix()
}

/// Patches of padded images, one an output pixel.
pub(super) struct Patches<'a> {
    pub padded: &'a [f32],
    pub shape: &'a ConvShape,
}

impl Left for Patches<'_> {
    #[inline(always)]
    fn pack<const ROWS: usize>(
        &self,
        rows: Range<usize>,
        depth: Range<usize>,
        to: &mut [[f32; ROWS]],
    ) {
        for (lane, pixel) in rows.enumerate() {
            let mut rest = &mut *to;
            self.runs(pixel, depth.clone(), |run| {
                let (to, others) = std::mem::take(&mut rest).split_at_mut(run.len());
                for (to, value) in to.iter_mut().zip(run) {
                    to[lane] = *value;
                }
                rest = others;
            });
        }
    }
}

/// The gradient of the weight, `(outputs, inputs, k, k)`, from that of the output; an image at a time.
pub(crate) fn patch_weight_gradient(
    input: &[f32],
    gradient: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let (taps, inputs, outputs) = (shape.kernel * shape.kernel, shape.inputs, shape.outputs);
    let depth = taps * inputs;
    let mut ordered = vec![0.0; outputs * depth];
    for_images(input, gradient, shape, |input, gradient, one| {
        let padded = pad(input, one);
        let patches = Patches {
            padded: &padded,
            shape: one,
        };
        let right = Panels::of_rows(one.output_pixels(), depth, &patches);
        let product = Product {
            left: Transposed::new(gradient, outputs),
            rows: outputs,
            right: Right::Packed(&right),
            finish: Finish {
                accumulate: true,
                ..Finish::default()
            },
        };
        product.write(&mut ordered, depth);
    });
    if taps == 1 {
        return ordered;
    }
    let mut weight = vec![0.0; ordered.len()];
    let kernels = weight.par_chunks_exact_mut(depth);
    let kernels = kernels.zip(ordered.par_chunks_exact(depth));
    kernels.for_each(|(to, from)| {
        for (tap, channels) in from.chunks_exact(inputs).enumerate() {
            for (channel, value) in channels.iter().enumerate() {
                to[channel * taps + tap] = *value;
            }
        }
    });
    weight
}

/// The gradient of the input, `(batch, height, width, inputs)`, from that of the output: what each
/// patch would get, added up where patches overlap. An image at a time.
pub(crate) fn patch_input_gradient(
    gradient: &[f32],
    weight: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let (taps, inputs, outputs) = (shape.kernel * shape.kernel, shape.inputs, shape.outputs);
    let depth = taps * inputs;
    // (outputs; kernel rows, kernel columns, inputs)
    let mut ordered = vec![0.0; weight.len()];
    for (to, from) in ordered
        .chunks_exact_mut(depth)
        .zip(weight.chunks_exact(depth))
    {
        for (channel, kernel) in from.chunks_exact(taps).enumerate() {
            for (tap, value) in kernel.iter().enumerate() {
                to[tap * inputs + channel] = *value;
            }
        }
    }
    let right = Panels::new(&ordered, [outputs, depth], [depth, 1]);
    let mut result = vec![0.0; shape.batch * shape.height * shape.width * inputs];
    let image = result.len() / shape.batch;
    let one = ConvShape { batch: 1, ..*shape };
    let gradients = gradient.chunks_exact(one.output_pixels() * outputs);
    for (result, gradient) in result.chunks_exact_mut(image).zip(gradients) {
        let product = Product {
            left: Matrix::new(gradient, outputs),
            rows: one.output_pixels(),
            right: Right::Packed(&right),
            finish: Finish::default(),
        };
        let patches = product.matrix();
        let rows = result
            .par_chunks_exact_mut(shape.width * inputs)
            .enumerate();
        rows.for_each(|(y, row)| gather_row(&patches, &one, y, row));
    }
    result
}

/// Adds up what the patches hold of a row of the input.
fn gather_row(patches: &[f32], shape: &ConvShape, y: usize, row: &mut [f32]) {
    let [out_height, out_width] = shape.output_size();
    let (kernel, inputs) = (shape.kernel, shape.inputs);
    for ky in 0..kernel {
        let Some(top) = (y + shape.padding).checked_sub(ky) else {
            continue;
        };
        if top % shape.stride != 0 || top / shape.stride >= out_height {
            continue;
        }
        for out_x in 0..out_width {
            let patch = top / shape.stride * out_width + out_x;
            let patch = &patches[(patch * kernel + ky) * kernel * inputs..][..kernel * inputs];
            for (kx, patch) in patch.chunks_exact(inputs).enumerate() {
                let Some(x) = (out_x * shape.stride + kx).checked_sub(shape.padding) else {
                    continue;
                };
                if x < shape.width {
                    let to = &mut row[x * inputs..(x + 1) * inputs];
                    vectorized(|| to.iter_mut().zip(patch).for_each(|(to, x)| *to += x));
                }
            }
        }
    }
}

/// Calls `each` with an image's input and gradient, and its shape.
fn for_images(
    input: &[f32],
    gradient: &[f32],
    shape: &ConvShape,
    mut each: impl FnMut(&[f32], &[f32], &ConvShape),
) {
    let one = ConvShape { batch: 1, ..*shape };
    let inputs = input.chunks_exact(shape.height * shape.width * shape.inputs);
    let gradients = gradient.chunks_exact(one.output_pixels() * shape.outputs);
    for (input, gradient) in inputs.zip(gradients) {
        each(input, gradient, &one);
    }
}

impl Rows for Patches<'_> {
    fn copy(&self, pixel: usize, columns: Range<usize>, to: &mut [f32]) {
        let mut rest = to;
        self.runs(pixel, columns, |run| {
            let (to, others) = std::mem::take(&mut rest).split_at_mut(run.len());
            to.copy_from_slice(run);
            rest = others;
        });
    }
}

impl Patches<'_> {
    /// Values `columns` of the patch of an output pixel, in runs of memory.
    #[inline(always)]
    fn runs<'s>(&'s self, pixel: usize, columns: Range<usize>, mut each: impl FnMut(&'s [f32])) {
        let [out_height, out_width] = self.shape.output_size();
        let [height, width] = padded_size(self.shape);
        let (inputs, stride) = (self.shape.inputs, self.shape.stride);
        // A row of the kernel is one run of memory.
        let run = self.shape.kernel * inputs;
        let (x, rest) = (pixel % out_width, pixel / out_width);
        let (y, image) = (rest % out_height, rest / out_height);
        let corner = (image * height + y * stride) * width + x * stride;
        let mut at = columns.start;
        while at < columns.end {
            let (line, offset) = (at / run, at % run);
            let count = (run - offset).min(columns.end - at);
            let from = (corner + line * width) * inputs + offset;
            each(&self.padded[from..from + count]);
            at += count;
        }
    }
}

fn padded_size(shape: &ConvShape) -> [usize; 2] {
    [shape.height, shape.width].map(|size| size + 2 * shape.padding)
}

/// The images with a border of zeros, so that every row of a patch is one run of memory.
pub(super) fn pad(input: &[f32], shape: &ConvShape) -> Vec<f32> {
    let [height, width] = padded_size(shape);
    let (row, wide) = (shape.width * shape.inputs, width * shape.inputs);
    let mut padded = vec![0.0; shape.batch * height * wide];
    let lines = padded.par_chunks_exact_mut(wide).enumerate();
    lines.for_each(|(index, to)| {
        let (image, y) = (index / height, index % height);
        let inside = (shape.padding..shape.padding + shape.height).contains(&y);
        if inside {
            let from = (image * shape.height + y - shape.padding) * row;
            let start = shape.padding * shape.inputs;
            to[start..start + row].copy_from_slice(&input[from..from + row]);
        }
    });
    padded
}
