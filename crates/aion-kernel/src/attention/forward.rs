//! Softmax attention on the CPU in one pass: scores of a few queries and keys stay in the nearest
//! cache and are never written to memory (the tiling of FlashAttention, arXiv 2205.14135).
//!
//! Queries lie one a lane, as many as a tile has columns (a panel), so that softmax, sums and
//! their fading are done lane by lane. Keys are packed some at a time, and every panel of a part of
//! the queries passes over them while they lie in an outer cache.

use std::cell::Cell;
use std::ops::Range;

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::packed::{AHEAD, Head};
use super::plan::{Pair, Plan, Rows, even, pieces};
use super::tile::{hide_later, multiply_to, weigh};
use crate::aligned::Aligned;
use crate::memory::{Shared, filled};
use crate::product::{add, multiply};
use crate::simd::{InTiles, Lanes, OnTiles, VECTORS, prefetch, tile_shape};

/// Keys whose scores are held at a time: with a panel of queries they fill half of the nearest cache.
const KEYS: usize = 256;
/// Queries of a part at most, and at least where there are few parts.
const MOST_QUERIES: usize = 1024;
const FEWEST_QUERIES: usize = 96;
/// Parts a thread, so that a slow one is evened out.
const PARTS: usize = 4;

/// Attention to be done.
pub(super) struct Forward<'a> {
    pub plan: &'a Plan,
    /// Of queries, keys and values.
    pub inputs: [Rows<'a>; 3],
}

impl Forward<'_> {
    /// The output alone.
    ///
    /// # Shapes
    /// → `(query rows, heads · head_dim)`
    pub(super) fn run(&self) -> Vec<f32> {
        let len = self.plan.queries.total() * self.plan.width();
        // SAFETY: parts cover all heads of all queries, and write every value of theirs.
        unsafe { filled(len, |output| self.write(output, None)) }
    }

    /// The output and, per query and head, the logarithm to base 2 of the sum of its exponentials.
    ///
    /// # Shapes
    /// → `(query rows, heads · head_dim)`, `(query rows, heads)`
    pub(super) fn run_with_logs(&self) -> (Vec<f32>, Vec<f32>) {
        let mut logs = vec![0.0; self.plan.queries.total() * self.plan.heads];
        let shared = Shared(logs.as_mut_ptr());
        let len = self.plan.queries.total() * self.plan.width();
        // SAFETY: as above.
        let output = unsafe { filled(len, |output| self.write(output, Some(shared))) };
        (output, logs)
    }

    fn write(&self, output: Shared, logs: Option<Shared>) {
        let arch = Arch::new();
        let pairs: Vec<Pair> = self.plan.pairs().collect();
        let panel = tile_shape(arch).columns;
        // Queries do not depend on one another, so the number of parts does not matter to them.
        let enough = PARTS * rayon::current_num_threads();
        let wanted = enough.div_ceil((pairs.len() * self.plan.heads).max(1));
        let mut parts = Vec::new();
        for pair in &pairs {
            let count = pair.queries.len();
            let most = count.div_ceil(wanted).clamp(FEWEST_QUERIES, MOST_QUERIES);
            let size = even(count, most, panel);
            for head in 0..self.plan.heads {
                parts.extend(pieces(0..count, size).map(|queries| Part {
                    forward: self,
                    pair,
                    head,
                    queries,
                    output,
                    logs,
                }));
            }
        }
        parts
            .into_par_iter()
            .for_each(|part| arch.dispatch(InTiles(part)));
    }
}

/// Some queries of a group, in one head.
struct Part<'a> {
    forward: &'a Forward<'a>,
    pair: &'a Pair,
    head: usize,
    /// Places in the group.
    queries: Range<usize>,
    /// `(query rows, heads · head_dim)`
    output: Shared,
    /// `(query rows, heads)`
    logs: Option<Shared>,
}

