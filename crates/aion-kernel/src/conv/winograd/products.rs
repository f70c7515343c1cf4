//! The products of transformed tiles and kernels, and the way back to pixels.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use pulp::bytemuck::cast_slice_mut;
use pulp::{Simd, WithSimd};

use super::super::Shared;
use super::kernels::WinogradWeight;
use super::tiling::{OUT, Tiling, both_ways};
use super::{Activation, TileGrid};
use crate::aligned::Aligned;
use crate::product::{load, multiply, store};
use crate::simd::{FEW_ROWS, Lanes, MANY_ROWS, VECTORS, tile_rows};

/// Some panels of outputs of some tiles.
pub(super) struct Outputs<'a, const N: usize, T> {
    /// See [`super::tiles::Tiles`], one block after the other.
    forward: &'a [f32],
    weight: &'a WinogradWeight,
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
    /// Transformed kernels and products, kept for the next convolution of the thread.
    static SCRATCH: Cell<[Aligned; 2]> = Cell::default();
}

impl<'a, const N: usize, T: Tiling<N>> Outputs<'a, N, T> {
    pub(super) fn new(
        forward: &'a [f32],
        weight: &'a WinogradWeight,
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
        let channels = self.grid.shape.inputs;
        let width = VECTORS * S::F32_LANES;
        let blocks = self.tiles.len().div_ceil(ROWS);
        let panels = self.panels.len();
        // Not in a closure: what the library calls is not compiled for the machine's vectors.
        let [mut kernels, mut products] = SCRATCH.take();
        let to = kernels.at_least(panels * N * N * channels * width);
        let to: &mut [Lanes<S>] = cast_slice_mut(to);
        let sums = products.at_least(panels * blocks * ROWS * N * N * width);
        let sums: &mut [Lanes<S>] = cast_slice_mut(sums);
        for piece in 0..self.grid.pieces * self.grid.pieces {
            let places = to.chunks_exact_mut(N * N * channels);
            for (panel, to) in self.panels.clone().zip(places) {
                self.weight.transform::<S, N, T>(simd, panel, piece, to);
            }
            self.multiply::<S, ROWS>(simd, piece, to, sums);
        }
        let places = sums.chunks_exact(blocks * ROWS * N * N);
        for (panel, sums) in self.panels.clone().zip(places) {
            for (tile, points) in self.tiles.clone().zip(sums.chunks_exact(N * N)) {
                self.put(simd, tile, panel, points);
            }
        }
        SCRATCH.set([kernels, products]);
    }

    /// Products of a piece, `(panels, tiles, points)`, added to those of the pieces before.
    #[inline(always)]
    fn multiply<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        piece: usize,
        kernels: &[Lanes<S>],
        products: &mut [Lanes<S>],
    ) {
        let channels = self.grid.shape.inputs;
        let pieces = self.grid.pieces * self.grid.pieces;
        let (forward, _) = self.forward.as_chunks::<ROWS>();
        let panel_len = products.len() / self.panels.len();
        for point in 0..N * N {
            for block in 0..self.tiles.len().div_ceil(ROWS) {
                let at = ((block * pieces + piece) * N * N + point) * channels;
                let rows = &forward[at..at + channels];
                for (panel, products) in products.chunks_exact_mut(panel_len).enumerate() {
                    let at = (panel * N * N + point) * channels;
                    let columns = &kernels[at..at + channels];
                    let sums = multiply::<S, ROWS>(simd, rows, columns);
                    for (lane, sums) in sums.iter().enumerate() {
                        let to = &mut products[(block * ROWS + lane) * N * N + point];
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
                let mut pixel: Lanes<S> = std::array::from_fn(|v| simd.add_f32s(pixel[v], bias[v]));
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
