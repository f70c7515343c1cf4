//! The gradient of softmax attention: scores and weights are made again, some queries at a time and
//! all keys, and nothing as large as queries × keys is ever kept (arXiv 2205.14135, §3.1).

use std::ops::Range;

use rayon::prelude::*;

use super::Segments;
use crate::gradient::Gradient;
use crate::memory::HostTensor;
use crate::product::{Finish, Matrix, Panels, Product, Right, Transposed};
use crate::simd::{exp_nonpositive, vectorized};

/// Scores that are held at a time: they should stay in the nearer caches.
const SCORES: usize = 1 << 16;
/// Fewest queries worked on together.
const LEAST_QUERIES: usize = 24;

/// What the gradient needs.
#[derive(Debug)]
pub(super) struct AttentionGradient {
    /// Queries, keys and values, `(rows, heads · head_dim)`.
    pub inputs: [HostTensor; 3],
    /// The result, as large as the queries.
    pub output: HostTensor,
    pub segments: (Segments, Segments),
    pub heads: usize,
    pub causal: bool,
}

/// One head of one segment, each matrix its rows one after the other.
struct Head {
    dim: usize,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    gradient: Vec<f32>,
    /// `Σ dO O` of each query.
    along: Vec<f32>,
    causal: bool,
}

impl Gradient<3> for AttentionGradient {
    fn backward(&self, output: &[f32], _: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let (queries, keys) = (&self.segments.0, &self.segments.1);
        let pairs: Vec<_> = queries.ranges().zip(keys.ranges()).collect();
        let tasks = pairs.len() * self.heads;
        let found: Vec<[Vec<f32>; 3]> = (0..tasks)
            .into_par_iter()
            .map(|task| {
                let (queries, keys) = &pairs[task / self.heads];
                self.head(output, queries, keys, task % self.heads)
                    .backward()
            })
            .collect();
        [0, 1, 2].map(|which| {
            let of = if which == 0 { queries } else { keys };
            Some(self.gather(of, |task| &found[task][which]))
        })
    }
}

impl AttentionGradient {
    fn width(&self) -> usize {
        self.output.dims::<2>()[1]
    }

    fn head(
        &self,
        gradient: &[f32],
        queries: &Range<usize>,
        keys: &Range<usize>,
        head: usize,
    ) -> Head {
        let (width, dim) = (self.width(), self.width() / self.heads);
        let columns = |values: &[f32], rows: &Range<usize>| -> Vec<f32> {
            let rows = rows.clone();
            rows.flat_map(|row| values[row * width + head * dim..][..dim].iter().copied())
                .collect()
        };
        let [q, k, v] = self.inputs.each_ref().map(HostTensor::values);
        let gradient = columns(gradient, queries);
        let output = columns(self.output.values(), queries);
        let rows = gradient.chunks_exact(dim).zip(output.chunks_exact(dim));
        let along = rows.map(|(a, b)| a.iter().zip(b).map(|(a, b)| a * b).sum());
        Head {
            dim,
            along: along.collect(),
            queries: columns(q, queries),
            keys: columns(k, keys),
            values: columns(v, keys),
            gradient,
            causal: self.causal,
        }
    }

    /// All heads of all segments as rows, `(rows, heads · head_dim)`.
    fn gather<'a>(&self, rows: &Segments, of: impl Fn(usize) -> &'a Vec<f32>) -> Vec<f32> {
        let (width, dim) = (self.width(), self.width() / self.heads);
        let mut gathered = Vec::with_capacity(rows.total() * width);
        for (segment, length) in rows.lengths().iter().enumerate() {
            for row in 0..*length {
                for head in 0..self.heads {
                    let values = of(segment * self.heads + head);
                    gathered.extend_from_slice(&values[row * dim..(row + 1) * dim]);
                }
            }
        }
        gathered
    }
}