/// Memory that a thread keeps between its parts.
#[derive(Default)]
struct Scratch {
    /// `(panels, head_dim, panel)`
    queries: Aligned,
    /// `(tiles, head_dim, tile)`
    keys: Aligned,
    /// `(tiles, keys, tile)`
    values: Aligned,
    /// `(keys, panel)`
    scores: Aligned,
    /// `(panels, head_dim, panel)`, room for whole tiles.
    sums: Aligned,
    /// The largest score and the sum of weights, `(panels, 2, panel)`.
    totals: Aligned,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

impl OnTiles for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let plan = self.forward.plan;
        let (dim, panel) = (plan.head_dim, VECTORS * S::F32_LANES);
        let columns = plan.columns(self.head);
        let head = |rows| Head {
            rows,
            columns: columns.clone(),
        };
        let [queries_of, keys_of, values_of] = self.forward.inputs.map(head);
        let room = dim.next_multiple_of(ROWS);
        let panels = self.queries.len().div_ceil(panel);
        // Not in a closure: what the library calls is not compiled for the machine's vectors.
        let mut kept = SCRATCH.take();
        let queries = kept.queries.at_least(panels * dim * panel);
        let rows = self.pair.queries.start + self.queries.start;
        let rows = rows..rows + self.queries.len();
        let scale = plan.scale() * std::f32::consts::LOG2_E;
        queries_of.across(rows.clone(), panel, scale, queries);
        let queries: &[Lanes<S>] = cast_slice(queries);
        let sums: &mut [Lanes<S>] = cast_slice_mut(kept.sums.at_least(panels * room * panel));
        sums.fill([simd.splat_f32s(0.0); VECTORS]);
        let totals: &mut [Lanes<S>] = cast_slice_mut(kept.totals.at_least(panels * 2 * panel));
        for totals in totals.chunks_exact_mut(2) {
            totals[0] = [simd.splat_f32s(f32::NEG_INFINITY); VECTORS];
            totals[1] = [simd.splat_f32s(0.0); VECTORS];
        }
        let last = plan.seen(&self.queries, &(0..self.pair.keys.len()));
        let size = even(last, KEYS, ROWS);
        let packed_keys = kept.keys.at_least(size * dim);
        let packed_values = kept.values.at_least(room * size);
        let scores: &mut [Lanes<S>] = cast_slice_mut(kept.scores.at_least(size * panel));
        for keys in pieces(0..last, size) {
            let rows = self.pair.keys.start + keys.start..self.pair.keys.start + keys.end;
            keys_of.across(rows.clone(), ROWS, 1.0, packed_keys);
            let values = &mut packed_values[..room * keys.len()];
            values_of.along(rows, ROWS, values);
            let panels = queries.chunks_exact(dim).zip(sums.chunks_exact_mut(room));
            let panels = panels.zip(totals.chunks_exact_mut(2));
            let places = pieces(self.queries.clone(), panel);
            for (places, ((queries, sums), totals)) in places.zip(panels) {
                let seen = plan.seen(&places, &keys);
                if seen == 0 {
                    continue;
                }
                multiply_to::<S, ROWS>(simd, packed_keys, queries, seen, scores);
                let scores = &mut scores[..seen];
                if plan.hides(&places, &keys) {
                    let scores = cast_slice_mut(scores);
                    hide_later(scores, panel, keys.start, places.start, f32::NEG_INFINITY);
                }
                let faded = exponentiate(simd, scores, totals);
                add_values::<S, ROWS>(simd, values, keys.len(), scores, faded, sums);
            }
        }
        for (index, row) in (0..panels).zip(rows.clone().step_by(panel)) {
            let rows = row..(row + panel).min(rows.end);
            let sums = &sums[index * room..][..dim];
            self.finish::<S>(rows, sums, &totals[2 * index..]);
        }
        SCRATCH.set(kept);
    }
}

impl Part<'_> {
    /// Divides by the sum of weights and writes a panel's rows.
    #[inline(always)]
    fn finish<S: Simd>(&self, rows: Range<usize>, sums: &[Lanes<S>], totals: &[Lanes<S>]) {
        let plan = self.forward.plan;
        let columns = plan.columns(self.head);
        let (panel, width) = (VECTORS * S::F32_LANES, plan.width());
        let largest: &[f32] = cast_slice(&totals[..1]);
        let total: &[f32] = cast_slice(&totals[1..2]);
        let sums: &[f32] = cast_slice(sums);
        for (lane, row) in rows.enumerate() {
            let ahead = (row + AHEAD) * width + columns.start;
            prefetch(self.output.0.wrapping_add(ahead), columns.len());
            // A query without keys takes nothing from anywhere.
            let inverse = if total[lane] == 0.0 {
                0.0
            } else {
                1.0 / total[lane]
            };
            // SAFETY: the output has that many rows, and this head of this row is this part's.
            let output = unsafe {
                let start = self.output.0.add(row * width + columns.start);
                std::slice::from_raw_parts_mut(start, columns.len())
            };
            for (output, sums) in output.iter_mut().zip(sums.chunks_exact(panel)) {
                *output = sums[lane] * inverse;
            }
            if let Some(logs) = self.logs {
                let log = largest[lane] + total[lane].log2();
                // SAFETY: as above.
                unsafe { *logs.0.add(row * plan.heads + self.head) = log };
            }
        }
    }
}

/// Scores to weights relative to the largest score so far, added to their total. Gives the factor by
/// which what was summed before fades.
#[inline(always)]
fn exponentiate<S: Simd>(simd: S, scores: &mut [Lanes<S>], totals: &mut [Lanes<S>]) -> Lanes<S> {
    let [largest, total] = totals else {
        return [simd.splat_f32s(0.0); VECTORS];
    };
    let mut most = *largest;
    for scores in scores.iter() {
        for (most, score) in most.iter_mut().zip(scores) {
            *most = simd.max_f32s(*most, *score);
        }
    }
    let mut faded = [*largest];
    weigh(simd, &mut faded, &most);
    let [faded] = faded;
    let mut sums = *total;
    for (sum, faded) in sums.iter_mut().zip(&faded) {
        *sum = simd.mul_f32s(*sum, *faded);
    }
    let (pairs, rest) = scores.as_chunks_mut::<2>();
    for pair in pairs {
        weigh(simd, pair, &most);
        sums = add(simd, add(simd, sums, pair[0]), pair[1]);
    }
    for score in rest {
        weigh(simd, std::array::from_mut(score), &most);
        sums = add(simd, sums, *score);
    }
    *largest = most;
    *total = sums;
    faded
}

/// Adds the weighted values, `(tiles, len, ROWS)`, to sums that have faded.
#[inline(always)]
fn add_values<S: Simd, const ROWS: usize>(
    simd: S,
    values: &[f32],
    len: usize,
    weights: &[Lanes<S>],
    faded: Lanes<S>,
    sums: &mut [Lanes<S>],
) {
    let values = values.as_chunks::<ROWS>().0.chunks_exact(len);
    for (values, sums) in values.zip(sums.as_chunks_mut::<ROWS>().0) {
        let added = multiply::<S, ROWS>(simd, values, weights);
        for (sums, added) in sums.iter_mut().zip(&added) {
            for ((sum, added), faded) in sums.iter_mut().zip(added).zip(&faded) {
                *sum = simd.mul_add_e_f32s(*sum, *faded, *added);
            }
        }
    }
}
