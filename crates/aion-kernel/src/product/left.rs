//! What the left factor of a product can be.

use std::ops::Range;

use rayon::prelude::*;

use crate::simd::{mean_and_spread, vectorized};

/// The left factor of a product, packed a few rows at a time.
pub(crate) trait Left: Sync {
    /// Values `depth` of `rows` (at most `ROWS`) to `to`, one entry a depth; what lies in lanes
    /// without a row does not matter.
    fn pack<const ROWS: usize>(
        &self,
        rows: Range<usize>,
        depth: Range<usize>,
        to: &mut [[f32; ROWS]],
    );
}

/// Rows of a matrix, one value after the other, that are `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(values: &'a [f32], stride: usize) -> Self {
        Matrix { values, stride }
    }
}

impl Left for Matrix<'_> {
    #[inline(always)]
    fn pack<const ROWS: usize>(
        &self,
        rows: Range<usize>,
        depth: Range<usize>,
        to: &mut [[f32; ROWS]],
    ) {
        for (lane, row) in rows.enumerate() {
            let values = &self.values[row * self.stride..][depth.clone()];
            for (to, value) in to.iter_mut().zip(values) {
                to[lane] = *value;
            }
        }
    }
}

/// The transpose of a matrix whose rows are `stride` apart: its columns are the factor's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transposed<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Transposed<'a> {
    pub(crate) fn new(values: &'a [f32], stride: usize) -> Self {
        Transposed { values, stride }
    }
}

impl Left for Transposed<'_> {
    #[inline(always)]
    fn pack<const ROWS: usize>(
        &self,
        rows: Range<usize>,
        depth: Range<usize>,
        to: &mut [[f32; ROWS]],
    ) {
        for (to, depth) in to.iter_mut().zip(depth) {
            let values = &self.values[depth * self.stride..][rows.clone()];
            match values.first_chunk::<ROWS>() {
                Some(values) => *to = *values,
                None => to[..values.len()].copy_from_slice(values),
            }
        }
    }
}

/// Rows of a matrix after layer normalisation, which is done while they are packed.
#[derive(Debug)]
pub(crate) struct Normalized<'a> {
    values: &'a [f32],
    /// Scale and shift, one a column.
    affine: [&'a [f32]; 2],
    /// Mean and inverse deviation of each row.
    rows: Vec<[f32; 2]>,
}

impl<'a> Normalized<'a> {
    /// Takes the mean and the spread of every row, `(rows, scale.len())`.
    pub(crate) fn new(values: &'a [f32], affine: [&'a [f32]; 2], epsilon: f32) -> Self {
        let width = affine[0].len();
        let rows = values.par_chunks_exact(width).with_min_len(64);
        let rows = rows.map(|row| vectorized(|| mean_and_spread(row, epsilon)));
        Normalized {
            values,
            affine,
            rows: rows.collect(),
        }
    }
}

impl Left for Normalized<'_> {
    #[inline(always)]
    fn pack<const ROWS: usize>(
        &self,
        rows: Range<usize>,
        depth: Range<usize>,
        to: &mut [[f32; ROWS]],
    ) {
        let [scale, shift] = self.affine.map(|values| &values[depth.clone()]);
        for (lane, row) in rows.enumerate() {
            let values = &self.values[row * self.affine[0].len()..][depth.clone()];
            let [mean, inverse] = self.rows[row];
            let affine = scale.iter().zip(shift);
            for ((to, value), (scale, shift)) in to.iter_mut().zip(values).zip(affine) {
                to[lane] = (value - mean) * inverse * scale + shift;
            }
        }
    }
}

/// Rows of a matrix, each column times a factor plus a summand, which is done while they are packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scaled<'a> {
    values: &'a [f32],
    /// Factor and summand, one a column.
    affine: [&'a [f32]; 2],
}

impl<'a> Scaled<'a> {
    /// Of `(rows, affine[0].len())`.
    pub(crate) fn new(values: &'a [f32], affine: [&'a [f32]; 2]) -> Self {
        Scaled { values, affine }
    }
}

impl Left for Scaled<'_> {
    #[inline(always)]
    fn pack<const ROWS: usize>(
        &self,
        rows: Range<usize>,
        depth: Range<usize>,
        to: &mut [[f32; ROWS]],
    ) {
        let [factor, summand] = self.affine.map(|values| &values[depth.clone()]);
        for (lane, row) in rows.enumerate() {
            let values = &self.values[row * self.affine[0].len()..][depth.clone()];
            let affine = factor.iter().zip(summand);
            for ((to, value), (factor, summand)) in to.iter_mut().zip(values).zip(affine) {
                to[lane] = value * factor + summand;
            }
        }
    }
}
