//! The products of transformed tiles and kernels, and the way back to pixels.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use pulp::Simd;
use pulp::bytemuck::cast_slice_mut;

use super::kernels::{WinogradWeight, point_kernels};
use super::tiling::{OUT, Tiling, both_ways};
use super::{Activation, TileGrid};
use crate::aligned::Aligned;
use crate::memory::Shared;
use crate::product::{add, load, multiply, store};
use crate::simd::{Lanes, OnTiles, VECTORS};

/// Memory for transformed kernels: they are read for every tile, and should stay in a core's own caches.
/// So inputs are taken some at a time, in multiples of what kernels are brought into lanes for.
const KERNEL_BYTES: usize = 384 << 10;
const SLAB: usize = 16;

/// A panel of outputs of some tiles: what a piece of the kernel adds to them, and after the last the outputs.
pub(super) struct Outputs<'a, const N: usize, T> {
    /// See [`super::tiles::Tiles`], one block after the other.
    forward: &'a [f32],
    weight: WinogradWeight<'a>,
    panel: usize,
    piece: usize,
    grid: &'a TileGrid,
    tiles: Range<usize>,
    bias: Option<&'a [f32]>,
    activation: Activation,
    /// Sums over the pieces so far, `(panels, points, tiles, outputs of a panel)`; those of a kernel of one
    /// piece stay in the thread's own memory.
    between: Option<Shared>,
    /// `(batch, height, width, outputs)`
    output: Shared,
    tiling: PhantomData<T>,
}

thread_local! {
    /// Transformed kernels, products and kernels in lanes, kept for the next convolution of the thread.
    static SCRATCH: Cell<[Aligned; 3]> = Cell::default();
}

impl<'a, const N: usize, T: Tiling<N>> Outputs<'a, N, T> {
    pub(super) fn new(
        forward: &'a [f32],
        (weight, panel, piece): (WinogradWeight<'a>, usize, usize),
        (grid, tiles): (&'a TileGrid, Range<usize>),
        (bias, activation): (Option<&'a [f32]>, Activation),
        (between, output): (Option<Shared>, Shared),
    ) -> Self {
        Outputs {
            forward,
            weight,
            panel,
            piece,
            grid,
            tiles,
            bias,
            activation,
            between,
            output,
            tiling: PhantomData,
        }
    }

    /// Products of some inputs, `(points, tiles)`, added to those before.
    #[inline(always)]
    fn multiply<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        inputs: Range<usize>,
        kernels: &[Lanes<S>],
        point_kernels: usize,
        products: &mut [Lanes<S>],
    ) {
        let blocks = self.tiles.len().div_ceil(ROWS);
        let point_values = self.grid.point_values(ROWS);
        let first = self.piece == 0 && inputs.start == 0;
        for point in 0..N * N {
            let columns = &kernels[point * point_kernels..][..inputs.len()];
            for block in 0..blocks {
                let at = (block * N * N + point) * point_values;
                let (rows, _) = self.forward[at..].as_chunks::<ROWS>();
                let sums = multiply::<S, ROWS>(simd, &rows[inputs.clone()], columns);
                let to = &mut products[(point * blocks + block) * ROWS..][..ROWS];
                for (to, sum) in to.iter_mut().zip(&sums) {
                    *to = if first { *sum } else { add(simd, *to, *sum) };
                }
            }
        }
    }

    /// `Aᵀ m A` of a tile, bias and activation.
    #[inline(always)]
    fn put<'s, S: Simd>(
        &self,
        simd: S,
        tile: usize,
        points: impl Iterator<Item = &'s Lanes<S>> + Clone,
    ) {
        let shape = &self.grid.shape;
        let width = VECTORS * S::F32_LANES;
        let column = self.panel * width;
        let count = width.min(shape.outputs - column);
        let zero = simd.splat_f32s(0.0);
        let mut pixels = [[[zero; VECTORS]; OUT]; OUT];
        let (mut values, mut lines) = ([[zero; N]; N], [[zero; OUT]; OUT]);
        for vector in 0..VECTORS {
            for (value, point) in values.as_flattened_mut().iter_mut().zip(points.clone()) {
                *value = point[vector];
            }
            both_ways(simd, &T::OUTPUT, &values, &mut lines);
            for (pixels, line) in pixels.iter_mut().zip(&lines) {
                for (pixel, value) in pixels.iter_mut().zip(line) {
                    pixel[vector] = *value;
                }
            }
        }
        let bias = match self.bias {
            Some(bias) => load(simd, &bias[column..column + count]),
            None => [zero; VECTORS],
        };
        let (image, [top, left]) = self.grid.place(tile);
        for (y, line) in (top..shape.height).zip(&pixels) {
            for (x, pixel) in (left..shape.width).zip(line) {
                let at = (image * shape.height + y) * shape.width + x;
                // SAFETY: the output has `outputs` values for every pixel of the batch, which the
                // tile's place lies in; these are the panel's, which no other task writes.
                let to = unsafe {
                    let start = self.output.0.add(at * shape.outputs + column);
                    std::slice::from_raw_parts_mut(start, count)
                };
                let mut pixel = add(simd, *pixel, bias);
                self.activation.apply_all(cast_slice_mut(&mut pixel));
                store::<S>(to, pixel);
            }
        }
    }
}

impl<const N: usize, T: Tiling<N>> OnTiles for Outputs<'_, N, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let width = VECTORS * S::F32_LANES;
        let blocks = self.tiles.len().div_ceil(ROWS);
        let channels = self.grid.shape.inputs;
        let slab = KERNEL_BYTES / (4 * N * N * width);
        let slab = slab
            .next_multiple_of(SLAB)
            .min(channels.next_multiple_of(SLAB));
        // Not in a closure: what the library calls is not compiled for the machine's vectors.
        let [mut kernels, mut products, mut ordered] = SCRATCH.take();
        let stride = point_kernels(slab);
        let kernels_of = kernels.at_least(N * N * stride * width);
        let kernels_of: &mut [Lanes<S>] = cast_slice_mut(kernels_of);
        let len = N * N * blocks * ROWS * width;
        let sums = match self.between {
            // SAFETY: there is room for the sums of all panels, and no other task has this panel's.
            Some(sums) => unsafe {
                std::slice::from_raw_parts_mut(sums.0.add(self.panel * len), len)
            },
            None => products.at_least(len),
        };
        let sums: &mut [Lanes<S>] = cast_slice_mut(sums);
        let in_lanes = ordered.at_least(self.weight.room(width));
        for start in (0..channels).step_by(slab) {
            let inputs = start..(start + slab).min(channels);
            let place = [self.panel, self.piece];
            let weight = &self.weight;
            weight.transform::<S, N, T>(simd, place, inputs.clone(), in_lanes, kernels_of, stride);
            self.multiply::<S, ROWS>(simd, inputs, kernels_of, stride, sums);
        }
        if self.piece + 1 == self.grid.pieces() {
            for (place, tile) in self.tiles.clone().enumerate() {
                let points = sums[place..].iter().step_by(blocks * ROWS);
                self.put(simd, tile, points);
            }
        }
        SCRATCH.set([kernels, products, ordered]);
    }
}
