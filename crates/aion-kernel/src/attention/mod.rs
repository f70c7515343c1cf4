//! Attention over ragged batches.
//!
//! Objects have different numbers of tokens. Instead of padding them to one length, all tokens of
//! a batch lie in one matrix, one object after the other, and attention runs inside each object's
//! rows. Everything else in a transformer works on rows, so an object's result does not depend on
//! its neighbours, and no work is spent on padding.

mod backward;
mod backward_part;
mod forward;
mod packed;
mod plan;
#[cfg(test)]
mod tests;
mod tile;

use std::ops::Range;

use burn::tensor::{Tensor, TensorData, module, ops::AttentionModuleOptions};

use crate::gradient::{Input, Inputs};
use crate::memory::{HostRows, from_host};
use backward::AttentionGradient;
use forward::Forward;
use plan::{Plan, Rows};

/// Rows of one batch, cut into consecutive groups that attend within themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments {
    lengths: Vec<usize>,
}

impl Segments {
    /// Consecutive groups of these lengths.
    pub fn new(lengths: Vec<usize>) -> Self {
        Segments { lengths }
    }

    /// Number of rows in each group.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Number of rows over all groups.
    pub fn total(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// The rows of each group.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.lengths.iter().scan(0, |start, length| {
            let range = *start..*start + length;
            *start = range.end;
            Some(range)
        })
    }
}

/// Runs of consecutive pairs with equal lengths, which attend in one call:
/// (number of groups, query length, key length).
fn runs(queries: &Segments, keys: &Segments) -> Vec<(usize, usize, usize)> {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for (&query, &key) in queries.lengths.iter().zip(&keys.lengths) {
        match runs.last_mut() {
            Some((count, q, k)) if (*q, *k) == (query, key) => *count += 1,
            _ => runs.push((1, query, key)),
        }
    }
    runs
}

/// Softmax attention inside each group: queries of group `i` attend to keys of group `i`,
/// with `causal` only to those that do not come later. The sources, side by side, hold queries, keys
/// and values: one product for all three is one source, and its gradient comes in one piece.
///
/// # Shapes
/// queries `(rows_q, heads · head_dim)`, keys and values `(rows_k, heads · head_dim)` →
/// `(rows_q, heads · head_dim)`
pub fn attend<const N: usize>(
    sources: [Tensor<2>; N],
    segments: (&Segments, &Segments),
    heads: usize,
    causal: bool,
) -> Tensor<2> {
    let widths = sources.each_ref().map(|source| source.dims()[1]);
    let width = widths.iter().sum::<usize>() / 3;
    let shape = [segments.0.total(), width];
    let plan = Plan {
        queries: segments.0.clone(),
        keys: segments.1.clone(),
        heads,
        head_dim: width / heads,
        causal,
    };
    let places = places(&widths, width);
    // Where nothing is recorded, columns of a wider matrix are read where they lie.
    let hosts: Option<Vec<HostRows>> = sources.iter().map(HostRows::of).collect();
    if let Some(hosts) = hosts {
        let inputs = places.map(|place| place.rows(hosts[place.source].rows()));
        let plan = &plan;
        return from_host(Forward { plan, inputs }.run(), shape);
    }
    let Some(inputs) = Inputs::of(sources.each_ref().map(Input::of)) else {
        let parts = places.map(|place| place.columns(&sources, width));
        return composed(parts, segments, heads, causal);
    };
    let hosts = inputs.hosts();
    let rows = places.map(|place| place.rows((hosts[place.source].values(), widths[place.source])));
    let forward = Forward {
        plan: &plan,
        inputs: rows,
    };
    let (output, logs) = forward.run_with_logs();
    inputs.result(output, shape, |inputs, output| AttentionGradient {
        plan,
        inputs,
        places,
        output,
        logs,
    })
}

/// Where queries, keys or values lie among the sources.
#[derive(Debug, Clone, Copy)]
struct Source {
    source: usize,
    /// The first column.
    column: usize,
}

impl Source {
    /// The rows of its source, from its first column on.
    fn rows<'a>(&self, (values, stride): Rows<'a>) -> Rows<'a> {
        (values.get(self.column..).unwrap_or_default(), stride)
    }

    fn columns(&self, sources: &[Tensor<2>], width: usize) -> Tensor<2> {
        let source = sources[self.source].clone();
        source.narrow(1, self.column, width)
    }
}

/// Of queries, keys and values, each `width` columns of sources that lie side by side.
fn places(widths: &[usize], width: usize) -> [Source; 3] {
    let (mut source, mut column) = (0, 0);
    [0; 3].map(|_| {
        if widths.get(source).is_some_and(|width| column >= *width) {
            (source, column) = (source + 1, 0);
        }
        let place = Source { source, column };
        column += width;
        place
    })
}

/// The same in burn's operations, on every device and with gradients.
fn composed(
    [queries, keys, values]: [Tensor<2>; 3],
    (query_segments, key_segments): (&Segments, &Segments),
    heads: usize,
    causal: bool,
) -> Tensor<2> {
    let width = queries.dims()[1];
    let options = AttentionModuleOptions {
        scale: None,
        softcap: None,
        is_causal: causal,
    };
    let (mut query_start, mut key_start) = (0, 0);
    let mut outputs = Vec::new();
    for (count, query_len, key_len) in runs(query_segments, key_segments) {
        let (query_rows, key_rows) = (count * query_len, count * key_len);
        // (groups · len, width) -> (groups, heads, len, head_dim)
        let split = |tensor: &Tensor<2>, start: usize, rows: usize, len: usize| {
            tensor
                .clone()
                .narrow(0, start, rows)
                .reshape([count, len, heads, width / heads])
                .swap_dims(1, 2)
        };
        let output = module::attention(
            split(&queries, query_start, query_rows, query_len),
            split(&keys, key_start, key_rows, key_len),
            split(&values, key_start, key_rows, key_len),
            None,
            None,
            options,
        );
        outputs.push(output.swap_dims(1, 2).reshape([query_rows, width]));
        query_start += query_rows;
        key_start += key_rows;
    }
    if outputs.len() == 1 {
        return outputs.remove(0);
    }
    Tensor::cat(outputs, 0)
}

/// The mean over each group's rows. Groups must not be empty.
///
/// # Shapes
/// `(rows, dim)` → `(groups, dim)`
pub fn means(values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    let groups = segments.ranges();
    Tensor::cat(
        groups
            .map(|rows| values.clone().slice([rows]).mean_dim(0))
            .collect(),
        0,
    )
}

/// One row a group, given to every row of the group.
///
/// # Shapes
/// `(groups, dim)` → `(rows, dim)`
pub fn spread(values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    let dim = values.dims()[1];
    if let [length] = segments.lengths() {
        return values.expand([*length, dim]);
    }
    let owners = segments.lengths().iter().enumerate();
    let owners: Vec<i64> = owners
        .flat_map(|(group, length)| std::iter::repeat_n(group as i64, *length))
        .collect();
    let owners = Tensor::from_data(
        TensorData::new(owners.clone(), [owners.len()]),
        &values.device(),
    );
    values.select(0, owners)
}
