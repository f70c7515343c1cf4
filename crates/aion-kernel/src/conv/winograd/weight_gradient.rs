//! The gradient of a convolution's weight, in tiles: the convolution's steps backwards. With
//! `Y = Aᵀ (U ∘ V) A`, `dU` is the sum over tiles of `(A dY Aᵀ) ∘ V`, and the kernel's is `Gᵀ dU G`.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::super::ConvShape;
use super::TileGrid;
use super::tiles::{Window, no_tiles};
use super::tiling::{MAX_TAPS, OUT, Taps3, Taps4, Tiling, both_ways};
use crate::aligned::Aligned;
use crate::memory::Shared;
use crate::product::{load, multiply};
use crate::simd::{InTiles, Lanes, OnTiles, VECTORS, tile_rows, tile_shape};

/// Memory for transformed inputs, and the fewest tiles that it takes.
const INPUT_BYTES: usize = 16 << 20;
const LEAST_TILES: usize = 48;
/// Tiles of rows of outputs that are transformed together: whole vectors on every machine.
const GROUP: usize = 8;

thread_local! {
    /// Transformed inputs and gradients, kept for the next gradient that the thread begins.
    static SCRATCH: Cell<[Aligned; 2]> = Cell::default();
}

/// # Shapes
/// input `(batch, height, width, inputs)`, gradient of the output `(batch, height, width, outputs)` →
/// `(outputs, inputs, k, k)`
pub(crate) fn winograd_weight_gradient(
    input: &[f32],
    gradient: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    match shape.kernel {
        3 => run::<6, Taps3>(input, gradient, shape),
        _ => run::<7, Taps4>(input, gradient, shape),
    }
}

fn run<const N: usize, T: Tiling<N>>(
    input: &[f32],
    gradient: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let grid = TileGrid::of::<N, T>(shape);
    assert_eq!(
        input.len(),
        grid.shape.batch * shape.height * shape.width * shape.inputs
    );
    assert_eq!(gradient.len(), shape.output_pixels() * shape.outputs);
    let arch = Arch::new();
    let tile = tile_shape(arch);
    let pieces = grid.pieces();
    let panels = shape.inputs.div_ceil(tile.columns);
    let groups = shape.outputs.div_ceil(GROUP * tile.rows);
    let of_input = N * N * pieces * panels * tile.columns;
    let of_output = N * N * groups * GROUP * tile.rows;
    let wave = (INPUT_BYTES / (4 * of_input))
        .max(LEAST_TILES)
        .min(grid.count());
    let [mut kept_inputs, mut kept_outputs] = SCRATCH.take();
    let inputs = kept_inputs.at_least(wave * of_input);
    let outputs = kept_outputs.at_least(wave * of_output);
    let mut weight = vec![0.0; shape.outputs * shape.inputs * shape.kernel * shape.kernel];
    let target = Shared(weight.as_mut_ptr());
    for first in (0..grid.count()).step_by(wave) {
        let tiles = first..(first + wave).min(grid.count());
        let inputs = &mut inputs[..tiles.len() * of_input];
        let chunk = inputs.len() / panels;
        inputs
            .par_chunks_exact_mut(chunk)
            .enumerate()
            .for_each(|(panel, to)| {
                arch.dispatch(Inputs::<N, T> {
                    input,
                    grid: &grid,
                    tiles: tiles.clone(),
                    panel,
                    to,
                    tiling: PhantomData,
                });
            });
        let outputs = &mut outputs[..tiles.len() * of_output];
        let chunk = outputs.len() / groups;
        outputs
            .par_chunks_exact_mut(chunk)
            .enumerate()
            .for_each(|(group, to)| {
                arch.dispatch(Gradients::<N, T> {
                    gradient,
                    grid: &grid,
                    tiles: tiles.clone(),
                    group,
                    to,
                    tiling: PhantomData,
                });
            });
        let (inputs, outputs): (&[f32], &[f32]) = (inputs, outputs);
        (0..panels * pieces).into_par_iter().for_each(|task| {
            arch.dispatch(InTiles(Kernels::<N, T> {
                inputs,
                outputs,
                grid: &grid,
                tiles: tiles.len(),
                panel: task / pieces,
                piece: task % pieces,
                target,
                tiling: PhantomData,
            }));
        });
    }
    SCRATCH.set([kept_inputs, kept_outputs]);
    weight
}

