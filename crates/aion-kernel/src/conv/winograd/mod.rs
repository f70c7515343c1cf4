//! Winograd's convolutions (arXiv 1509.09308): a tile of 4 × 4 outputs of a 3 × 3 kernel takes 36
//! products instead of 144. A 7 × 7 kernel is four pieces of 4 × 4, whose products add up before
//! they are turned back into pixels: 196 instead of 784.
//!
//! Kernels are transformed while they are used, a panel of outputs at a time: that costs little beside
//! the products, and transformed kernels would take three to four times the memory, and the time to
//! read it. Tiles of inputs are transformed once for all outputs.

mod kernels;
mod products;
mod tiles;
mod tiling;

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::{ConvShape, Shared};
use crate::activation::Activation;
use crate::aligned::Aligned;
use crate::simd::tile_shape;
pub(crate) use kernels::WinogradWeight;
use products::Outputs;
use tiles::Tiles;
use tiling::{OUT, Taps3, Taps4, Tiling};

/// Memory for transformed tiles: they should stay in the outer caches.
const TILE_BYTES: usize = 8 << 20;
/// Fewest and most tiles whose transforms are held at a time.
const WAVE: [usize; 2] = [48, 240];
/// Panels of outputs that a task works on together, and tasks a thread.
const MOST_PANELS: usize = 2;
const TASKS: usize = 2;

/// Whether the convolution can take this way.
pub(crate) fn is_winograd_shape(shape: &ConvShape) -> bool {
    matches!(
        (shape.kernel, shape.stride, shape.padding),
        (3, 1, 1) | (7, 1, 3)
    ) && shape.inputs >= OUT
}

/// # Shapes
/// `(batch, height, width, inputs)` → `(batch, height, width, outputs)`
pub(crate) fn convolve_winograd(
    input: &[f32],
    weight: &WinogradWeight,
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
    weight: &WinogradWeight,
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
    let mut output = vec![0.0; shape.output_pixels() * shape.outputs];
    let target = Shared(output.as_mut_ptr());
    let arch = Arch::new();
    let rows = tile_shape(arch).rows;
    let pieces = grid.pieces * grid.pieces;
    let tile_values = N * N * pieces * shape.inputs;
    let wave = (TILE_BYTES / (4 * tile_values)).clamp(WAVE[0], WAVE[1]);
    let wave = wave
        .next_multiple_of(rows)
        .min(grid.count().next_multiple_of(rows));
    let mut forward = Aligned::zeros(wave * tile_values);
    for first in (0..grid.count()).step_by(wave) {
        let tiles = first..(first + wave).min(grid.count());
        let forward =
            &mut forward.as_mut_slice()[..tiles.len().next_multiple_of(rows) * tile_values];
        let panels = forward.par_chunks_exact_mut(rows * tile_values).enumerate();
        panels.for_each(|(panel, values)| {
            let start = tiles.start + panel * rows;
            arch.dispatch(Tiles::<N, T>::new(
                input,
                &grid,
                start..(start + rows).min(tiles.end),
                values,
            ));
        });
        let group = weight.len().div_ceil(TASKS * rayon::current_num_threads());
        let group = group.clamp(1, MOST_PANELS);
        let groups = 0..weight.len().div_ceil(group);
        groups.into_par_iter().for_each(|index| {
            let start = index * group;
            arch.dispatch(Outputs::<N, T>::new(
                forward,
                weight,
                start..(start + group).min(weight.len()),
                (&grid, tiles.clone()),
                (bias, activation),
                target,
            ));
        });
    }
    output
}

/// Tiles of a batch of images, and the pieces of a kernel.
struct TileGrid {
    shape: ConvShape,
    down: usize,
    across: usize,
    /// Pieces along the side of a kernel.
    pieces: usize,
}

impl TileGrid {
    fn of<const N: usize, T: Tiling<N>>(shape: &ConvShape) -> Self {
        TileGrid {
            shape: *shape,
            down: shape.height.div_ceil(OUT),
            across: shape.width.div_ceil(OUT),
            pieces: shape.kernel.div_ceil(T::TAPS),
        }
    }

    fn count(&self) -> usize {
        self.shape.batch * self.down * self.across
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
