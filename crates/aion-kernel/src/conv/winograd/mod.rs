//! Winograd's convolutions (arXiv 1509.09308): a tile of 4 × 4 outputs of a 3 × 3 kernel takes 36
//! products instead of 144. A 7 × 7 kernel is four pieces of 4 × 4, whose products add up before
//! they are turned back into pixels: 196 instead of 784.
//!
//! Kernels are transformed while they are used, a panel of outputs at a time: that costs little beside
//! the products, and transformed kernels would take three to four times the memory, and the time to
//! read it. Tiles of inputs are transformed once for all outputs, for one piece of the kernel at a time: those
//! of four pieces would not fit in the outer caches.

mod kernels;
mod products;
mod tiles;
mod tiling;
mod weight_gradient;

use std::cell::Cell;
use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::ConvShape;
use crate::activation::Activation;
use crate::aligned::{Aligned, LINE};
use crate::memory::{Shared, filled};
use crate::simd::{InTiles, TileShape, tile_shape};
pub(crate) use kernels::WinogradWeight;
use products::Outputs;
use tiles::Tiles;
use tiling::{OUT, Taps3, Taps4, Tiling};
pub(crate) use weight_gradient::winograd_weight_gradient;

/// Channels below which patches are faster: transforms cost as much a channel as many products.
const LEAST_INPUTS: usize = 16;
/// Memory for transformed tiles: they should stay in the outer caches.
const TILE_BYTES: usize = 8 << 20;
/// Fewest and most tiles whose transforms are held at a time.
const WAVE: [usize; 2] = [96, 144];

thread_local! {
    /// Transformed tiles, and sums between pieces, kept for the next convolution that the thread begins.
    static KEPT: Cell<[Aligned; 2]> = Cell::default();
}

/// Whether the convolution can take this way, and has channels enough that it pays.
pub(crate) fn is_winograd_shape(shape: &ConvShape) -> bool {
    matches!(
        (shape.kernel, shape.stride, shape.padding),
        (3, 1, 1) | (7, 1, 3)
    ) && shape.inputs >= LEAST_INPUTS
}

/// # Shapes
/// `(batch, height, width, inputs)` → `(batch, height, width, outputs)`
pub(crate) fn convolve_winograd(
    input: &[f32],
    weight: WinogradWeight<'_>,
    bias: Option<&[f32]>,
    shape: &ConvShape,
    activation: Activation,
) -> Vec<f32> {
    match shape.kernel {
        3 => convolve::<6, Taps3>(input, weight, bias, shape, activation),
        _ => convolve::<7, Taps4>(input, weight, bias, shape, activation),
    }
}

fn convolve<const N: usize, T: Tiling<N>>(
    input: &[f32],
    weight: WinogradWeight<'_>,
    bias: Option<&[f32]>,
    shape: &ConvShape,
    activation: Activation,
) -> Vec<f32> {
    assert_eq!(
        input.len(),
        shape.batch * shape.height * shape.width * shape.inputs
    );
    assert!(bias.is_none_or(|bias| bias.len() == shape.outputs));
    let grid = TileGrid::of::<N, T>(shape);
    // SAFETY: the tiles cover all pixels, and the panels all outputs.
    unsafe {
        filled(shape.output_pixels() * shape.outputs, |target| {
            convolve_to::<N, T>(input, weight, bias, &grid, activation, target);
        })
    }
}

fn convolve_to<const N: usize, T: Tiling<N>>(
    input: &[f32],
    weight: WinogradWeight<'_>,
    bias: Option<&[f32]>,
    grid: &TileGrid,
    activation: Activation,
    target: Shared,
) {
    let arch = Arch::new();
    let TileShape { rows, columns } = tile_shape(arch);
    let block = N * N * grid.point_values(rows);
    let panels = weight.panels(columns);
    let wave = (TILE_BYTES / (4 * block)).clamp(WAVE[0].div_ceil(rows), WAVE[1].div_ceil(rows));
    let [mut kept, mut kept_sums] = KEPT.take();
    for first in (0..grid.count()).step_by(wave * rows) {
        let tiles = first..(first + wave * rows).min(grid.count());
        let blocks = tiles.len().div_ceil(rows);
        let forward = kept.at_least(blocks * block);
        let between = (grid.pieces() > 1).then(|| {
            let sums = panels * N * N * blocks * rows * columns;
            Shared(kept_sums.at_least(sums).as_mut_ptr())
        });
        for piece in 0..grid.pieces() {
            let places = forward.par_chunks_exact_mut(block).enumerate();
            places.for_each(|(place, values)| {
                let start = tiles.start + place * rows;
                let tiles = start..(start + rows).min(tiles.end);
                let tiles = Tiles::<N, T>::new(input, grid, piece, tiles, values);
                arch.dispatch(InTiles(tiles));
            });
            (0..panels).into_par_iter().for_each(|panel| {
                arch.dispatch(InTiles(Outputs::<N, T>::new(
                    forward,
                    (weight, panel, piece),
                    (grid, tiles.clone()),
                    (bias, activation),
                    (between, target),
                )));
            });
        }
    }
    KEPT.set([kept, kept_sums]);
}

/// Tiles of a batch of images, and the pieces of a kernel.
struct TileGrid {
    shape: ConvShape,
    down: usize,
    across: usize,
    /// Pieces along the side of a kernel.
    pieces_a_side: usize,
}

impl TileGrid {
    fn of<const N: usize, T: Tiling<N>>(shape: &ConvShape) -> Self {
        TileGrid {
            shape: *shape,
            down: shape.height.div_ceil(OUT),
            across: shape.width.div_ceil(OUT),
            pieces_a_side: shape.kernel.div_ceil(T::TAPS),
        }
    }

    fn count(&self) -> usize {
        self.shape.batch * self.down * self.across
    }

    /// Values of a point of a block of as many tiles as a tile of the product has rows. An odd number
    /// of cache lines: powers of two between points would let them share few places in the caches.
    fn point_values(&self, rows: usize) -> usize {
        ((self.shape.inputs * rows).div_ceil(LINE) | 1) * LINE
    }

    /// Pieces of a kernel.
    fn pieces(&self) -> usize {
        self.pieces_a_side * self.pieces_a_side
    }

    /// Image, and the first row and column of a tile's outputs.
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let (image, rest) = (
            tile / (self.down * self.across),
            tile % (self.down * self.across),
        );
        (image, [rest / self.across * OUT, rest % self.across * OUT])
    }

    /// Which of `count` places from `start` on lie inside an axis of `size`, after a border of zeros.
    fn inside(&self, start: usize, count: usize, size: usize) -> Range<usize> {
        let padding = self.shape.padding;
        let first = padding.saturating_sub(start).min(count);
        let last = (size + padding).saturating_sub(start).min(count);
        first..last.max(first)
    }
}
