//! Products of tiles, in the forms that attention and its gradient have.

use pulp::{Simd, bytemuck::cast_slice};

use crate::product::multiply;
use crate::simd::Lanes;

/// Products of the first `count` rows of packed rows, `(rows / ROWS, depth, ROWS)`, with columns
/// `(depth)`, to `(rows)`; whole tiles are written.
#[inline(always)]
pub(super) fn multiply_to<S: Simd, const ROWS: usize>(
    simd: S,
    rows: &[f32],
    columns: &[Lanes<S>],
    count: usize,
    to: &mut [Lanes<S>],
) {
    let rows = rows.as_chunks::<ROWS>().0.chunks_exact(columns.len());
    let to = to.as_chunks_mut::<ROWS>().0.iter_mut();
    for (rows, to) in rows.zip(to).take(count.div_ceil(ROWS)) {
        *to = multiply::<S, ROWS>(simd, rows, columns);
    }
}

/// Adds the product of rows whose depth runs along their lanes, `(ROWS)`, with as many rows of
/// columns as there are lanes, or fewer.
#[inline(always)]
pub(super) fn add_across<S: Simd, const ROWS: usize>(
    simd: S,
    rows: &[Lanes<S>; ROWS],
    columns: &[Lanes<S>],
    sums: &mut [Lanes<S>; ROWS],
) {
    let rows: [&[f32]; ROWS] =
        std::array::from_fn(|row| &cast_slice::<_, f32>(&rows[row])[..columns.len()]);
    for (depth, columns) in columns.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let value = simd.splat_f32s(row[depth]);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = simd.mul_add_e_f32s(value, *column, *sum);
            }
        }
    }
}

/// `value` where a key comes later than a query: `(keys, queries)` from these places on.
#[inline(always)]
pub(super) fn hide_later(
    scores: &mut [f32],
    queries: usize,
    first_key: usize,
    first_query: usize,
    value: f32,
) {
    for (key, scores) in scores.chunks_exact_mut(queries).enumerate() {
        let seen_from = (first_key + key).saturating_sub(first_query).min(queries);
        scores[..seen_from].fill(value);
    }
}
