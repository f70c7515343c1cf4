//! Products of tiles, in the forms that attention and its gradient have.

use pulp::{Simd, bytemuck::cast_slice};

use crate::product::multiply;
use crate::simd::{Lanes, VECTORS, exp2_nonpositive_lanes};

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

/// Adds the product of rows whose depth runs along their lanes with columns `(depth)`. The rows of
/// the first lanes of depth come first, those of the next `stride` later, and so on.
#[inline(always)]
pub(super) fn add_across<S: Simd, const ROWS: usize>(
    simd: S,
    rows: &[Lanes<S>],
    stride: usize,
    columns: &[Lanes<S>],
    sums: &mut [Lanes<S>; ROWS],
) {
    let (mut rows, mut columns, mut added) = (rows, columns, *sums);
    // Not chunks: their iterator is a call here, and sums would leave the registers for it.
    while let Some(tile) = rows.first_chunk::<ROWS>() {
        let (now, later) = columns.split_at(columns.len().min(VECTORS * S::F32_LANES));
        let tile: [&[f32]; ROWS] =
            std::array::from_fn(|row| &cast_slice::<_, f32>(&tile[row])[..now.len()]);
        for (depth, columns) in now.iter().enumerate() {
            for (sums, row) in added.iter_mut().zip(&tile) {
                let value = simd.splat_f32s(row[depth]);
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = simd.mul_add_e_f32s(value, *column, *sum);
                }
            }
        }
        if later.is_empty() {
            break;
        }
        (rows, columns) = (&rows[stride..], later);
    }
    *sums = added;
}

/// Scores to `2^(score - log)`, for logs that no score exceeds by more than rounding leaves.
#[inline(always)]
pub(super) fn weigh<S: Simd, const N: usize>(simd: S, scores: &mut [Lanes<S>; N], logs: &Lanes<S>) {
    for scores in scores.iter_mut() {
        for (score, log) in scores.iter_mut().zip(logs) {
            *score = simd.sub_f32s(*score, *log);
        }
    }
    match scores.as_flattened_mut() {
        [a, b, c, d] => {
            let mut values = [*a, *b, *c, *d];
            exp2_nonpositive_lanes(simd, &mut values);
            [*a, *b, *c, *d] = values;
        }
        values => {
            for value in values {
                exp2_nonpositive_lanes(simd, std::array::from_mut(value));
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
