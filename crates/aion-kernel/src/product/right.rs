//! What the right factor of a product can be.

use std::ops::Range;

use pulp::Simd;

use super::Panels;
use super::transpose::transpose;
use crate::narrow::NarrowMatrix;
use crate::simd::{TileShape, VECTORS};

/// A weight `(outputs, inputs)` as it stands in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored<'a> {
    /// In single precision.
    Full(&'a [f32]),
    /// In fewer bits, widened while they are packed.
    Narrow(&'a NarrowMatrix),
}

impl<'a> From<&'a [f32]> for Stored<'a> {
    fn from(values: &'a [f32]) -> Self {
        Stored::Full(values)
    }
}

impl Stored<'_> {
    /// Columns `depths` of some rows, each of `inputs` columns, to places `width` apart.
    #[inline(always)]
    fn transpose<S: Simd>(
        &self,
        rows: Range<usize>,
        inputs: usize,
        depths: Range<usize>,
        to: &mut [f32],
        width: usize,
    ) {
        match self {
            Stored::Full(values) => {
                let from = &values[rows.start * inputs..rows.end * inputs];
                transpose::<S>(from, inputs, depths, to, width);
            }
            Stored::Narrow(matrix) => matrix.transpose(rows, depths, to, width),
        }
    }
}

/// The right factor of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Packed beforehand.
    Packed(&'a Panels),
    /// A matrix `(depth, columns)`, packed some panels at a time while it is used.
    Plain(&'a [f32], [usize; 2]),
    /// The transpose of a weight `(outputs, inputs)`, packed some panels at a time while it is used:
    /// little work beside that of many rows, and the weight does not stand in memory twice.
    Weight(Stored<'a>, [usize; 2]),
    /// The same of two weights: the first half of a panel's columns is of the first.
    Pair([Stored<'a>; 2], [usize; 2]),
}

impl Right<'_> {
    /// Rows of the factor.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Right::Packed(panels) => panels.depth(),
            Right::Plain(_, [depth, _]) => *depth,
            Right::Weight(_, [_, inputs]) | Right::Pair(_, [_, inputs]) => *inputs,
        }
    }

    /// Columns of the factor, those of both weights of a pair.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Right::Packed(panels) => panels.columns(),
            Right::Plain(_, [_, columns]) => *columns,
            Right::Weight(_, [outputs, _]) => *outputs,
            Right::Pair(_, [outputs, _]) => 2 * outputs,
        }
    }

    /// Number of panels.
    pub(super) fn panels(&self, tile: TileShape) -> usize {
        match self {
            Right::Packed(panels) => panels.len(),
            Right::Plain(_, [_, columns]) => columns.div_ceil(tile.columns),
            Right::Weight(_, [outputs, _]) => outputs.div_ceil(tile.columns),
            Right::Pair(_, [outputs, _]) => outputs.div_ceil(tile.columns / 2),
        }
    }

    /// Values that [`Right::pack`] needs room for.
    pub(super) fn room(&self, panels: usize, depths: usize, width: usize) -> usize {
        match self {
            Right::Packed(_) => 0,
            Right::Plain(..) | Right::Weight(..) | Right::Pair(..) => panels * depths * width,
        }
    }

    /// Packs some panels, `(panels, depths, width)`, where they are not packed yet.
    #[inline(always)]
    pub(super) fn pack<S: Simd>(&self, panels: Range<usize>, depths: Range<usize>, to: &mut [f32]) {
        let width = VECTORS * S::F32_LANES;
        let (weights, [outputs, inputs]) = match self {
            Right::Packed(_) => return,
            Right::Plain(values, [_, columns]) => {
                for (panel, to) in panels.zip(to.chunks_exact_mut(depths.len() * width)) {
                    let first = panel * width;
                    let whole = first + width <= *columns;
                    for (to, depth) in to.chunks_exact_mut(width).zip(depths.clone()) {
                        let from = &values[depth * columns + first..(depth + 1) * columns];
                        if whole {
                            // Of a length that the compiler knows: a few moves, and no call.
                            to.copy_from_slice(&from[..width]);
                        } else {
                            to[..from.len()].copy_from_slice(from);
                        }
                    }
                }
                return;
            }
            Right::Weight(weight, shape) => (std::slice::from_ref(weight), *shape),
            Right::Pair(pair, shape) => (pair.as_slice(), *shape),
        };
        let share = width / weights.len();
        for (panel, to) in panels.zip(to.chunks_exact_mut(depths.len() * width)) {
            for (part, weight) in weights.iter().enumerate() {
                let first = panel * share;
                let rows = first..(first + share).min(outputs);
                let to = &mut to[part * share..];
                weight.transpose::<S>(rows, inputs, depths.clone(), to, width);
            }
        }
    }

    /// A panel's depths `depths`, `(depths, width)`; `packed` is what [`Right::pack`] made of the
    /// panels from `first` on.
    #[inline(always)]
    pub(super) fn panel<'s>(
        &'s self,
        panel: usize,
        first: usize,
        depths: Range<usize>,
        packed: &'s [f32],
        width: usize,
    ) -> &'s [f32] {
        match self {
            Right::Packed(panels) => panels.panel(panel, depths),
            Right::Plain(..) | Right::Weight(..) | Right::Pair(..) => {
                let len = depths.len() * width;
                &packed[(panel - first) * len..][..len]
            }
        }
    }
}
