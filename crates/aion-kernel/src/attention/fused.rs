//! Softmax attention on the CPU in one pass: scores of a block of queries stay in the nearest caches
//! and are never written to memory (the tiling of FlashAttention, arXiv 2205.14135).
//!
//! A block is as many queries as fill a tile's vectors, one a lane, so that the softmax of all of
//! them is done lane by lane without sums across a vector.

use std::ops::Range;

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Segments;
use crate::simd::exp_nonpositive_lanes;

/// Rows of a tile where there are 32 vector registers, and where there are 16.
const MANY_ROWS: usize = 8;
const FEW_ROWS: usize = 4;
/// Keys whose scores are held at a time; a multiple of the rows of any tile.
const KEYS: usize = 1024;
/// Keys and values that are packed at a time, in rows; a longer segment is packed whole.
const PACKED_ROWS: usize = 8192;

/// Rows of heads, `(rows, heads · head_dim)`, and the distance between rows.
pub(super) type Rows<'a> = (&'a [f32], usize);

/// What attends to what.
pub(super) struct Attention<'a> {
    pub queries: Rows<'a>,
    pub keys: Rows<'a>,
    pub values: Rows<'a>,
    pub segments: (&'a Segments, &'a Segments),
    pub heads: usize,
    pub head_dim: usize,
    pub causal: bool,
}

/// One head of one row.
#[inline(always)]
fn head_of<'a>((values, stride): Rows<'a>, row: usize, head: usize, dim: usize) -> &'a [f32] {
    let start = row * stride + head * dim;
    &values[start..start + dim]
}

impl Attention<'_> {
    /// # Shapes
    /// → `(query rows, heads · head_dim)`
    pub(super) fn run(&self) -> Vec<f32> {
        let arch = Arch::new();
        let tiles = Tiles::of(arch);
        let width = self.heads * self.head_dim;
        let mut output = vec![0.0; self.segments.0.total() * width];
        let pairs: Vec<_> = self
            .segments
            .0
            .ranges()
            .zip(self.segments.1.ranges())
            .collect();
        let mut rest = output.as_mut_slice();
        let mut first = 0;
        while first < pairs.len() {
            // As many segments as their packed keys may be held at a time, at least one.
            let mut rows = 0;
            let count = pairs[first..]
                .iter()
                .take_while(|(_, keys)| {
                    let fits = rows == 0 || rows + keys.len() <= PACKED_ROWS;
                    rows += keys.len();
                    fits
                })
                .count();
            let wave = &pairs[first..first + count];
            let packed: Vec<Vec<Packed>> = wave
                .par_iter()
                .map(|(_, keys)| {
                    let heads = (0..self.heads).into_par_iter();
                    let pack = |head| Packed::new(self, tiles, keys.clone(), head);
                    heads.map(pack).collect()
                })
                .collect();
            let mut blocks = Vec::new();
            for ((queries, _), packed) in wave.iter().zip(&packed) {
                let (mine, others) = rest.split_at_mut(queries.len() * width);
                rest = others;
                let starts = queries.clone().step_by(tiles.columns);
                for (start, output) in starts.zip(mine.chunks_mut(tiles.columns * width)) {
                    blocks.push(Block {
                        attention: self,
                        tiles,
                        packed,
                        start,
                        place: start - queries.start,
                        output,
                    });
                }
            }
            blocks
                .into_par_iter()
                .for_each(|block| arch.dispatch(block));
            first += count;
        }
        output
    }
}

/// Vectors of queries in a block, and of columns in a panel of values.
const VECTORS: usize = 2;

/// Sizes of tiles that fill the machine's registers.
#[derive(Debug, Clone, Copy)]
struct Tiles {
    /// Keys, or queries, a tile.
    rows: usize,
    /// Queries, or columns of values, a tile.
    columns: usize,
}

impl Tiles {
    fn of(arch: Arch) -> Tiles {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        let lanes = arch.dispatch(Lanes);
        // Machines with vectors of 16, and ARM's with 4, have 32 registers.
        let many = lanes == 16 || cfg!(target_arch = "aarch64");
        Tiles {
            rows: if many { MANY_ROWS } else { FEW_ROWS },
            columns: VECTORS * lanes,
        }
    }
}

