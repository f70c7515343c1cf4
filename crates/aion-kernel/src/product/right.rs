//! What the right factor of a product can be.

use std::ops::Range;

use pulp::Simd;

use super::Panels;
use super::transpose::transpose;
use crate::simd::{TileShape, VECTORS};

/// The right factor of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Packed beforehand.
    Packed(&'a Panels),
    /// The transpose of a weight `(outputs, inputs)`, packed some panels at a time while it is used:
    /// little work beside that of many rows, and the weight does not stand in memory twice.
    Weight(&'a [f32], [usize; 2]),
    /// The same of two weights: the first half of a panel's columns is of the first.
    Pair([&'a [f32]; 2], [usize; 2]),
}

impl Right<'_> {
    /// Rows of the factor.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Right::Packed(panels) => panels.depth(),
            Right::Weight(_, [_, inputs]) | Right::Pair(_, [_, inputs]) => *inputs,
        }
    }

    /// Columns of the factor, those of both weights of a pair.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Right::Packed(panels) => panels.columns(),
            Right::Weight(_, [outputs, _]) => *outputs,
            Right::Pair(_, [outputs, _]) => 2 * outputs,
        }
    }

    /// Number of panels.
    pub(super) fn panels(&self, tile: TileShape) -> usize {
        match self {
            Right::Packed(panels) => panels.len(),
            Right::Weight(_, [outputs, _]) => outputs.div_ceil(tile.columns),
            Right::Pair(_, [outputs, _]) => outputs.div_ceil(tile.columns / 2),
        }
    }

    /// Values that [`Right::pack`] needs room for.
    pub(super) fn room(&self, panels: usize, depths: usize, width: usize) -> usize {
        match self {
            Right::Packed(_) => 0,
            Right::Weight(..) | Right::Pair(..) => panels * depths * width,
        }
    }

    /// Packs some panels, `(panels, depths, width)`, where they are not packed yet.
    #[inline(always)]
    pub(super) fn pack<S: Simd>(&self, panels: Range<usize>, depths: Range<usize>, to: &mut [f32]) {
        let width = VECTORS * S::F32_LANES;
        let (weights, [outputs, inputs]) = match self {
            Right::Packed(_) => return,
            Right::Weight(weight, shape) => (&[*weight] as &[&[f32]], *shape),
            Right::Pair(pair, shape) => (pair as &[&[f32]], *shape),
        };
        let share = width / weights.len();
        for (panel, to) in panels.zip(to.chunks_exact_mut(depths.len() * width)) {
            for (part, weight) in weights.iter().enumerate() {
                let first = panel * share;
                let rows = first..(first + share).min(outputs);
                let from = &weight[rows.start * inputs..rows.end * inputs];
                transpose::<S>(from, inputs, depths.clone(), &mut to[part * share..], width);
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
            Right::Weight(..) | Right::Pair(..) => {
                let len = depths.len() * width;
                &packed[(panel - first) * len..][..len]
            }
        }
    }
}