/// `Bᵀ d B` of a panel of input channels: `(pieces, points, tiles, channels of the panel)`.
struct Inputs<'a, const N: usize, T> {
    input: &'a [f32],
    grid: &'a TileGrid,
    tiles: Range<usize>,
    panel: usize,
    to: &'a mut [f32],
    tiling: PhantomData<T>,
}

impl<const N: usize, T: Tiling<N>> WithSimd for Inputs<'_, N, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = VECTORS * S::F32_LANES;
        let start = self.panel * width;
        let count = width.min(self.grid.shape.inputs - start);
        let tiles = self.tiles.len();
        let to: &mut [Lanes<S>] = cast_slice_mut(self.to);
        let mut points = [[simd.splat_f32s(0.0); N]; N];
        for (piece, to) in to.chunks_exact_mut(N * N * tiles).enumerate() {
            let shift = [
                piece / self.grid.pieces_a_side * OUT,
                piece % self.grid.pieces_a_side * OUT,
            ];
            for (place, tile) in self.tiles.clone().enumerate() {
                let window = Window::new::<N>(self.grid, tile, shift);
                let mut read = no_tiles::<S, N>(simd);
                window.read::<S, N>(simd, self.input, start, count, &mut read);
                for (vector, read) in read.iter().enumerate() {
                    both_ways(simd, &T::INPUT, read, &mut points);
                    let points = points.as_flattened().iter();
                    for (to, point) in to.chunks_exact_mut(tiles).zip(points) {
                        to[place][vector] = *point;
                    }
                }
            }
        }
    }
}

/// `A dY Aᵀ` of a group of outputs: `(tiles of rows, points, tiles, rows)`, zeros after the last output.
struct Gradients<'a, const N: usize, T> {
    gradient: &'a [f32],
    grid: &'a TileGrid,
    tiles: Range<usize>,
    group: usize,
    to: &'a mut [f32],
    tiling: PhantomData<T>,
}

impl<const N: usize, T: Tiling<N>> WithSimd for Gradients<'_, N, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (rows, width) = (tile_rows::<S>(), VECTORS * S::F32_LANES);
        let shape = &self.grid.shape;
        let tiles = self.tiles.len();
        let mut points = [[simd.splat_f32s(0.0); N]; N];
        for (place, tile) in self.tiles.clone().enumerate() {
            let (image, [top, left]) = self.grid.place(tile);
            for start in (0..GROUP * rows).step_by(width) {
                let first = self.group * GROUP * rows + start;
                let count = width.min(shape.outputs.saturating_sub(first));
                let mut pixels = [[[simd.splat_f32s(0.0); OUT]; OUT]; VECTORS];
                for (y, line) in (top..shape.height.min(top + OUT)).enumerate() {
                    for (x, column) in (left..shape.width.min(left + OUT)).enumerate() {
                        let at = (image * shape.height + line) * shape.width + column;
                        let values = &self.gradient[at * shape.outputs..][..shape.outputs];
                        let values = &values[first.min(shape.outputs)..][..count];
                        for (pixels, lanes) in pixels.iter_mut().zip(load(simd, values)) {
                            pixels[y][x] = lanes;
                        }
                    }
                }
                for (vector, pixels) in pixels.iter().enumerate() {
                    both_ways(simd, &T::OUTPUT_BACK, pixels, &mut points);
                    for (point, lanes) in points.as_flattened().iter().enumerate() {
                        let lanes = std::slice::from_ref(lanes);
                        let lanes: &[f32] = cast_slice(lanes);
                        for (row, value) in (start + vector * S::F32_LANES..).zip(lanes) {
                            let at = (row / rows * N * N + point) * tiles + place;
                            self.to[at * rows + row % rows] = *value;
                        }
                    }
                }
            }
        }
    }
}