/// Keys and values of a head of a segment, as the tiles want them.
struct Packed {
    len: usize,
    /// `(len / rows, head_dim, rows)`, zeros after the last key.
    keys: Vec<f32>,
    /// `(head_dim / columns, len, columns)`, zeros after the last column.
    values: Vec<f32>,
}

impl Packed {
    fn new(attention: &Attention<'_>, tiles: Tiles, rows: Range<usize>, head: usize) -> Packed {
        let (dim, len) = (attention.head_dim, rows.len());
        let mut keys = vec![0.0; len.div_ceil(tiles.rows) * tiles.rows * dim];
        let mut values = vec![0.0; dim.div_ceil(tiles.columns) * len * tiles.columns];
        for (index, row) in rows.enumerate() {
            let tile = &mut keys[index / tiles.rows * tiles.rows * dim..];
            let key = head_of(attention.keys, row, head, dim);
            for (lanes, value) in tile.chunks_exact_mut(tiles.rows).zip(key) {
                lanes[index % tiles.rows] = *value;
            }
            let value = head_of(attention.values, row, head, dim);
            for (panel, value) in value.chunks(tiles.columns).enumerate() {
                let at = (panel * len + index) * tiles.columns;
                values[at..at + value.len()].copy_from_slice(value);
            }
        }
        Packed { len, keys, values }
    }
}

/// Up to a tile's columns of queries of one segment, all heads.
struct Block<'a> {
    attention: &'a Attention<'a>,
    tiles: Tiles,
    packed: &'a [Packed],
    /// The first query's row, and its place in the segment.
    start: usize,
    place: usize,
    /// `(queries, heads · head_dim)`
    output: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.tiles.rows {
            MANY_ROWS => self.run::<S, MANY_ROWS>(simd),
            _ => self.run::<S, FEW_ROWS>(simd),
        }
    }
}

/// One value of each query of a block.
type Lanes<S> = [<S as Simd>::f32s; VECTORS];

impl Block<'_> {
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let Attention {
            heads,
            head_dim,
            causal,
            ..
        } = *self.attention;
        let columns = self.tiles.columns;
        let width = heads * head_dim;
        let queries = self.output.len() / width;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let zero = [simd.splat_f32s(0.0); VECTORS];
        let mut lanes = vec![zero; head_dim];
        let mut scores: Vec<Lanes<S>> = std::iter::repeat_n(zero, KEYS).collect();
        let mut sums = vec![zero; columns * head_dim.div_ceil(columns)];
        for (head, packed) in self.packed.iter().enumerate() {
            for query in 0..queries {
                let values = head_of(self.attention.queries, self.start + query, head, head_dim);
                let lanes: &mut [f32] = cast_slice_mut(&mut lanes);
                for (lanes, value) in lanes.chunks_exact_mut(columns).zip(values) {
                    lanes[query] = value * scale;
                }
            }
            let last = match causal {
                true => (self.place + queries).min(packed.len),
                false => packed.len,
            };
            let mut largest = [simd.splat_f32s(f32::NEG_INFINITY); VECTORS];
            let mut total = zero;
            for first in (0..last).step_by(KEYS) {
                let scores = &mut scores[..KEYS.min(last - first)];
                score::<S, ROWS>(simd, &lanes, packed, first, scores);
                if causal {
                    hide_later(cast_slice_mut(scores), columns, first, self.place);
                }
                let faded = exponentiate(simd, scores, &mut largest, &mut total);
                let faded: &[f32] = cast_slice(&faded);
                let faded = (first > 0).then_some(faded);
                add_values::<S, ROWS>(simd, cast_slice(scores), packed, first, faded, &mut sums);
            }
            let (total, sums): (&[f32], &[f32]) = (cast_slice(&total), cast_slice(&sums));
            for (query, output) in self.output.chunks_exact_mut(width).enumerate() {
                let output = &mut output[head * head_dim..(head + 1) * head_dim];
                for (panel, output) in output.chunks_mut(columns).enumerate() {
                    let sums = &sums[(panel * columns + query) * columns..];
                    for (output, sum) in output.iter_mut().zip(sums) {
                        *output = sum / total[query];
                    }
                }
            }
        }
    }
}

