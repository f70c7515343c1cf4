//! Tiles of inputs, transformed and laid out as the left factor of the products.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::Simd;
use pulp::bytemuck::cast_slice;

use super::TileGrid;
use super::tiling::{OUT, Tiling, both_ways};
use crate::product::load;
use crate::simd::{OnTiles, VECTORS};

/// `Bᵀ d B` of as many tiles as a tile of the product has rows, for a piece of the kernel:
/// `(points, inputs, tiles)`, any values where there is no tile.
pub(super) struct Tiles<'a, const N: usize, T> {
    /// `(batch, height, width, inputs)`
    input: &'a [f32],
    grid: &'a TileGrid,
    piece: usize,
    tiles: Range<usize>,
    values: &'a mut [f32],
    tiling: PhantomData<T>,
}

impl<'a, const N: usize, T: Tiling<N>> Tiles<'a, N, T> {
    pub(super) fn new(
        input: &'a [f32],
        grid: &'a TileGrid,
        piece: usize,
        tiles: Range<usize>,
        values: &'a mut [f32],
    ) -> Self {
        Tiles {
            input,
            grid,
            piece,
            tiles,
            values,
            tiling: PhantomData,
        }
    }
}

impl<const N: usize, T: Tiling<N>> OnTiles for Tiles<'_, N, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let channels = self.grid.shape.inputs;
        let a_side = self.grid.pieces_a_side;
        let width = VECTORS * S::F32_LANES;
        let point_values = self.grid.point_values(ROWS);
        let shift = [self.piece / a_side * OUT, self.piece % a_side * OUT];
        let mut points = no_tiles::<S, N>(simd);
        for (lane, tile) in self.tiles.clone().enumerate() {
            let window = Window::new::<N>(self.grid, tile, shift);
            let mut tile = no_tiles::<S, N>(simd);
            for start in (0..channels).step_by(width) {
                let count = width.min(channels - start);
                window.read::<S, N>(simd, self.input, start, count, &mut tile);
                // Loops, not closures: those may be compiled without the machine's vectors.
                for (points, tile) in points.iter_mut().zip(&tile) {
                    both_ways(simd, &T::INPUT, tile, points);
                }
                let [first, second] = &points;
                let points = first.as_flattened().iter().zip(second.as_flattened());
                let to = self.values.chunks_exact_mut(point_values);
                for (to, (first, second)) in to.zip(points) {
                    let lanes = [*first, *second];
                    let lanes: &[f32] = cast_slice(&lanes);
                    let to = &mut to.as_chunks_mut::<ROWS>().0[start..start + count];
                    for (to, value) in to.iter_mut().zip(lanes) {
                        to[lane] = *value;
                    }
                }
            }
        }
    }
}

/// A tile of zeros a vector.
#[inline(always)]
pub(super) fn no_tiles<S: Simd, const N: usize>(simd: S) -> [[[S::f32s; N]; N]; VECTORS] {
    [[[simd.splat_f32s(0.0); N]; N]; VECTORS]
}

/// The inputs under a tile.
pub(super) struct Window {
    /// Which rows and columns of the window lie inside the image.
    rows: Range<usize>,
    columns: Range<usize>,
    /// Pixel under the first of those, and pixels of a row.
    first: usize,
    width: usize,
    channels: usize,
}

impl Window {
    pub(super) fn new<const N: usize>(grid: &TileGrid, tile: usize, shift: [usize; 2]) -> Self {
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

    /// `count` channels from `start` on, a tile a vector of them; what lies outside the image stays as it is.
    #[inline(always)]
    pub(super) fn read<S: Simd, const N: usize>(
        &self,
        simd: S,
        input: &[f32],
        start: usize,
        count: usize,
        tiles: &mut [[[S::f32s; N]; N]; VECTORS],
    ) {
        for (line, row) in self.rows.clone().enumerate() {
            for (place, column) in self.columns.clone().enumerate() {
                let pixel = self.first + line * self.width + place;
                let values = &input[pixel * self.channels + start..][..count];
                for (tile, lanes) in tiles.iter_mut().zip(load(simd, values)) {
                    tile[row][column] = lanes;
                }
            }
        }
    }
}
