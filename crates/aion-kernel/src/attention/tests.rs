//! Attention and its gradients against burn's operations.

use burn::tensor::{Device, Gradients};

use super::*;
use crate::draws::draw_on;

/// Lengths of groups of queries and of keys, heads, values of a head, whether causal.
type Case = (Vec<usize>, Vec<usize>, usize, usize, bool);

fn cases() -> Vec<Case> {
    vec![
        (vec![1], vec![1], 1, 4, false),
        (vec![5, 5, 70, 3], vec![5, 5, 70, 3], 3, 16, false),
        (vec![33, 1, 64], vec![33, 1, 64], 2, 64, true),
        (vec![40, 7], vec![90, 1], 4, 24, false),
        (vec![17], vec![2500], 1, 33, false),
        (vec![700, 20], vec![3, 800], 1, 5, false),
        (vec![1100], vec![1100], 1, 8, true),
    ]
}

/// Queries, keys and values in columns of a wider matrix, as those of one product for all three.
fn draw((queries, keys): (&Segments, &Segments), width: usize, device: &Device) -> [Tensor<2>; 3] {
    [queries, keys, keys].map(|segments| {
        let rows = segments.total();
        let wide: Tensor<2> = draw_on([rows, 2 * width + 3], device);
        (wide * 1.5).slice([0..rows, 3..3 + width])
    })
}

/// The largest difference and the largest value.
fn differences(found: Tensor<2>, expected: Tensor<2>) -> [f32; 2] {
    assert_eq!(found.dims(), expected.dims());
    let largest = expected.clone().abs().max().into_scalar::<f32>();
    [(found - expected).abs().max().into_scalar::<f32>(), largest]
}

#[test]
fn one_pass_and_composed_attention_agree() {
    for (queries, keys, heads, head_dim, causal) in cases() {
        let (queries, keys) = (Segments::new(queries), Segments::new(keys));
        let segments = (&queries, &keys);
        let [q, k, v] = draw(segments, heads * head_dim, &Device::flex());
        let parts = [q, k, v];
        let expected = composed(parts.clone(), segments, heads, causal);
        for (how, attend) in FORMS {
            if how == "one source" && queries != keys {
                continue;
            }
            let found = attend(parts.clone(), segments, heads, causal);
            let [worst, _] = differences(found, expected.clone());
            assert!(
                worst < 1e-5,
                "{how} {segments:?} {heads} {head_dim}: {worst}"
            );
        }
    }
}

type Attend = fn([Tensor<2>; 3], (&Segments, &Segments), usize, bool) -> Tensor<2>;

/// Queries, keys and values apart, keys beside values, and all in one.
const FORMS: [(&str, Attend); 3] = [
    ("three sources", attend),
    ("two sources", |[q, k, v], segments, heads, causal| {
        attend([q, Tensor::cat(vec![k, v], 1)], segments, heads, causal)
    }),
    ("one source", |parts, segments, heads, causal| {
        attend([Tensor::cat(parts.to_vec(), 1)], segments, heads, causal)
    }),
];

/// Output and gradients of queries, keys and values, the output's gradient being `weights`.
fn gradients(
    attend: Attend,
    inputs: &[Tensor<2>; 3],
    weights: &Tensor<2>,
    segments: (&Segments, &Segments),
    (heads, causal): (usize, bool),
) -> [Tensor<2>; 4] {
    let [q, k, v] = inputs.clone().map(Tensor::require_grad);
    let parts = [q.clone(), k.clone(), v.clone()];
    let output = attend(parts, segments, heads, causal);
    let loss = (output.clone() * weights.clone()).sum();
    let gradients: Gradients = loss.backward();
    let [q, k, v] = [q, k, v].map(|input| input.grad(&gradients).expect("a gradient"));
    [output.inner(), q, k, v]
}

#[test]
fn gradients_are_those_of_composed_attention() {
    let device = Device::flex().autodiff();
    for (queries, keys, heads, head_dim, causal) in cases() {
        let (queries, keys) = (Segments::new(queries), Segments::new(keys));
        let segments = (&queries, &keys);
        let inputs = draw(segments, heads * head_dim, &device);
        let weights = draw(segments, heads * head_dim, &device)[0].clone();
        let how = (heads, causal);
        let expected = gradients(composed, &inputs, &weights, segments, how);
        // With one key the gradients of queries and keys are zero but for rounding.
        let size = |x: &Tensor<2>| x.clone().abs().max().into_scalar::<f32>();
        let all = expected.iter().map(size).fold(0.0, f32::max);
        let what = ["output", "queries", "keys", "values"];
        for (form, attend) in FORMS {
            if form == "one source" && queries != keys {
                continue;
            }
            let found = gradients(attend, &inputs, &weights, segments, how);
            for ((what, found), expected) in what.iter().zip(found).zip(&expected) {
                let [worst, largest] = differences(found, expected.clone());
                let most = 1e-4 * largest.max(1e-2 * all);
                assert!(
                    worst <= most,
                    "{form} {what} {segments:?} {how:?}: {worst} {largest}"
                );
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let device = Device::flex().autodiff();
    let (queries, keys) = (Segments::new(vec![300, 7]), Segments::new(vec![900, 30]));
    let segments = (&queries, &keys);
    let inputs = draw(segments, 48, &device);
    let weights = draw(segments, 48, &device)[0].clone();
    let results = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let run = || gradients(attend, &inputs, &weights, segments, (2, false));
        let results = pool.expect("threads").install(run);
        results.map(|values| values.into_data().try_to_vec::<f32>().expect("values"))
    });
    assert_eq!(results[0], results[1]);
}