impl Head {
    /// Gradients of queries, keys and values.
    fn backward(&self) -> [Vec<f32>; 3] {
        let dim = self.dim;
        let (queries, keys) = (self.along.len(), self.keys.len() / dim);
        let turned = |values: &[f32]| Panels::new(values, [dim, keys], [1, dim]);
        let (keys_turned, values_turned) = (turned(&self.keys), turned(&self.values));
        let keys_panels = Panels::new(&self.keys, [keys, dim], [dim, 1]);
        let mut of_queries = vec![0.0; queries * dim];
        let mut of_keys = vec![0.0; keys * dim];
        let mut of_values = vec![0.0; keys * dim];
        let step = (SCORES / keys.max(1)).max(LEAST_QUERIES);
        let mut weights = vec![0.0; step.min(queries) * keys];
        let mut slopes = weights.clone();
        let scale = 1.0 / (dim as f32).sqrt();
        for start in (0..queries).step_by(step) {
            let rows = start..(start + step).min(queries);
            let some = |values: &'_ [f32]| values[rows.start * dim..rows.end * dim].to_vec();
            let (query, gradient) = (some(&self.queries), some(&self.gradient));
            let weights = &mut weights[..rows.len() * keys];
            let slopes = &mut slopes[..rows.len() * keys];
            multiply(&query, dim, &keys_turned, weights);
            multiply(&gradient, dim, &values_turned, slopes);
            for (row, (weights, slopes)) in rows.clone().zip(
                weights
                    .chunks_exact_mut(keys)
                    .zip(slopes.chunks_exact_mut(keys)),
            ) {
                let seen = if self.causal {
                    (row + 1).min(keys)
                } else {
                    keys
                };
                let along = self.along[row];
                vectorized(|| differentiate(weights, slopes, seen, scale, along));
            }
            let to = &mut of_queries[rows.start * dim..rows.end * dim];
            multiply(slopes, keys, &keys_panels, to);
            let panels = |values: &[f32]| Panels::new(values, [rows.len(), dim], [dim, 1]);
            multiply_turned(slopes, keys, &panels(&query), &mut of_keys);
            multiply_turned(weights, keys, &panels(&gradient), &mut of_values);
        }
        [of_queries, of_keys, of_values]
    }
}

/// Scores of a query to weights, and the slopes of its weights to those of its scores.
#[inline(always)]
fn differentiate(weights: &mut [f32], slopes: &mut [f32], seen: usize, scale: f32, along: f32) {
    let (weights, hidden) = weights.split_at_mut(seen);
    hidden.fill(0.0);
    slopes[seen..].fill(0.0);
    let mut largest = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = weights.as_chunks::<16>();
    for block in blocks {
        for (largest, x) in largest.iter_mut().zip(block) {
            *largest = largest.max(*x);
        }
    }
    let largest = largest
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    for weight in weights.iter_mut() {
        *weight = exp_nonpositive((*weight - largest) * scale);
    }
    let mut sums = [0.0f32; 16];
    let (blocks, rest) = weights.as_chunks::<16>();
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, x)| *sum += x);
    }
    let total = sums.iter().sum::<f32>() + rest.iter().sum::<f32>();
    let share = 1.0 / total;
    for (weight, slope) in weights.iter_mut().zip(slopes) {
        *weight *= share;
        *slope = *weight * (*slope - along) * scale;
    }
}

/// `left · right`, rows one after the other.
fn multiply(left: &[f32], depth: usize, right: &Panels, to: &mut [f32]) {
    let product = Product {
        left: Matrix::new(left, depth),
        rows: left.len() / depth,
        right: Right::Packed(right),
        finish: Finish::default(),
    };
    product.write_alone(to, right.columns());
}

/// `leftᵀ · right`, added to `to`.
fn multiply_turned(left: &[f32], rows: usize, right: &Panels, to: &mut [f32]) {
    let product = Product {
        left: Transposed::new(left, rows),
        rows,
        right: Right::Packed(right),
        finish: Finish {
            accumulate: true,
            ..Finish::default()
        },
    };
    product.write_alone(to, right.columns());
}