/// Scores of the keys from `first` on.
#[inline(always)]
fn score<S: Simd, const ROWS: usize>(
    simd: S,
    queries: &[Lanes<S>],
    packed: &Packed,
    first: usize,
    scores: &mut [Lanes<S>],
) {
    let dim = queries.len();
    let tiles = packed.keys[first * dim..].chunks_exact(ROWS * dim);
    for (scores, keys) in scores.chunks_mut(ROWS).zip(tiles) {
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (keys, queries) in keys.as_chunks::<ROWS>().0.iter().zip(queries) {
            for (sums, key) in sums.iter_mut().zip(keys) {
                let key = simd.splat_f32s(*key);
                for (sum, query) in sums.iter_mut().zip(queries) {
                    *sum = simd.mul_add_e_f32s(key, *query, *sum);
                }
            }
        }
        for (scores, sums) in scores.iter_mut().zip(&sums) {
            *scores = *sums;
        }
    }
}

/// Gives keys that come after a query no weight.
fn hide_later(scores: &mut [f32], columns: usize, first: usize, place: usize) {
    for (key, scores) in scores.chunks_exact_mut(columns).enumerate() {
        for (lane, score) in scores.iter_mut().enumerate() {
            if first + key > place + lane {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

/// Scores to weights relative to the largest score so far, added to their total. Gives the factor by
/// which what was summed before fades.
#[inline(always)]
fn exponentiate<S: Simd>(
    simd: S,
    scores: &mut [Lanes<S>],
    largest: &mut Lanes<S>,
    total: &mut Lanes<S>,
) -> Lanes<S> {
    let before = *largest;
    for scores in scores.iter() {
        for (largest, score) in largest.iter_mut().zip(scores) {
            *largest = simd.max_f32s(*largest, *score);
        }
    }
    let mut faded = before;
    for ((faded, total), largest) in faded.iter_mut().zip(total.iter_mut()).zip(largest.iter()) {
        *faded = exp_nonpositive_lanes(simd, simd.sub_f32s(*faded, *largest));
        *total = simd.mul_f32s(*total, *faded);
    }
    for scores in scores.iter_mut() {
        for ((score, total), largest) in scores.iter_mut().zip(total.iter_mut()).zip(largest.iter())
        {
            *score = exp_nonpositive_lanes(simd, simd.sub_f32s(*score, *largest));
            *total = simd.add_f32s(*total, *score);
        }
    }
    faded
}

/// Adds the weighted values: `sums` is `(panels, queries, columns)`, faded where the largest score
/// grew, and overwritten where there is nothing yet.
#[inline(always)]
fn add_values<S: Simd, const ROWS: usize>(
    simd: S,
    weights: &[f32],
    packed: &Packed,
    first: usize,
    faded: Option<&[f32]>,
    sums: &mut [Lanes<S>],
) {
    let columns = VECTORS * S::F32_LANES;
    let values: &[Lanes<S>] = cast_slice(&packed.values);
    let panels = values.chunks_exact(packed.len);
    for (values, sums) in panels.zip(sums.chunks_exact_mut(columns)) {
        for (tile, sums) in sums.chunks_exact_mut(ROWS).enumerate() {
            let mut added = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            let queries = tile * ROWS..(tile + 1) * ROWS;
            for (weights, values) in weights.chunks_exact(columns).zip(&values[first..]) {
                for (added, weight) in added.iter_mut().zip(&weights[queries.clone()]) {
                    let weight = simd.splat_f32s(*weight);
                    for (added, value) in added.iter_mut().zip(values) {
                        *added = simd.mul_add_e_f32s(weight, *value, *added);
                    }
                }
            }
            for (row, (sums, added)) in sums.iter_mut().zip(&added).enumerate() {
                match faded {
                    Some(faded) => {
                        let faded = simd.splat_f32s(faded[tile * ROWS + row]);
                        for (sum, added) in sums.iter_mut().zip(added) {
                            *sum = simd.mul_add_e_f32s(*sum, faded, *added);
                        }
                    }
                    None => *sums = *added,
                }
            }
        }
    }
}