/// `Gᵀ dU G` of a panel of inputs and a piece of the kernel, added to the weight's gradient.
struct Kernels<'a, const N: usize, T> {
    inputs: &'a [f32],
    outputs: &'a [f32],
    grid: &'a TileGrid,
    tiles: usize,
    panel: usize,
    piece: usize,
    /// `(outputs, inputs, k, k)`
    target: Shared,
    tiling: PhantomData<T>,
}

impl<const N: usize, T: Tiling<N>> OnTiles for Kernels<'_, N, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let pieces = self.grid.pieces();
        let inputs: &[Lanes<S>] = cast_slice(self.inputs);
        let at = (self.panel * pieces + self.piece) * N * N * self.tiles;
        let inputs = &inputs[at..at + N * N * self.tiles];
        let (outputs, _) = self.outputs.as_chunks::<ROWS>();
        let mut sums = vec![[[simd.splat_f32s(0.0); VECTORS]; ROWS]; N * N];
        let tiles_of_rows = self.grid.shape.outputs.div_ceil(ROWS);
        let outputs = outputs.chunks_exact(N * N * self.tiles).take(tiles_of_rows);
        for (tile, outputs) in outputs.enumerate() {
            let factors = outputs
                .chunks_exact(self.tiles)
                .zip(inputs.chunks_exact(self.tiles));
            for (sums, (outputs, inputs)) in sums.iter_mut().zip(factors) {
                *sums = multiply::<S, ROWS>(simd, outputs, inputs);
            }
            let rows = tile * ROWS..((tile + 1) * ROWS).min(self.grid.shape.outputs);
            for (lane, output) in rows.enumerate() {
                self.put::<S, ROWS>(simd, &sums, lane, output);
            }
        }
    }
}

impl<const N: usize, T: Tiling<N>> Kernels<'_, N, T> {
    /// Turns the sums of an output back into kernels.
    #[inline(always)]
    fn put<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        sums: &[[Lanes<S>; ROWS]],
        lane: usize,
        output: usize,
    ) {
        let ConvShape { inputs, kernel, .. } = self.grid.shape;
        let width = VECTORS * S::F32_LANES;
        let first = self.panel * width;
        let count = width.min(inputs - first);
        let corner = [
            self.piece / self.grid.pieces_a_side,
            self.piece % self.grid.pieces_a_side,
        ];
        let corner = [corner[0] * T::TAPS, corner[1] * T::TAPS];
        let mut halves = [[[simd.splat_f32s(0.0); MAX_TAPS]; MAX_TAPS]; VECTORS];
        let mut points = [[simd.splat_f32s(0.0); N]; N];
        for (vector, half) in halves.iter_mut().enumerate() {
            for (point, sums) in points.as_flattened_mut().iter_mut().zip(sums) {
                *point = sums[lane][vector];
            }
            both_ways(simd, &T::KERNEL_BACK, &points, half);
        }
        let [low, high] = &halves;
        for y in 0..T::TAPS.min(kernel - corner[0]) {
            for x in 0..T::TAPS.min(kernel - corner[1]) {
                let lanes = [low[y][x], high[y][x]];
                let lanes: &[f32] = cast_slice(&lanes);
                let tap = (corner[0] + y) * kernel + corner[1] + x;
                for (input, value) in (first..first + count).zip(lanes) {
                    let at = (output * inputs + input) * kernel * kernel + tap;
                    // SAFETY: output, input and tap are those of the weight, and no other task has
                    // this panel of inputs and this piece of the kernel.
                    unsafe { *self.target.0.add(at) += value };
                }
            }
        }
    }
}
