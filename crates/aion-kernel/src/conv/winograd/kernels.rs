//! Kernels as the transform reads them, and their transform.

use std::ops::Range;

use pulp::bytemuck::cast_slice;
use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::super::ConvShape;
use super::tiling::{MAX_TAPS, Tiling, line};
use crate::aligned::Aligned;
use crate::simd::{Lanes, VECTORS, tile_shape};

/// `(panels of outputs, pieces, inputs, taps, outputs of a panel)`: zeros where a piece reaches beyond the
/// kernel, and after the last output.
#[derive(Debug)]
pub(crate) struct WinogradWeight {
    values: Aligned,
    /// Values of a panel.
    panel: usize,
    inputs: usize,
}

impl WinogradWeight {
    /// From the published layout `(outputs, inputs, k, k)`.
    pub(crate) fn new(weight: &[f32], shape: &ConvShape) -> Self {
        let taps = shape.kernel * shape.kernel;
        let strides = [shape.inputs * taps, taps, 1];
        Self::strided(weight, shape, strides, false)
    }

    /// The kernels of the gradient with respect to the input: outputs and inputs change places, and
    /// kernels are turned by half a turn. `shape` is that of the convolution.
    pub(crate) fn adjoint(weight: &[f32], shape: &ConvShape) -> Self {
        let taps = shape.kernel * shape.kernel;
        let strides = [taps, shape.inputs * taps, 1];
        Self::strided(weight, &shape.adjoint(), strides, true)
    }

    fn strided(
        weight: &[f32],
        shape: &ConvShape,
        [output_stride, input_stride, tap_stride]: [usize; 3],
        turned: bool,
    ) -> Self {
        let width = tile_shape(Arch::new()).columns;
        let side = match shape.kernel {
            3 => 3,
            _ => MAX_TAPS,
        };
        let pieces = shape.kernel.div_ceil(side);
        let inputs = shape.inputs;
        let panel = pieces * pieces * inputs * side * side * width;
        let mut values = Aligned::zeros(shape.outputs.div_ceil(width) * panel);
        let panels = values
            .as_mut_slice()
            .par_chunks_exact_mut(panel)
            .enumerate();
        panels.for_each(|(panel, to)| {
            let first = panel * width;
            for tap in 0..shape.kernel * shape.kernel {
                let (y, x) = (tap / shape.kernel, tap % shape.kernel);
                let piece = y / side * pieces + x / side;
                let place = y % side * side + x % side;
                let last = shape.kernel * shape.kernel - 1;
                let from_tap = if turned { last - tap } else { tap } * tap_stride;
                for input in 0..inputs {
                    let at = ((piece * inputs + input) * side * side + place) * width;
                    let from = from_tap + input * input_stride;
                    for lane in 0..width.min(shape.outputs - first) {
                        to[at + lane] = weight[from + (first + lane) * output_stride];
                    }
                }
            }
        });
        WinogradWeight {
            values,
            panel,
            inputs,
        }
    }

    /// Number of panels.
    pub(super) fn len(&self) -> usize {
        self.values.as_slice().len() / self.panel
    }

    /// Kernels of a point as [`Self::transform`] writes them: an odd number, so that points do not share
    /// their places in the caches.
    pub(super) fn point_kernels(&self) -> usize {
        self.inputs | 1
    }

    /// `G g Gᵀ` of a piece of all kernels of a panel: `(points, inputs, outputs of a panel)`.
    #[inline(always)]
    pub(super) fn transform<S: Simd, const N: usize, T: Tiling<N>>(
        &self,
        simd: S,
        panel: usize,
        piece: usize,
        to: &mut [Lanes<S>],
    ) {
        let taps = T::TAPS * T::TAPS;
        let kernels = &self.values.as_slice()[panel * self.panel..(panel + 1) * self.panel];
        let kernels: &[Lanes<S>] = cast_slice(kernels);
        let piece: Range<usize> = piece * self.inputs * taps..(piece + 1) * self.inputs * taps;
        for (input, kernel) in kernels[piece].chunks_exact(taps).enumerate() {
            let mut points = [[[simd.splat_f32s(0.0); N]; N]; VECTORS];
            for (vector, points) in points.iter_mut().enumerate() {
                let mut half = [[simd.splat_f32s(0.0); MAX_TAPS]; N];
                for column in 0..T::TAPS {
                    let mut down = [simd.splat_f32s(0.0); MAX_TAPS];
                    for row in 0..T::TAPS {
                        down[row] = kernel[row * T::TAPS + column][vector];
                    }
                    let down = line(simd, &T::KERNEL, &down);
                    for row in 0..N {
                        half[row][column] = down[row];
                    }
                }
                for (points, half) in points.iter_mut().zip(&half) {
                    *points = line(simd, &T::KERNEL, half);
                }
            }
            let [first, second] = &points;
            let points = first.as_flattened().iter().zip(second.as_flattened());
            let to = to.chunks_exact_mut(self.point_kernels());
            for (to, (first, second)) in to.zip(points) {
                to[input] = [*first, *second];
            }
        }
    }
}
