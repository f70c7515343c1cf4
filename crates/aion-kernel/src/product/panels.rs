//! The right factor of a product, laid out as the tiles read it.

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::simd::{TileShape, tile_shape};

/// A matrix that is read some columns of a row at a time.
pub(crate) trait Rows: Sync {
    /// Copies those columns of a row.
    fn copy(&self, row: usize, columns: Range<usize>, to: &mut [f32]);
}

/// `(columns / width, depth, width)`, zeros after the last column; a panel is as wide as a tile.
#[derive(Debug)]
pub(crate) struct Panels {
    values: Aligned,
    depth: usize,
    /// Columns, those of both factors of a gated product.
    columns: usize,
    tile: TileShape,
}

impl Panels {
    /// From a matrix `(depth, columns)` with the distances between its rows and its columns.
    pub(crate) fn new(values: &[f32], shape: [usize; 2], strides: [usize; 2]) -> Self {
        let width = tile_shape(Arch::new()).columns;
        Self::filled(shape, |panel, to| {
            let columns = panel * width..((panel + 1) * width).min(shape[1]);
            copy_columns(values, strides, columns, to, width);
        })
    }

    /// From two matrices of one shape: the first half of a panel's columns is of the first.
    #[cfg(test)]
    pub(crate) fn paired(pair: [&[f32]; 2], shape: [usize; 2], strides: [usize; 2]) -> Self {
        let width = tile_shape(Arch::new()).columns;
        let half = width / 2;
        let columns = shape[1];
        let mut panels = Self::filled([shape[0], columns.div_ceil(half) * width], |panel, to| {
            let columns = panel * half..((panel + 1) * half).min(columns);
            for (values, place) in pair.iter().zip([0, half]) {
                copy_columns(values, strides, columns.clone(), &mut to[place..], width);
            }
        });
        panels.columns = 2 * columns;
        panels
    }

    /// From rows that are read piece by piece.
    pub(crate) fn of_rows(depth: usize, columns: usize, rows: &impl Rows) -> Self {
        let width = tile_shape(Arch::new()).columns;
        Self::filled([depth, columns], |panel, to| {
            let columns = panel * width..((panel + 1) * width).min(columns);
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                rows.copy(row, columns.clone(), &mut to[..columns.len()]);
            }
        })
    }

    fn filled([depth, columns]: [usize; 2], fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let tile = tile_shape(Arch::new());
        let mut values = Aligned::zeros(columns.div_ceil(tile.columns) * depth * tile.columns);
        let panel = (depth * tile.columns).max(1);
        let panels = values
            .as_mut_slice()
            .par_chunks_exact_mut(panel)
            .enumerate();
        panels.for_each(|(panel, to)| fill(panel, to));
        Panels {
            values,
            depth,
            columns,
            tile,
        }
    }

    /// Rows of the factor.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the factor.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Number of panels.
    pub(crate) fn len(&self) -> usize {
        self.values.as_slice().len() / (self.depth * self.tile.columns).max(1)
    }

    /// Depths `depth` of a panel, `(depths, width)`.
    pub(super) fn panel(&self, panel: usize, depth: Range<usize>) -> &[f32] {
        let width = self.tile.columns;
        let start = panel * self.depth * width;
        &self.values.as_slice()[start + depth.start * width..start + depth.end * width]
    }
}

/// Columns of a matrix to places `width` apart.
fn copy_columns(
    values: &[f32],
    [row, column]: [usize; 2],
    columns: Range<usize>,
    to: &mut [f32],
    width: usize,
) {
    if column == 1 {
        for (depth, to) in to.chunks_mut(width).enumerate() {
            let from = &values[depth * row..][columns.clone()];
            to[..from.len()].copy_from_slice(from);
        }
        return;
    }
    for (place, from) in columns.enumerate() {
        let from = values[from * column..].iter().step_by(row);
        for (to, from) in to.chunks_mut(width).zip(from) {
            to[place] = *from;
        }
    }
}
