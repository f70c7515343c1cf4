//! A part of the gradient: some keys of a group in one head, and all queries that see them.
//!
//! Keys are packed some at a time (a block), with room for their gradients. Queries are packed a few
//! panels at a time, in lanes for scores and in rows for sums over them. Weights and gradients of
//! scores of those and of a chunk of the block's keys lie in an outer cache, `(panels, keys, panel)`,
//! where sums over keys read them as columns, and sums over queries as rows.

use std::cell::Cell;
use std::ops::Range;

use pulp::Simd;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

use super::backward::{Backward, Target};
use super::packed::{AHEAD, Head};
use super::plan::{Pair, Rows, even, pieces};
use super::tile::{add_across, hide_later, weigh};
use crate::aligned::Aligned;
use crate::product::{add, multiply};
use crate::simd::{Lanes, OnTiles, VECTORS, prefetch};

/// Keys of a block at most.
const BLOCK: usize = 512;
/// Keys of a chunk at most.
const CHUNK: usize = 128;
/// Panels of queries that pass over a block together.
const PANELS: usize = 4;

/// Some keys of a group, in one head.
pub(super) struct Part<'a> {
    pub backward: &'a Backward<'a>,
    pub pair: &'a Pair,
    pub head: usize,
    /// Places in the group.
    pub keys: Range<usize>,
    /// `(query rows, heads · head_dim)`, added to.
    pub to_queries: Target,
    /// Of keys and of values, `(key rows, heads · head_dim)`.
    pub to_keys: [Target; 2],
}

/// Memory that a thread keeps between its parts.
#[derive(Default)]
struct Scratch {
    block: Block,
    group: Group,
    /// Weights and gradients of scores, `(panels, keys, panel)` each.
    weights: [Aligned; 2],
}

/// Some keys.
#[derive(Default)]
struct Block {
    /// Keys and values, `(tiles, head_dim, tile)`.
    across: [Aligned; 2],
    /// Keys, `(tiles, keys, tile)`.
    along: Aligned,
    /// Gradients of keys and values, `(panels, keys, panel)`, room for whole tiles.
    sums: [Aligned; 2],
}

/// Some queries.
#[derive(Default)]
struct Group {
    /// Queries and the output's gradient, `(panels, head_dim, panel)`.
    across: [Aligned; 2],
    /// The same, `(panels, queries, panel)`.
    along: [Aligned; 2],
    /// Logarithms of sums of exponentials, and output times gradient, `(queries)`.
    rows: [Aligned; 2],
    /// Gradient of queries, `(panels, head_dim, panel)`, room for whole tiles.
    sums: Aligned,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// Places in the group of what is worked on: the block's keys, a chunk of them, and queries.
struct Places {
    block: Range<usize>,
    chunk: Range<usize>,
    queries: Range<usize>,
}

impl Places {
    /// Where the chunk lies in the block.
    #[inline(always)]
    fn offset(&self) -> usize {
        self.chunk.start - self.block.start
    }
}

impl OnTiles for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let panel = VECTORS * S::F32_LANES;
        let all = 0..self.pair.queries.len();
        // Not in a closure: what the library calls is not compiled for the machine's vectors.
        let mut kept = SCRATCH.take();
        for block in pieces(self.keys.clone(), even(self.keys.len(), BLOCK, ROWS)) {
            self.pack_block::<ROWS>(panel, &block, &mut kept.block);
            for queries in pieces(all.clone(), PANELS * panel) {
                if self.backward.plan.seen(&queries, &block) == 0 {
                    continue;
                }
                self.pack_group::<ROWS>(panel, &queries, &mut kept.group);
                for chunk in pieces(block.clone(), even(block.len(), CHUNK, ROWS)) {
                    let places = Places {
                        block: block.clone(),
                        chunk,
                        queries: queries.clone(),
                    };
                    self.weigh::<S, ROWS>(simd, &mut kept, &places);
                    self.sum_over_keys::<S, ROWS>(simd, &mut kept, &places);
                    self.sum_over_queries::<S, ROWS>(simd, &mut kept, &places);
                }
                self.write_queries::<ROWS>(panel, &queries, &kept.group);
            }
            self.write_keys::<ROWS>(panel, &block, &kept.block);
        }
        SCRATCH.set(kept);
    }
}

