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

/// Some panels of outputs of some tiles.
pub(super) struct Outputs<'a, const N: usize, T> {
    /// See [`super::tiles::Tiles`], one block after the other.
    forward: &'a [f32],
    weight: WinogradWeight<'a>,
    panels: Range<usize>,
    grid: &'a TileGrid,
    tiles: Range<usize>,
    bias: Option<&'a [f32]>,
    activation: Activation,
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
        weight: WinogradWeight<'a>,
        panels: Range<usize>,
        (grid, tiles): (&'a TileGrid, Range<usize>),
        (bias, activation): (Option<&'a [f32]>, Activation),
        output: Shared,
    ) -> Self {
        Outputs {
            forward,
            weight,
            panels,
            grid,
            tiles,
            bias,
            activation,
            output,
            tiling: PhantomData,
        }
    }

    /// Products of some inputs of a piece, `(panels, points, tiles)`, added to those before.
    #[inline(always)]
    fn multiply<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        piece: usize,
        inputs: Range<usize>,
        kernels: &[Lanes<S>],
        point_kernels: usize,
        products: &mut [Lanes<S>],
    ) {
        let pieces = self.grid.pieces * self.grid.pieces;
        let blocks = self.tiles.len().div_ceil(ROWS);
        let point_values = self.grid.point_values(ROWS);
        let panel_len = products.len() / self.panels.len();
        let first = piece == 0 && inputs.start == 0;
        for point in 0..N * N {
            for block in 0..blocks {
                let at = ((block * pieces + piece) * N * N + point) * point_values;
                let (rows, _) = self.forward[at..].as_chunks::<ROWS>();
                let rows = &rows[inputs.clone()];
                for (panel, products) in products.chunks_exact_mut(panel_len).enumerate() {
                    let at = (panel * N * N + point) * point_kernels;
                    let columns = &kernels[at..at + inputs.len()];
                    let sums = multiply::<S, ROWS>(simd, rows, columns);
                    let to = &mut products[(point * blocks + block) * ROWS..][..ROWS];
                    for (to, sum) in to.iter_mut().zip(&sums) {
                        *to = if first { *sum } else { add(simd, *to, *sum) };
                    }
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
        panel: usize,
        points: impl Iterator<Item = &'s Lanes<S>> + Clone,
    ) {
        let shape = &self.grid.shape;
        let width = VECTORS * S::F32_LANES;
        let column = panel * width;
        let count = width.min(shape.outputs - column);
        let mut pixels = [[[simd.splat_f32s(0.0); VECTORS]; OUT]; OUT];
        for vector in 0..VECTORS {
            let mut values = [[simd.splat_f32s(0.0); N]; N];
            for (value, point) in values.as_flattened_mut().iter_mut().zip(points.clone()) {
                *value = point[vector];
            }
            let lines = both_ways(simd, &T::OUTPUT, &values);
            for (pixels, line) in pixels.iter_mut().zip(&lines) {
                for (pixel, value) in pixels.iter_mut().zip(line) {
                    pixel[vector] = *value;
                }
            }
        }
        let bias = match self.bias {
            Some(bias) => load(simd, &bias[column..column + count]),
            None => [simd.splat_f32s(0.0); VECTORS],
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
        let panels = self.panels.len();
        let channels = self.grid.shape.inputs;
        let slab = KERNEL_BYTES / (4 * N * N * width * panels);
        let slab = slab
            .next_multiple_of(SLAB)
            .min(channels.next_multiple_of(SLAB));
        // Not in a closure: what the library calls is not compiled for the machine's vectors.
        let [mut kernels, mut products, mut ordered] = SCRATCH.take();
        let panel_kernels = N * N * point_kernels(slab);
        let kernels_of = kernels.at_least(panels * panel_kernels * width);
        let kernels_of: &mut [Lanes<S>] = cast_slice_mut(kernels_of);
        let panel_sums = N * N * blocks * ROWS;
        let sums = products.at_least(panels * panel_sums * width);
        let sums: &mut [Lanes<S>] = cast_slice_mut(sums);
        let in_lanes = ordered.at_least(self.weight.room(width));
        for piece in 0..self.grid.pieces * self.grid.pieces {
            for start in (0..channels).step_by(slab) {
                let inputs = start..(start + slab).min(channels);
                let places = kernels_of.chunks_exact_mut(panel_kernels);
                for (panel, to) in self.panels.clone().zip(places) {
                    let (weight, inputs) = (&self.weight, inputs.clone());
                    let stride = point_kernels(slab);
                    weight.transform::<S, N, T>(simd, [panel, piece], inputs, in_lanes, to, stride);
                }
                let stride = point_kernels(slab);
                self.multiply::<S, ROWS>(simd, piece, inputs, kernels_of, stride, sums);
            }
        }
        let places = sums.chunks_exact(panel_sums);
        for (panel, sums) in self.panels.clone().zip(places) {
            for (place, tile) in self.tiles.clone().enumerate() {
                let points = sums[place..].iter().step_by(blocks * ROWS);
                self.put(simd, tile, panel, points);
            }
        }
        SCRATCH.set([kernels, products, ordered]);
    }
}
