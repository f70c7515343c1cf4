//! Convolution as a product of patches with the weight. Patches are gathered where the product packs
//! its rows, a few at a time, and never stand in memory.

use std::ops::Range;

use rayon::prelude::*;

use super::ConvShape;
use crate::activation::Activation;
use crate::product::{Finish, Left, Matrix, Panels, Product};

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
            right,
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
        right,
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
        let [out_height, out_width] = self.shape.output_size();
        let [height, width] = padded_size(self.shape);
        let (inputs, stride) = (self.shape.inputs, self.shape.stride);
        // A row of the kernel is one run of memory.
        let run = self.shape.kernel * inputs;
        for (lane, pixel) in rows.enumerate() {
            let (x, rest) = (pixel % out_width, pixel / out_width);
            let (y, image) = (rest % out_height, rest / out_height);
            let corner = (image * height + y * stride) * width + x * stride;
            let mut at = depth.start;
            while at < depth.end {
                let (line, offset) = (at / run, at % run);
                let count = (run - offset).min(depth.end - at);
                let from = (corner + line * width) * inputs + offset;
                let to = &mut to[at - depth.start..][..count];
                for (to, value) in to.iter_mut().zip(&self.padded[from..from + count]) {
                    to[lane] = *value;
                }
                at += count;
            }
        }
    }
}

fn padded_size(shape: &ConvShape) -> [usize; 2] {
    [shape.height, shape.width].map(|size| size + 2 * shape.padding)
}

/// The images with a border of zeros, so that every row of a patch is one run of memory.
pub(super) fn pad(input: &[f32], shape: &ConvShape) -> Vec<f32> {
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
