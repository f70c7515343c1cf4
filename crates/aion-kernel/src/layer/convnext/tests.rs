//! The block on the CPU against burn's operations, results and gradients.

use super::*;
use crate::layer::tests::{assert_close, draw};
use burn::tensor::{Device, TensorData};

/// A block whose parameters are all random: norms start at one and at zero, which would hide their
/// own mistakes.
fn block(dim: usize) -> ConvNextBlock {
    let mut block = ConvNextBlock::new(&Weights::seeded(1, &Device::flex()), dim);
    let hidden = EXPANSION * dim;
    let vector = |len| Param::from_tensor(draw([len]) * 0.5 + 0.3);
    // A norm over few channels is steep where they differ little, and flat, with a gradient that is
    // all rounding, elsewhere.
    let size = if dim < LEAST_DIM { 1e-3 } else { 0.5 };
    block.depthwise = Param::from_tensor(draw([dim, 1, TAPS]) * size);
    block.depthwise_bias = Param::from_tensor(draw([dim]) * size);
    block.norm_weight = vector(dim);
    block.norm_bias = vector(dim);
    block.expand = Param::from_tensor(draw([hidden, dim]) * 2.0 / (dim as f64).sqrt());
    block.expand_bias = vector(hidden);
    block.gamma = Param::from_tensor(draw([1, 1, hidden]));
    block.beta = Param::from_tensor(draw([1, 1, hidden]));
    block.contract = Param::from_tensor(draw([dim, hidden]) / (hidden as f64).sqrt());
    block.contract_bias = vector(dim);
    block
}

const NAMES: [&str; 12] = [
    "output",
    "input",
    "depthwise",
    "depthwise bias",
    "norm weight",
    "norm bias",
    "expand",
    "expand bias",
    "gamma",
    "beta",
    "contract",
    "contract bias",
];

/// The result, and the gradients of the input and all parameters under a gradient of the result.
fn gradients(
    block: &ConvNextBlock,
    input: &Tensor<3>,
    weight: &Tensor<3>,
    ours: bool,
) -> Vec<TensorData> {
    let block = block.clone().train();
    let input = input.clone().autodiff().require_grad();
    let output = match ours {
        true => block.forward(input.clone()),
        false => block.composed(input.clone()),
    };
    let loss = (output.clone() * weight.clone().autodiff()).sum();
    let found = loss.backward();
    let one = |param: &Param<Tensor<1>>| param.val().grad(&found).expect("one").into_data();
    let two = |param: &Param<Tensor<2>>| param.val().grad(&found).expect("one").into_data();
    let three = |param: &Param<Tensor<3>>| param.val().grad(&found).expect("one").into_data();
    vec![
        output.without_autodiff().into_data(),
        input.grad(&found).expect("one").into_data(),
        three(&block.depthwise),
        one(&block.depthwise_bias),
        one(&block.norm_weight),
        one(&block.norm_bias),
        two(&block.expand),
        one(&block.expand_bias),
        three(&block.gamma),
        three(&block.beta),
        two(&block.contract),
        one(&block.contract_bias),
    ]
}

const SHAPES: [[usize; 3]; 7] = [
    [2, 301, 2],
    [1, 2, 3],
    [1, 5, 16],
    [3, 130, 24],
    [2, 64, 17],
    [1, 2, 20],
    [2, 200, 64],
];

#[test]
fn host_and_composed_blocks_agree() {
    for [batch, length, dim] in SHAPES {
        let block = block(dim);
        let input = draw([batch, length, dim]);
        let composed = block.composed(input.clone()).into_data();
        let host = block.on_host(&input).expect("on the CPU").into_data();
        assert_close(host, composed, 1e-5, &format!("{batch} {length} {dim}"));
    }
}

#[test]
fn gradients_are_burns() {
    for [batch, length, dim] in SHAPES {
        let block = block(dim);
        let [input, weight] = [0; 2].map(|_| draw([batch, length, dim]));
        let expected = gradients(&block, &input, &weight, false);
        let found = gradients(&block, &input, &weight, true);
        for ((found, expected), name) in found.into_iter().zip(expected).zip(NAMES) {
            let what = format!("{name} of {batch} x {length} x {dim}");
            assert_close(found, expected, 1e-4, &what);
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let block = block(40);
    let [input, weight] = [0; 2].map(|_| draw([2, 300, 40]));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().expect("a pool");
        pool.install(|| gradients(&block, &input, &weight, true))
    };
    let (one, three) = (run(1), run(3));
    for ((one, three), name) in one.iter().zip(&three).zip(NAMES) {
        assert_eq!(one, three, "{name}");
    }
}
