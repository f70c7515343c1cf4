//! One head of some rows, packed as tiles read it.
//!
//! A tile multiplies a few values of one factor (its width) by two vectors of the other, one depth
//! after the other. Where the depth is the head's, [`Head::across`] serves, for the values as for
//! the vectors; where it is rows, [`Head::along`]. Room after the last row or column is zeros.

use std::ops::Range;

use super::plan::Rows;
use crate::simd::prefetch;

/// How many rows before they are read or written they are asked for.
pub(super) const AHEAD: usize = 8;

/// One head of a matrix `(rows, heads · head_dim)`.
#[derive(Clone)]
pub(super) struct Head<'a> {
    pub rows: Rows<'a>,
    pub columns: Range<usize>,
}

impl Head<'_> {
    /// The head's values of a row.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[f32] {
        let (values, stride) = self.rows;
        &values[row * stride..][self.columns.clone()]
    }

    /// A head is a small part of a row, and what machines expect by themselves is the rest of it.
    #[inline(always)]
    fn prefetch(&self, row: usize) {
        let (values, stride) = self.rows;
        let start = values
            .as_ptr()
            .wrapping_add(row * stride + self.columns.start);
        prefetch(start, self.columns.len());
    }

    /// Rows times `scale`, `width` of them side by side: `(rows / width, head_dim, width)`.
    #[inline(always)]
    pub(super) fn across(&self, rows: Range<usize>, width: usize, scale: f32, to: &mut [f32]) {
        let depth = self.columns.len();
        for (to, start) in to
            .chunks_exact_mut(depth * width)
            .zip(rows.clone().step_by(width))
        {
            let rows = start..(start + width).min(rows.end);
            if rows.len() < width {
                to.fill(0.0);
            }
            for (lane, row) in rows.enumerate() {
                self.prefetch(row + AHEAD);
                for (to, value) in to.chunks_exact_mut(width).zip(self.row(row)) {
                    to[lane] = value * scale;
                }
            }
        }
    }

    /// Columns, `width` of them side by side: `(head_dim / width, rows, width)`.
    #[inline(always)]
    pub(super) fn along(&self, rows: Range<usize>, width: usize, to: &mut [f32]) {
        let count = rows.len();
        for (place, row) in rows.enumerate() {
            self.prefetch(row + AHEAD);
            let values = self.row(row);
            let (whole, rest) = values.split_at(values.len() / width * width);
            for (panel, values) in whole.chunks_exact(width).enumerate() {
                to[(panel * count + place) * width..][..width].copy_from_slice(values);
            }
            if !rest.is_empty() {
                let to = &mut to[(whole.len() / width * count + place) * width..][..width];
                to[..rest.len()].copy_from_slice(rest);
                to[rest.len()..].fill(0.0);
            }
        }
    }
}
