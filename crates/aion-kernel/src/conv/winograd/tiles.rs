//! Tiles of inputs, transformed and laid out as the left factor of the products.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};

use super::TileGrid;
use super::tiling::{OUT, Tiling, both_ways};

/// `Bᵀ d B` of as many tiles as a tile of the product has rows:
/// `(pieces, points, inputs, tiles)`, any values where there is no tile.
pub(super) struct Tiles<'a, const N: usize, T> {
    /// `(batch, height, width, inputs)`
    input: &'a [f32],
    grid: &'a TileGrid,
    tiles: Range<usize>,
    values: &'a mut [f32],
    tiling: PhantomData<T>,
}

impl<'a, const N: usize, T: Tiling<N>> Tiles<'a, N, T> {
    pub(super) fn new(
        input: &'a [f32],
        grid: &'a TileGrid,
        tiles: Range<usize>,
        values: &'a mut [f32],
    ) -> Self {
        Tiles {
            input,
            grid,
            tiles,
            values,
            tiling: PhantomData,
        }
    }
}

impl<const N: usize, T: Tiling<N>> WithSimd for Tiles<'_, N, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.grid.shape.inputs;
        let pieces = self.grid.pieces;
        let rows = self.values.len() / (pieces * pieces * N * N * channels);
        let pieces_of = self.values.chunks_exact_mut(N * N * channels * rows);
        for (piece, values) in pieces_of.enumerate() {
            let shift = [piece / pieces * OUT, piece % pieces * OUT];
            for (lane, tile) in self.tiles.clone().enumerate() {
                let window = Window::new::<N>(self.grid, tile, shift);
                for start in (0..channels).step_by(S::F32_LANES) {
                    let count = S::F32_LANES.min(channels - start);
                    let tile = window.read::<S, N>(simd, self.input, start, count);
                    let points = both_ways(simd, &T::INPUT, &tile);
                    let points = points.as_flattened();
                    for (point, lanes) in points.iter().enumerate() {
                        let lanes = std::slice::from_ref(lanes);
                        let lanes: &[f32] = cast_slice(lanes);
                        let at = (point * channels + start) * rows + lane;
                        let to = values[at..].iter_mut().step_by(rows);
                        for (to, value) in to.zip(&lanes[..count]) {
                            *to = *value;
                        }
                    }
                }
            }
        }
    }
}

/// The inputs under a tile: zeros outside the image.
struct Window {
    /// Which rows and columns of the window lie inside the image.
    rows: Range<usize>,
    columns: Range<usize>,
    /// Pixel under the first of those, and pixels of a row.
    first: usize,
    width: usize,
    channels: usize,
}

impl Window {
    fn new<const N: usize>(grid: &TileGrid, tile: usize, shift: [usize; 2]) -> Self {
        let shape = &grid.shape;
        let (image, place) = grid.place(tile);
        let [y, x] = [place[0] + shift[0], place[1] + shift[1]];
        let rows = grid.inside(y, N, shape.height);
        let columns = grid.inside(x, N, shape.width);
        let top = (y + rows.start).saturating_sub(shape.padding);
        let left = (x + columns.start).saturating_sub(shape.padding);
        Window {
            rows,
            columns,
            first: (image * shape.height + top) * shape.width + left,
            width: shape.width,
            channels: shape.inputs,
        }
    }

    /// `count` channels from `start` on.
    #[inline(always)]
    fn read<S: Simd, const N: usize>(
        &self,
        simd: S,
        input: &[f32],
        start: usize,
        count: usize,
    ) -> [[S::f32s; N]; N] {
        let mut tile = [[simd.splat_f32s(0.0); N]; N];
        for (line, row) in self.rows.clone().enumerate() {
            for (place, column) in self.columns.clone().enumerate() {
                let pixel = self.first + line * self.width + place;
                let values = &input[pixel * self.channels + start..][..count];
                tile[row][column] = match cast_slice::<f32, S::f32s>(whole::<S>(values)) {
                    [values] => *values,
                    _ => {
                        let mut lanes = [simd.splat_f32s(0.0)];
                        cast_slice_mut(&mut lanes)[..count].copy_from_slice(values);
                        lanes[0]
                    }
                };
            }
        }
        tile
    }
}

/// The values, if they fill a vector.
#[inline(always)]
fn whole<S: Simd>(values: &[f32]) -> &[f32] {
    if values.len() == S::F32_LANES {
        values
    } else {
        &[]
    }
}
