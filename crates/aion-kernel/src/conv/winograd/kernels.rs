//! Kernels as they are published, and their transform.
//!
//! A panel of kernels is brought into lanes while it is transformed, some inputs at a time: weights
//! in an order of their own would stand in memory twice, and training would order them anew at every
//! step.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::from_ref;

use pulp::Simd;
use pulp::bytemuck::cast_slice;

use super::super::ConvShape;
use super::tiles::no_tiles;
use super::tiling::{MAX_TAPS, Tiling, line};
use crate::product::transpose;
use crate::simd::{Lanes, VECTORS};

/// Inputs whose kernels are brought into lanes together.
const INPUTS: usize = 16;

/// The kernels of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WinogradWeight<'a> {
    values: &'a [f32],
    shape: ConvShape,
    /// Whether `values` are those of the convolution whose gradient this one is: outputs and inputs
    /// change places, and kernels are turned by half a turn.
    turned: bool,
}

/// Places of a point for the kernels of `inputs`: an odd number, so that points do not share their places
/// in the caches.
pub(super) fn point_kernels(inputs: usize) -> usize {
    inputs | 1
}

impl<'a> WinogradWeight<'a> {
    /// In the published layout `(outputs, inputs, k, k)`.
    pub(crate) fn new(values: &'a [f32], shape: &ConvShape) -> Self {
        WinogradWeight {
            values,
            shape: *shape,
            turned: false,
        }
    }

    /// The kernels of the gradient with respect to the input; `shape` is that of the convolution.
    pub(crate) fn adjoint(values: &'a [f32], shape: &ConvShape) -> Self {
        WinogradWeight {
            values,
            shape: shape.adjoint(),
            turned: true,
        }
    }

    /// Number of panels of `width` outputs.
    pub(super) fn panels(&self, width: usize) -> usize {
        self.shape.outputs.div_ceil(width)
    }

    /// Values that [`Self::transform`] needs room for.
    pub(super) fn room(&self, width: usize) -> usize {
        INPUTS * self.shape.kernel * self.shape.kernel * width
    }

    /// `G g Gᵀ` of a piece of the kernels of a panel and of some inputs: `(points, inputs, outputs of a
    /// panel)`, points being `stride` apart.
    #[inline(always)]
    pub(super) fn transform<S: Simd, const N: usize, T: Tiling<N>>(
        &self,
        simd: S,
        [panel, piece]: [usize; 2],
        all: Range<usize>,
        ordered: &mut [f32],
        to: &mut [Lanes<S>],
        stride: usize,
    ) {
        let kernel = self.shape.kernel;
        let pieces = kernel.div_ceil(T::TAPS);
        let corner = [piece / pieces * T::TAPS, piece % pieces * T::TAPS];
        let lines = corner[0]..(corner[0] + T::TAPS).min(kernel);
        let mut points = no_tiles::<S, N>(simd);
        for start in all.clone().step_by(INPUTS) {
            let inputs = start..(start + INPUTS).min(all.end);
            self.order::<S>(panel, inputs.clone(), &lines, ordered);
            let taps: &[Lanes<S>] = cast_slice(ordered);
            let of_input = taps.chunks_exact(lines.len() * kernel);
            for (input, taps) in inputs.zip(of_input) {
                self.points::<S, N, T>(simd, taps, &lines, corner[1], &mut points);
                let [first, second] = &points;
                let points = first.as_flattened().iter().zip(second.as_flattened());
                let to = to.chunks_exact_mut(stride);
                for (to, (first, second)) in to.zip(points) {
                    to[input - all.start] = [*first, *second];
                }
            }
        }
    }

    /// Some lines of the kernels of some inputs: `(inputs, lines, k, outputs of the panel)`, zeros after
    /// the last output. Turned kernels stay as they are published.
    #[inline(always)]
    fn order<S: Simd>(
        &self,
        panel: usize,
        inputs: Range<usize>,
        lines: &Range<usize>,
        to: &mut [f32],
    ) {
        let (kernel, width) = (self.shape.kernel, VECTORS * S::F32_LANES);
        let taps = kernel * kernel;
        let first = panel * width;
        let count = width.min(self.shape.outputs - first);
        if count < width {
            to.fill(0.0);
        }
        if self.turned {
            let lines = (kernel - lines.end) * kernel..(kernel - lines.start) * kernel;
            let to = to.chunks_exact_mut(lines.len() * width);
            for (input, to) in inputs.zip(to) {
                let from = (input * self.shape.outputs + first) * taps;
                let from = &self.values[from..from + count * taps];
                transpose::<S>(from, taps, lines.clone(), to, width);
            }
            return;
        }
        let stride = self.shape.inputs * taps;
        let from = &self.values[first * stride..(first + count) * stride];
        let lines = lines.start * kernel..lines.end * kernel;
        if lines.len() == taps {
            // Whole kernels lie one after the other.
            let depths = inputs.start * taps..inputs.end * taps;
            transpose::<S>(from, stride, depths, to, width);
            return;
        }
        let to = to.chunks_exact_mut(lines.len() * width);
        for (input, to) in inputs.zip(to) {
            let depths = input * taps + lines.start..input * taps + lines.end;
            transpose::<S>(from, stride, depths, to, width);
        }
    }

    /// The transform of a piece of an input's kernels, from those of its lines.
    #[inline(always)]
    fn points<S: Simd, const N: usize, T: Tiling<N>>(
        &self,
        simd: S,
        taps: &[Lanes<S>],
        lines: &Range<usize>,
        left: usize,
        points: &mut [[[S::f32s; N]; N]; VECTORS],
    ) {
        let kernel = self.shape.kernel;
        let columns = T::TAPS.min(kernel - left);
        let zero = simd.splat_f32s(0.0);
        for (vector, points) in points.iter_mut().enumerate() {
            // Not zeros: they would take as long to write as the transform.
            let mut half = [[MaybeUninit::<S::f32s>::uninit(); MAX_TAPS]; N];
            for column in 0..MAX_TAPS {
                let mut down = [zero; MAX_TAPS];
                if column < columns {
                    for (row, down) in down.iter_mut().take(lines.len()).enumerate() {
                        let (y, x) = match self.turned {
                            true => (lines.len() - 1 - row, kernel - 1 - left - column),
                            false => (row, left + column),
                        };
                        *down = taps[y * kernel + x][vector];
                    }
                }
                let down = line(simd, &T::KERNEL, &down);
                for (half, down) in half.iter_mut().zip(&down) {
                    half[column].write(*down);
                }
            }
            for (points, half) in points.iter_mut().zip(&half) {
                // SAFETY: all columns of the row are written above.
                let half = unsafe { &*from_ref(half).cast::<[S::f32s; MAX_TAPS]>() };
                *points = line(simd, &T::KERNEL, half);
            }
        }
    }
}
