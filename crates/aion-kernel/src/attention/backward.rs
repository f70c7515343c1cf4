//! Gradients of attention in one pass over tiles: weights are made again from scores and from the
//! logarithms of their sums, and never written to memory.
//!
//! With weights `P`, output `O = P V` and its gradient `dO`: `dV = Pᵀ dO`, `dS = P ∘ (dO Vᵀ - D)`
//! where `D` is each query's `dO · O`, `dQ = dS K`, `dK = dSᵀ Q`. A part has some keys of a group in
//! one head, and all queries pass over them, some at a time. Gradients of queries are sums over
//! parts of keys, and these do not depend on the number of threads.

use pulp::Arch;
use rayon::prelude::*;

use super::Source;
use super::backward_part::Part;
use super::plan::{Pair, Plan, Rows, even, pieces};
use crate::gradient::Gradient;
use crate::memory::{HostTensor, Shared, zeros};
use crate::simd::{InTiles, tile_shape, vectorized};

/// Parts of keys that are worth their sums of queries' gradients, where heads and groups are few.
const PARTS: usize = 16;
/// Sums of queries' gradients that are held at most.
const MOST_SUMS: usize = 4;
/// Keys of a part at least.
const FEWEST_KEYS: usize = 256;
/// Rows of a head that a thread passes over at a time, and rows of all heads at least.
const CHUNK: usize = 1 << 12;
const ROWS: usize = 64;

/// What attention keeps for its gradient.
#[derive(Debug)]
pub(super) struct AttentionGradient<const N: usize> {
    pub plan: Plan,
    pub inputs: [HostTensor; N],
    /// Where queries, keys and values lie among the inputs.
    pub places: [Source; 3],
    pub output: HostTensor,
    /// Of sums of exponentials, `(query rows, heads)`.
    pub logs: Vec<f32>,
}

impl<const N: usize> Gradient<N> for AttentionGradient<N> {
    fn backward(&self, output: &[f32], _: [bool; N]) -> [Option<Vec<f32>>; N] {
        let (width, plan) = (self.plan.width(), &self.plan);
        let strides = self.inputs.each_ref().map(|host| host.dims::<2>()[1]);
        let rows = |place: Source| {
            let host = &self.inputs[place.source];
            place.rows((host.values(), strides[place.source]))
        };
        let [queries, keys, values] = self.places.map(rows);
        let backward = Backward {
            plan,
            queries,
            keys,
            values,
            logs: &self.logs,
            gradient: (output, width),
            along: &dots(output, self.output.values(), plan.head_dim),
        };
        // Gradients of queries are added to, so memory begins with zeros.
        let mut gradients = self.inputs.each_ref().map(|host| {
            let len = host.shape().iter().product();
            zeros(len)
        });
        let targets = self.places.map(|place| Target {
            memory: Shared(
                gradients[place.source]
                    .as_mut_ptr()
                    .wrapping_add(place.column),
            ),
            stride: strides[place.source],
        });
        backward.write(targets);
        gradients.map(Some)
    }
}

/// Where the rows of a gradient are written.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub memory: Shared,
    /// Distance between rows.
    pub stride: usize,
}

/// What the gradient is made from.
pub(super) struct Backward<'a> {
    pub plan: &'a Plan,
    pub queries: Rows<'a>,
    pub keys: Rows<'a>,
    pub values: Rows<'a>,
    /// The output's gradient.
    pub gradient: Rows<'a>,
    /// Logarithms to base 2 of sums of exponentials, `(query rows, heads)`.
    pub logs: &'a [f32],
    /// Each query's output times the output's gradient, `(query rows, heads)`.
    pub along: &'a [f32],
}

impl Backward<'_> {
    /// Writes gradients of queries, keys and values; those of queries are added to what is there.
    fn write(&self, [to_queries, to_keys, to_values]: [Target; 3]) {
        let (plan, width) = (self.plan, self.plan.width());
        let arch = Arch::new();
        let pairs: Vec<(Pair, usize)> = plan.pairs().zip(self.ranges()).collect();
        let most = pairs.iter().map(|(_, ranges)| *ranges).max().unwrap_or(1);
        let rows = plan.queries.total();
        // The first part of a group's keys adds to the result, the others to sums of their own.
        let mut sums: Vec<Vec<f32>> = (1..most).map(|_| vec![0.0; rows * width]).collect();
        let others = sums.iter_mut().map(|sums| Target {
            memory: Shared(sums.as_mut_ptr()),
            stride: width,
        });
        let all_queries: Vec<Target> = std::iter::once(to_queries).chain(others).collect();
        let mut parts = Vec::new();
        for (pair, ranges) in &pairs {
            let size = even(
                pair.keys.len(),
                pair.keys.len().div_ceil(*ranges).max(1),
                tile_shape(arch).rows,
            );
            for head in 0..plan.heads {
                let keys = pieces(0..pair.keys.len(), size).zip(&all_queries);
                parts.extend(keys.map(|(keys, to_queries)| Part {
                    backward: self,
                    pair,
                    head,
                    keys,
                    to_queries: *to_queries,
                    to_keys: [to_keys, to_values],
                }));
            }
        }
        parts
            .into_par_iter()
            .for_each(|part| arch.dispatch(InTiles(part)));
        for sums in &sums {
            add_rows(to_queries, sums, width);
        }
    }

    /// Into how many parts the keys of each group are cut.
    fn ranges(&self) -> Vec<usize> {
        let work = |pair: Pair| pair.queries.len() * pair.keys.len();
        let total: usize = self.plan.pairs().map(work).sum();
        let ranges = self.plan.pairs().map(|pair| {
            let most = (pair.keys.len() / FEWEST_KEYS).clamp(1, MOST_SUMS);
            let share = PARTS * work(pair) / (total * self.plan.heads).max(1);
            share.clamp(1, most)
        });
        ranges.collect()
    }
}

/// Adds rows of `width` values.
fn add_rows(to: Target, rows: &[f32], width: usize) {
    rows.par_chunks_exact(width)
        .with_min_len(ROWS)
        .enumerate()
        .for_each(|(row, values)| {
            // SAFETY: the target has as many rows of as many values, and each is one task's.
            let to = unsafe { std::slice::from_raw_parts_mut(to.row(row), width) };
            to.iter_mut().zip(values).for_each(|(to, x)| *to += x);
        });
}

impl Target {
    /// Where a row begins.
    #[inline(always)]
    pub(super) fn row(self, row: usize) -> *mut f32 {
        self.memory.0.wrapping_add(row * self.stride)
    }
}

/// Products of rows of `dim` values, one a row.
fn dots(a: &[f32], b: &[f32], dim: usize) -> Vec<f32> {
    let mut dots = vec![0.0; a.len() / dim];
    let rows = a.par_chunks(CHUNK * dim).zip(b.par_chunks(CHUNK * dim));
    let chunks = dots.par_chunks_mut(CHUNK).zip(rows);
    chunks.for_each(|(dots, (a, b))| {
        vectorized(|| {
            let rows = a.chunks_exact(dim).zip(b.chunks_exact(dim));
            for (to, (a, b)) in dots.iter_mut().zip(rows) {
                *to = dot(a, b);
            }
        });
    });
    dots
}

/// In running sums so that it vectorises.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let ((a, last_a), (b, last_b)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let last = last_a.iter().zip(last_b).map(|(a, b)| a * b);
    sums.iter().sum::<f32>() + last.sum::<f32>()
}
