//! Attention over ragged batches.
//!
//! Objects have different numbers of tokens. Instead of padding them to one length, all tokens of
//! a batch lie in one matrix, one object after the other, and attention runs inside each object's
//! rows. Everything else in a transformer works on rows, so an object's result does not depend on
//! its neighbours, and no work is spent on padding.

mod backward;
mod fused;

use std::ops::Range;

use burn::tensor::{Tensor, TensorData, module, ops::AttentionModuleOptions};

use crate::gradient::{Input, Inputs};
use crate::memory::{HostRows, from_host};
use backward::AttentionGradient;

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
/// with `causal` only to those that do not come later.
///
/// # Shapes
/// queries `(rows_q, heads · head_dim)`, keys and values `(rows_k, heads · head_dim)` →
/// `(rows_q, heads · head_dim)`
pub fn attend(
    queries: Tensor<2>,
    keys: Tensor<2>,
    values: Tensor<2>,
    segments: (&Segments, &Segments),
    heads: usize,
    causal: bool,
) -> Tensor<2> {
    let hosts = [&queries, &keys, &values].map(HostRows::of);
    if let [Some(q), Some(k), Some(v)] = &hosts {
        let [rows, width] = queries.dims();
        let attention = fused::Attention {
            queries: q.rows(),
            keys: k.rows(),
            values: v.rows(),
            segments,
            heads,
            head_dim: width / heads,
            causal,
        };
        return from_host(attention.run(), [rows, width]);
    }
    let inputs = [&queries, &keys, &values].map(Input::of);
    if let Some(inputs) = Inputs::of(inputs) {
        let [rows, width] = queries.dims();
        let attention = fused::Attention {
            queries: (inputs.hosts()[0].values(), width),
            keys: (inputs.hosts()[1].values(), width),
            values: (inputs.hosts()[2].values(), width),
            segments,
            heads,
            head_dim: width / heads,
            causal,
        };
        let output = attention.run();
        return inputs.result(output, [rows, width], |inputs, output| AttentionGradient {
            inputs,
            output,
            segments: (segments.0.clone(), segments.1.clone()),
            heads,
            causal,
        });
    }
    composed(queries, keys, values, segments, heads, causal)
}

/// The same in burn's operations, on every device and with gradients.
fn composed(
    queries: Tensor<2>,
    keys: Tensor<2>,
    values: Tensor<2>,
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

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[test]
    fn fused_and_composed_attention_agree() {
        let device = Device::flex();
        for (queries, keys, heads, head_dim, causal) in [
            (vec![1], vec![1], 1, 4, false),
            (vec![5, 5, 70, 3], vec![5, 5, 70, 3], 3, 16, false),
            (vec![33, 1, 64], vec![33, 1, 64], 2, 64, true),
            (vec![40, 7], vec![90, 1], 4, 24, false),
            (vec![17], vec![2500], 1, 33, false),
            (vec![1100], vec![1100], 1, 8, true),
        ] {
            let (queries, keys) = (Segments::new(queries), Segments::new(keys));
            let width = heads * head_dim;
            let draw = |rows: usize| -> Tensor<2> {
                // Columns of a wider matrix, as those of one product for queries, keys and values.
                let wide = [rows, 2 * width + 3];
                let wide: Tensor<2> = Tensor::random(wide, Distribution::Default, &device);
                (wide * 6.0 - 3.0).slice([0..rows, 3..3 + width])
            };
            let (q, k, v) = (
                draw(queries.total()),
                draw(keys.total()),
                draw(keys.total()),
            );
            let segments = (&queries, &keys);
            let plain = composed(q.clone(), k.clone(), v.clone(), segments, heads, causal);
            let fused = attend(q, k, v, segments, heads, causal);
            assert_eq!(plain.dims(), fused.dims());
            let worst = (plain - fused).abs().max().into_scalar::<f32>();
            assert!(worst < 1e-5, "{segments:?} {heads} {head_dim}: {worst}");
        }
    }

    #[test]
    fn gradients_are_those_of_composed_attention() {
        let device = Device::flex();
        for (queries, keys, heads, head_dim, causal) in [
            (vec![1], vec![1], 1, 4, false),
            (vec![5, 70, 3], vec![5, 70, 3], 3, 16, false),
            (vec![33, 1, 64], vec![33, 1, 64], 2, 64, true),
            (vec![40, 7], vec![90, 1], 4, 24, false),
            (vec![17], vec![3000], 1, 33, false),
        ] {
            let (queries, keys) = (Segments::new(queries), Segments::new(keys));
            let width = heads * head_dim;
            let draw = |rows: usize| -> Tensor<2> {
                Tensor::random([rows, width], Distribution::Normal(0.0, 1.0), &device)
            };
            let inputs = [queries.total(), keys.total(), keys.total()].map(draw);
            let weight = draw(queries.total()).autodiff();
            let segments = (&queries, &keys);
            type Attend = fn(
                Tensor<2>,
                Tensor<2>,
                Tensor<2>,
                (&Segments, &Segments),
                usize,
                bool,
            ) -> Tensor<2>;
            let run = |attend: Attend| {
                let tracked = inputs.clone().map(|x| x.autodiff().require_grad());
                let [q, k, v] = tracked.clone();
                let output = attend(q, k, v, segments, heads, causal);
                let gradients = (output * weight.clone()).sum().backward();
                tracked.map(|x| x.grad(&gradients).expect("a gradient"))
            };
            let (found, expected) = (run(attend), run(composed));
            // With one key a query's gradient is zero but for rounding.
            let size = |x: &Tensor<2>| x.clone().abs().max().into_scalar::<f32>();
            let most = expected.iter().map(size).fold(0.0, f32::max);
            for (found, expected) in found.into_iter().zip(expected) {
                let largest = size(&expected).max(1e-2 * most);
                let worst = size(&(found - expected));
                assert!(worst < 1e-4 * largest, "{segments:?}: {worst} of {largest}");
            }
        }
    }
}
