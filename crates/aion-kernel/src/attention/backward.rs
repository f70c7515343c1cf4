//! Gradients of attention in one pass over tiles: weights are made again from scores and from the
//! logarithms of their sums, and never written to memory.
//!
//! With weights `P`, output `O = P V` and its gradient `dO`: `dV = Pᵀ dO`, `dS = P ∘ (dO Vᵀ - D)`
//! where `D` is each query's `dO · O`, `dQ = dS K`, `dK = dSᵀ Q`. A part has some keys of a group in
//! one head, and all queries pass over them, some at a time. Gradients of queries are sums over
//! parts of keys, and these do not depend on the number of threads.

use pulp::Arch;
use rayon::prelude::*;

use super::backward_part::Part;
use super::plan::{Pair, Plan, Rows, even, pieces};
use crate::gradient::Gradient;
use crate::memory::{HostTensor, Shared};
use crate::simd::{tile_shape, vectorized};

/// Parts of keys that are worth their sums of queries' gradients, where heads and groups are few.
const PARTS: usize = 16;
/// Sums of queries' gradients that are held at most.
const MOST_SUMS: usize = 4;
/// Keys of a part at least.
const FEWEST_KEYS: usize = 256;
/// Values, or rows of a head, that a thread passes over at a time.
const CHUNK: usize = 1 << 12;

/// What attention keeps for its gradient.
#[derive(Debug)]
pub(super) struct AttentionGradient {
    pub plan: Plan,
    /// Queries, keys and values.
    pub inputs: [HostTensor; 3],
    pub output: HostTensor,
    /// Of sums of exponentials, `(query rows, heads)`.
    pub logs: Vec<f32>,
}

impl Gradient<3> for AttentionGradient {
    fn backward(&self, output: &[f32], wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let width = self.plan.width();
        let [queries, keys, values] = self.inputs.each_ref().map(|host| (host.values(), width));
        let backward = Backward {
            plan: &self.plan,
            queries,
            keys,
            values,
            logs: &self.logs,
            gradient: (output, width),
            along: &dots(output, self.output.values(), self.plan.head_dim),
        };
        let mut wanted = wanted.into_iter();
        backward
            .run()
            .map(|gradient| wanted.next().filter(|wanted| *wanted).map(|_| gradient))
    }
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
    /// Gradients of queries, keys and values, each `(rows, heads · head_dim)`.
    fn run(&self) -> [Vec<f32>; 3] {
        let (plan, width) = (self.plan, self.plan.width());
        let arch = Arch::new();
        let pairs: Vec<(Pair, usize)> = plan.pairs().zip(self.ranges()).collect();
        let sums = pairs.iter().map(|(_, ranges)| *ranges).max().unwrap_or(1);
        let zeros = |rows: usize| vec![0.0; rows * width];
        let mut queries: Vec<Vec<f32>> = (0..sums.max(1))
            .map(|_| zeros(plan.queries.total()))
            .collect();
        let mut keys = zeros(plan.keys.total());
        let mut values = zeros(plan.keys.total());
        let to_queries: Vec<Shared> = queries
            .iter_mut()
            .map(|sums| Shared(sums.as_mut_ptr()))
            .collect();
        let to_keys = [&mut keys, &mut values].map(|values| Shared(values.as_mut_ptr()));
        let mut parts = Vec::new();
        for (pair, ranges) in &pairs {
            let size = even(
                pair.keys.len(),
                pair.keys.len().div_ceil(*ranges).max(1),
                tile_shape(arch).rows,
            );
            for head in 0..plan.heads {
                let keys = pieces(0..pair.keys.len(), size).zip(&to_queries);
                parts.extend(keys.map(|(keys, to_queries)| Part {
                    backward: self,
                    pair,
                    head,
                    keys,
                    to_queries: *to_queries,
                    to_keys,
                }));
            }
        }
        parts.into_par_iter().for_each(|part| arch.dispatch(part));
        let mut others = queries.split_off(1);
        let queries = queries.pop().unwrap_or_default();
        let queries = others.drain(..).fold(queries, added);
        [queries, keys, values]
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

/// Values added to others, one by one.
fn added(mut to: Vec<f32>, values: Vec<f32>) -> Vec<f32> {
    let chunks = to.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
    chunks.for_each(|(to, values)| to.iter_mut().zip(values).for_each(|(to, x)| *to += x));
    to
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