impl Part<'_> {
    #[inline(always)]
    fn columns(&self) -> Range<usize> {
        self.backward.plan.columns(self.head)
    }

    #[inline(always)]
    fn pack_block<const ROWS: usize>(&self, panel: usize, keys: &Range<usize>, to: &mut Block) {
        let dim = self.backward.plan.head_dim;
        let room = keys.len().next_multiple_of(ROWS);
        let first = self.pair.keys.start;
        let rows = first + keys.start..first + keys.end;
        let sources = [self.backward.keys, self.backward.values];
        for (source, to) in sources.into_iter().zip(&mut to.across) {
            let to = to.at_least(room * dim);
            head(source, self.columns()).across(rows.clone(), ROWS, 1.0, to);
        }
        let along = to.along.at_least(dim.next_multiple_of(ROWS) * keys.len());
        head(self.backward.keys, self.columns()).along(rows, ROWS, along);
        for sums in &mut to.sums {
            sums.at_least(dim.next_multiple_of(panel) * room).fill(0.0);
        }
    }

    #[inline(always)]
    fn pack_group<const ROWS: usize>(&self, panel: usize, queries: &Range<usize>, to: &mut Group) {
        let plan = self.backward.plan;
        let dim = plan.head_dim;
        let room = queries.len().next_multiple_of(panel);
        let first = self.pair.queries.start;
        let rows = first + queries.start..first + queries.end;
        let scale = plan.scale() * std::f32::consts::LOG2_E;
        let sources = [
            (self.backward.queries, scale),
            (self.backward.gradient, 1.0),
        ];
        let to_both = to.across.iter_mut().zip(&mut to.along);
        for ((source, scale), (across, along)) in sources.into_iter().zip(to_both) {
            let source = head(source, self.columns());
            source.across(rows.clone(), panel, scale, across.at_least(room * dim));
            let along = along.at_least(dim.next_multiple_of(panel) * queries.len());
            source.along(rows.clone(), panel, along);
        }
        let sources = [self.backward.logs, self.backward.along];
        for (source, to) in sources.into_iter().zip(&mut to.rows) {
            let to = to.at_least(room);
            to.fill(0.0);
            for (to, row) in to.iter_mut().zip(rows.clone()) {
                *to = source[row * plan.heads + self.head];
            }
        }
        let sums = dim.next_multiple_of(ROWS) * room;
        to.sums.at_least(sums).fill(0.0);
    }

    /// Weights and gradients of scores.
    #[inline(always)]
    fn weigh<S: Simd, const ROWS: usize>(&self, simd: S, kept: &mut Scratch, places: &Places) {
        let plan = self.backward.plan;
        let (dim, panel) = (plan.head_dim, VECTORS * S::F32_LANES);
        let room = places.chunk.len().next_multiple_of(ROWS);
        let size = PANELS * room * panel;
        let [keys, values] = &kept.block.across;
        let start = places.offset() / ROWS * dim;
        let keys = &keys.as_slice().as_chunks::<ROWS>().0[start..];
        let values = &values.as_slice().as_chunks::<ROWS>().0[start..];
        let [queries, gradients] = &kept.group.across;
        let queries: &[Lanes<S>] = cast_slice(queries.as_slice());
        let gradients: &[Lanes<S>] = cast_slice(gradients.as_slice());
        let [logs, along] = &kept.group.rows;
        let logs: &[Lanes<S>] = cast_slice(logs.as_slice());
        let along: &[Lanes<S>] = cast_slice(along.as_slice());
        let [weights, slopes] = &mut kept.weights;
        let weights: &mut [Lanes<S>] = cast_slice_mut(weights.at_least(size));
        let slopes: &mut [Lanes<S>] = cast_slice_mut(slopes.at_least(size));
        for (index, of) in pieces(places.queries.clone(), panel).enumerate() {
            let seen = plan.seen(&of, &places.chunk);
            let tiles = seen.div_ceil(ROWS);
            let queries = &queries[index * dim..][..dim];
            let gradients = &gradients[index * dim..][..dim];
            let weights = &mut weights[index * room..][..tiles * ROWS];
            let slopes = &mut slopes[index * room..][..tiles * ROWS];
            let to = weights.as_chunks_mut::<ROWS>().0.iter_mut();
            let to = to.zip(slopes.as_chunks_mut::<ROWS>().0);
            let from = keys.chunks_exact(dim).zip(values.chunks_exact(dim));
            for ((weights, slopes), (keys, values)) in to.zip(from) {
                let scores = multiply::<S, ROWS>(simd, keys, queries);
                *weights = scores;
                for pair in weights.as_chunks_mut::<2>().0 {
                    weigh(simd, pair, &logs[index]);
                }
                let products = multiply::<S, ROWS>(simd, values, gradients);
                slope_tile(simd, &products, &along[index], weights, slopes);
            }
            if plan.hides(&of, &places.chunk) {
                for values in [weights, slopes] {
                    let values = cast_slice_mut(values);
                    hide_later(values, panel, places.chunk.start, of.start, 0.0);
                }
            }
        }
    }

    /// Adds to the gradient of queries.
    #[inline(always)]
    fn sum_over_keys<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        kept: &mut Scratch,
        places: &Places,
    ) {
        let plan = self.backward.plan;
        let (dim, panel) = (plan.head_dim, VECTORS * S::F32_LANES);
        let room = places.chunk.len().next_multiple_of(ROWS);
        let tiles = dim.div_ceil(ROWS);
        let keys = &kept.block.along.as_slice().as_chunks::<ROWS>().0;
        let slopes: &[Lanes<S>] = cast_slice(kept.weights[1].as_slice());
        let sums: &mut [Lanes<S>] = cast_slice_mut(kept.group.sums.as_mut_slice());
        let sums = sums.chunks_exact_mut(tiles * ROWS);
        let of = pieces(places.queries.clone(), panel);
        for ((of, sums), slopes) in of.zip(sums).zip(slopes.chunks_exact(room)) {
            let slopes = &slopes[..plan.seen(&of, &places.chunk)];
            let keys = keys.chunks_exact(places.block.len());
            for (keys, sums) in keys.zip(sums.as_chunks_mut::<ROWS>().0) {
                let keys = &keys[places.offset()..][..slopes.len()];
                let added = multiply::<S, ROWS>(simd, keys, slopes);
                for (sum, added) in sums.iter_mut().zip(added) {
                    *sum = add(simd, *sum, added);
                }
            }
        }
    }

    /// Adds to the gradients of keys and of values.
    #[inline(always)]
    fn sum_over_queries<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        kept: &mut Scratch,
        places: &Places,
    ) {
        let plan = self.backward.plan;
        let (dim, panel) = (plan.head_dim, VECTORS * S::F32_LANES);
        let room = places.chunk.len().next_multiple_of(ROWS);
        let block = places.block.len().next_multiple_of(ROWS);
        let count = places.queries.len();
        let [weights, slopes] = &kept.weights;
        let [of_keys, of_values] = &mut kept.block.sums;
        let [queries, gradients] = &kept.group.along;
        for (weights, rows, sums) in [(weights, gradients, of_values), (slopes, queries, of_keys)] {
            let weights: &[Lanes<S>] = cast_slice(weights.as_slice());
            let rows: &[Lanes<S>] = cast_slice(rows.as_slice());
            let sums: &mut [Lanes<S>] = cast_slice_mut(sums.as_mut_slice());
            for key in (0..places.chunk.len()).step_by(ROWS) {
                let mut panels = pieces(places.queries.clone(), panel);
                let hidden = |of: Range<usize>| plan.seen(&of, &places.chunk) <= key;
                let first = panels.position(|of| !hidden(of)).unwrap_or(PANELS);
                if first * panel >= count {
                    continue;
                }
                let weights = &weights[first * room + key..];
                for column in 0..dim.div_ceil(panel) {
                    let sums = &mut sums[column * block + places.offset() + key..];
                    let rows = &rows[column * count + first * panel..(column + 1) * count];
                    if let Some(sums) = sums.first_chunk_mut::<ROWS>() {
                        add_across(simd, weights, room, rows, sums);
                    }
                }
            }
        }
    }

    /// Adds a group's gradient of queries to the output.
    #[inline(always)]
    fn write_queries<const ROWS: usize>(
        &self,
        panel: usize,
        queries: &Range<usize>,
        group: &Group,
    ) {
        let plan = self.backward.plan;
        let room = plan.head_dim.next_multiple_of(ROWS);
        let scale = plan.scale();
        let sums = group.sums.as_slice();
        for (place, row) in queries.clone().enumerate() {
            let row = self.pair.queries.start + row;
            let ahead = self.to_queries.row(row + AHEAD);
            prefetch(ahead.wrapping_add(self.columns().start), plan.head_dim);
            let sums = &sums[place / panel * panel * room + place % panel..];
            // SAFETY: there are that many rows, and no other part adds to this head of this row of
            // these sums.
            let to = unsafe { row_of(self.to_queries, row, self.columns()) };
            for (to, sum) in to.iter_mut().zip(sums.iter().step_by(panel)) {
                *to += sum * scale;
            }
        }
    }

    /// Writes a block's gradients of keys and values.
    #[inline(always)]
    fn write_keys<const ROWS: usize>(&self, panel: usize, keys: &Range<usize>, block: &Block) {
        let plan = self.backward.plan;
        let room = keys.len().next_multiple_of(ROWS);
        let scales = [plan.scale(), 1.0];
        for ((to, sums), scale) in self.to_keys.iter().zip(&block.sums).zip(scales) {
            for (place, row) in keys.clone().enumerate() {
                let row = self.pair.keys.start + row;
                // SAFETY: there are that many rows, and keys are one part's in each head.
                let to = unsafe { row_of(*to, row, self.columns()) };
                for (column, to) in to.chunks_mut(panel).enumerate() {
                    let sums = &sums.as_slice()[(column * room + place) * panel..];
                    for (to, sum) in to.iter_mut().zip(sums) {
                        *to = sum * scale;
                    }
                }
            }
        }
    }
}

fn head(rows: Rows<'_>, columns: Range<usize>) -> Head<'_> {
    Head { rows, columns }
}

/// Columns of a row.
///
/// # Safety
/// The memory has so many rows, and nobody else has these columns of this one.
#[inline(always)]
unsafe fn row_of<'a>(to: Target, row: usize, columns: Range<usize>) -> &'a mut [f32] {
    // SAFETY: what the caller promises.
    unsafe { std::slice::from_raw_parts_mut(to.row(row).add(columns.start), columns.len()) }
}

/// `weight · (product - along)`
#[inline(always)]
fn slope_tile<S: Simd, const ROWS: usize>(
    simd: S,
    products: &[Lanes<S>; ROWS],
    along: &Lanes<S>,
    weights: &[Lanes<S>; ROWS],
    slopes: &mut [Lanes<S>; ROWS],
) {
    let rows = slopes.iter_mut().zip(weights).zip(products);
    for ((slopes, weights), products) in rows {
        let lanes = slopes.iter_mut().zip(weights).zip(products).zip(along);
        for (((slope, weight), product), along) in lanes {
            *slope = simd.mul_f32s(*weight, simd.sub_f32s(*product, *along));
        }
    }
}
