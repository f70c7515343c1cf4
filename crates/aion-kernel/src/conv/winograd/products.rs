//! The products of transformed tiles and kernels, and the way back to pixels.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use pulp::bytemuck::cast_slice_mut;
use pulp::{Simd, WithSimd};

use super::kernels::WinogradWeight;
use super::tiling::{OUT, Tiling, both_ways};
use super::{Activation, TileGrid};
use crate::aligned::Aligned;
use crate::memory::Shared;
use crate::product::{add, load, multiply, store};
use crate::simd::{FEW_ROWS, Lanes, MANY_ROWS, VECTORS, tile_rows};

/// Tiles of the product whose results are turned back together.
const BLOCKS: usize = 12;

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

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(&self, simd: S) {
        let kernels_len = N * N * self.weight.point_kernels();
        let width = VECTORS * S::F32_LANES;
        let blocks = self.tiles.len().div_ceil(ROWS);
        let panels = self.panels.len();
        // Not in a closure: what the library calls is not compiled for the machine's vectors.
        let [mut kernels, mut products, mut ordered] = SCRATCH.take();
        let to = kernels.at_least(panels * kernels_len * width);
        let to: &mut [Lanes<S>] = cast_slice_mut(to);
        let in_lanes = ordered.at_least(self.weight.room(width));
        let pieces = self.grid.pieces * self.grid.pieces;
        // Products of pieces add up, so those of all tiles are kept; of one piece only some, in the
        // nearer caches.
        let step = if pieces == 1 {
            blocks.min(BLOCKS)
        } else {
            blocks
        };
        let sums = products.at_least(panels * step * ROWS * N * N * width);
        for start in (0..blocks).step_by(step) {
            let some = start..(start + step).min(blocks);
            let sums = &mut sums[..panels * some.len() * ROWS * N * N * width];
            let sums: &mut [Lanes<S>] = cast_slice_mut(sums);
            for piece in 0..pieces {
                if start == 0 {
                    let places = to.chunks_exact_mut(kernels_len);
                    for (panel, to) in self.panels.clone().zip(places) {
                        let weight = &self.weight;
                        weight.transform::<S, N, T>(simd, panel, piece, in_lanes, to);
                    }
                }
                self.multiply::<S, ROWS>(simd, piece, some.clone(), to, sums);
            }
            let first = self.tiles.start + start * ROWS;
            let places = sums.chunks_exact(some.len() * ROWS * N * N);
            for (panel, sums) in self.panels.clone().zip(places) {
                for (tile, points) in (first..self.tiles.end).zip(sums.chunks_exact(N * N)) {
                    self.put(simd, tile, panel, points);
                }
            }
        }
        SCRATCH.set([kernels, products, ordered]);
    }

    /// Products of a piece, `(panels, tiles, points)`, added to those of the pieces before.
    #[inline(always)]
    fn multiply<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        piece: usize,
        blocks: Range<usize>,
        kernels: &[Lanes<S>],
        products: &mut [Lanes<S>],
    ) {
        let channels = self.grid.shape.inputs;
        let pieces = self.grid.pieces * self.grid.pieces;
        let point_values = self.grid.point_values(ROWS);
        let point_kernels = self.weight.point_kernels();
        let panel_len = products.len() / self.panels.len();
        for point in 0..N * N {
            for (place, block) in blocks.clone().enumerate() {
                let at = ((block * pieces + piece) * N * N + point) * point_values;
                let (rows, _) = self.forward[at..].as_chunks::<ROWS>();
                let rows = &rows[..channels];
                for (panel, products) in products.chunks_exact_mut(panel_len).enumerate() {
                    let at = (panel * N * N + point) * point_kernels;
                    let columns = &kernels[at..at + channels];
                    let sums = multiply::<S, ROWS>(simd, rows, columns);
                    for (lane, sums) in sums.iter().enumerate() {
                        let to = &mut products[(place * ROWS + lane) * N * N + point];
                        for (to, sum) in to.iter_mut().zip(sums) {
                            *to = if piece == 0 {
                                *sum
                            } else {
                                simd.add_f32s(*to, *sum)
                            };
                        }
                    }
                }
            }
        }
    }

    /// `Aᵀ m A` of a tile, bias and activation.
    #[inline(always)]
    fn put<S: Simd>(&self, simd: S, tile: usize, panel: usize, points: &[Lanes<S>]) {
        let shape = &self.grid.shape;
        let width = VECTORS * S::F32_LANES;
        let column = panel * width;
        let count = width.min(shape.outputs - column);
        let mut pixels = [[[simd.splat_f32s(0.0); VECTORS]; OUT]; OUT];
        for vector in 0..VECTORS {
            let mut values = [[simd.splat_f32s(0.0); N]; N];
            for (value, point) in values.as_flattened_mut().iter_mut().zip(points) {
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

impl<const N: usize, T: Tiling<N>> WithSimd for Outputs<'_, N, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match tile_rows::<S>() {
            MANY_ROWS => self.run::<S, MANY_ROWS>(simd),
            _ => self.run::<S, FEW_ROWS>(simd),
        }
    }
}
