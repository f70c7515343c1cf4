//! Layers on the CPU against burn's operations, results and gradients.

use burn::tensor::activation;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData, module};

use super::linear::{gate, gated_product};
use super::*;
use crate::activation::Activation;
pub(super) use crate::draws::draw;
use crate::init::Init;
use crate::weights::Weights;

/// Fails unless two tensors agree within `tolerance` of the largest value.
pub(super) fn assert_close(found: TensorData, expected: TensorData, tolerance: f32, what: &str) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let expected: Vec<f32> = expected.iter::<f32>().collect();
    let largest = expected.iter().fold(1e-6f32, |max, x| max.max(x.abs()));
    for (found, expected) in found.iter::<f32>().zip(expected) {
        let error = (found - expected).abs();
        assert!(error <= tolerance * largest, "{what}: {found} {expected}");
    }
}

/// Result and gradients of two forms of an operation, under one random gradient of the result.
pub(super) fn assert_same<const D: usize>(
    inputs: &[Tensor<D>],
    ours: impl Fn(&[Tensor<D>]) -> Tensor<D>,
    burns: impl Fn(&[Tensor<D>]) -> Tensor<D>,
    what: &str,
) {
    let run = |operation: &dyn Fn(&[Tensor<D>]) -> Tensor<D>, weight: Option<Tensor<D>>| {
        let tracked = inputs.iter().map(|x| x.clone().autodiff().require_grad());
        let tracked: Vec<Tensor<D>> = tracked.collect();
        let output = operation(&tracked);
        let weight = weight.unwrap_or_else(|| draw(output.dims()));
        let loss = (output.clone() * weight.clone().autodiff()).sum();
        let gradients = loss.backward();
        let found = tracked
            .iter()
            .map(|x| x.grad(&gradients).expect("a gradient").into_data());
        let found: Vec<TensorData> = found.collect();
        (output.without_autodiff().into_data(), found, weight)
    };
    let (expected, expected_gradients, weight) = run(&burns, None);
    let (found, gradients, _) = run(&ours, Some(weight));
    assert_close(found, expected.clone(), 1e-5, what);
    assert_close(ours(inputs).into_data(), expected, 1e-5, what);
    for (index, (found, expected)) in gradients.into_iter().zip(expected_gradients).enumerate() {
        assert_close(found, expected, 1e-4, &format!("{what}: gradient {index}"));
    }
}

#[test]
fn affine_maps_are_burns() {
    for [rows, inputs, outputs] in [[1, 3, 2], [70, 33, 48], [200, 17, 5]] {
        let tensors = [
            draw([rows, inputs]),
            draw([outputs, inputs]),
            draw([1, outputs]),
        ];
        assert_same(
            &tensors,
            |t| {
                affine(
                    t[0].clone(),
                    t[1].clone(),
                    Some(t[2].clone().squeeze_dim(0)),
                )
            },
            |t| t[0].clone().matmul(t[1].clone().transpose()) + t[2].clone(),
            "with a bias",
        );
        assert_same(
            &tensors[..2],
            |t| affine(t[0].clone(), t[1].clone(), None),
            |t| t[0].clone().matmul(t[1].clone().transpose()),
            "without",
        );
    }
}

#[test]
fn norms_are_burns() {
    for [rows, dim] in [[1, 16], [130, 33], [70, 768]] {
        let tensors = [draw([rows, dim]), draw([1, dim]), draw([1, dim])];
        let norm = |t: &[Tensor<2>]| {
            let mut norm = LayerNorm::new(&Weights::seeded(1, &Device::flex()), dim, 1e-6, true);
            norm.set(t[1].clone().squeeze_dim(0), t[2].clone().squeeze_dim(0));
            norm.forward(t[0].clone())
        };
        let burns = |t: &[Tensor<2>]| {
            let [scale, shift] = [1, 2].map(|at: usize| t[at].clone().squeeze_dim(0));
            module::layer_norm(t[0].clone(), scale, Some(shift), 1e-6)
        };
        assert_same(&tensors, norm, burns, "norm");
    }
}

#[test]
fn gates_are_burns() {
    for activation in [Activation::Silu, Activation::Gelu, Activation::Elu] {
        assert_same(
            &[draw([33, 70]) * 3.0, draw([33, 70])],
            |t| gate(t[0].clone(), t[1].clone(), activation),
            |t| activation.composed(t[0].clone()) * t[1].clone(),
            "gate",
        );
    }
}

#[test]
fn activations_are_burns() {
    for activation in [Activation::Silu, Activation::Gelu, Activation::Elu] {
        assert_same(
            &[draw([33, 70]) * 3.0],
            |t| activation.of(t[0].clone()),
            |t| activation.composed(t[0].clone()),
            "activation",
        );
    }
}

#[test]
fn fused_products_are_the_composed_ones() {
    let weights = Weights::seeded(2, &Device::flex());
    let [rows, dim, hidden] = [45, 40, 70];
    let linear = |name: &str, from, to, bias| {
        Linear::new(&weights.at(name), from, to, bias, Init::Normal(0.3))
    };
    let norm = LayerNorm::new(&weights.at("norm"), dim, 1e-6, true);
    let input = draw([rows, dim]) * 2.0 + 1.0;
    let maps = [
        linear("a", dim, hidden, false),
        linear("b", dim, hidden, false),
    ];
    let normed = norm.forward(input.clone());
    let [first, second] = maps.each_ref().map(|map| map.forward(normed.clone()));
    let expected = gate(first, second, Activation::Silu);
    let pair = [&maps[0], &maps[1]];
    let found = gated_product(&norm, input.clone(), pair, Activation::Silu);
    assert_close(
        found.clone().into_data(),
        expected.into_data(),
        1e-5,
        "gated",
    );

    for bias in [false, true] {
        let down = linear(&format!("c{bias}"), hidden, dim, bias);
        let expected = input.clone() + down.forward(found.clone());
        let onto = down.forward_onto(found.clone(), input.clone());
        assert_close(onto.into_data(), expected.into_data(), 1e-5, "onto");
        let up = linear(&format!("d{bias}"), dim, hidden, bias);
        let expected = up.forward(normed.clone());
        let found = up.forward_normed(&norm, input.clone());
        assert_close(found.into_data(), expected.into_data(), 1e-5, "normed");
    }
}

#[test]
fn maps_of_normalised_rows_are_burns() {
    let [rows, dim, hidden] = [70, 33, 48];
    let tensors = [
        draw([rows, dim]) * 2.0 + 1.0,
        draw([1, dim]),
        draw([1, dim]),
        draw([hidden, dim]),
        draw([1, hidden]),
        draw([hidden, dim]),
        draw([dim, hidden]),
    ];
    let vector = |t: &Tensor<2>| t.clone().squeeze_dim::<1>(0);
    let normed = |t: &[Tensor<2>]| {
        module::layer_norm(t[0].clone(), vector(&t[1]), Some(vector(&t[2])), 1e-6)
    };
    let layer = |t: &[Tensor<2>]| {
        let mut norm = LayerNorm::new(&Weights::seeded(1, &Device::flex()), dim, 1e-6, true);
        norm.set(vector(&t[1]), vector(&t[2]));
        norm
    };
    let linear = |weight: &Tensor<2>, bias: Option<Tensor<1>>| Linear::of(weight.clone(), bias);
    let product = |a: Tensor<2>, b: &Tensor<2>| a.matmul(b.clone().transpose());
    for biased in [false, true] {
        let bias = |t: &[Tensor<2>]| biased.then(|| vector(&t[4]));
        let inputs = if biased { &tensors[..5] } else { &tensors[..4] };
        assert_same(
            inputs,
            |t| linear(&t[3], bias(t)).forward_normed(&layer(t), t[0].clone()),
            |t| match bias(t) {
                Some(bias) => product(normed(t), &t[3]) + bias.unsqueeze(),
                None => product(normed(t), &t[3]),
            },
            "normed",
        );
    }
    let gated = [0, 1, 2, 3, 5, 6].map(|at: usize| tensors[at].clone());
    assert_same(
        &gated,
        |t| {
            let maps = [3, 4, 5].map(|at: usize| linear(&t[at], None));
            let [first, second, down] = &maps;
            gated_mlp(
                &layer(t),
                t[0].clone(),
                [first, second, down],
                Activation::Silu,
            )
        },
        |t| {
            let units = [3, 4].map(|at: usize| product(normed(t), &t[at]));
            let [first, second] = units;
            let hidden = Activation::Silu.composed(first) * second;
            t[0].clone() + product(hidden, &t[5])
        },
        "gated",
    );
}

#[test]
fn convolutions_are_burns() {
    for (shape, outputs, kernel, stride) in [
        ([2, 8, 12, 16], 20, 3, 1),
        ([1, 9, 7, 18], 33, 3, 1),
        ([2, 12, 9, 16], 18, 7, 1),
        ([1, 10, 8, 5], 6, 7, 1),
        ([2, 8, 8, 6], 10, 3, 2),
        ([2, 5, 6, 7], 9, 1, 1),
    ] {
        let inputs = shape[3];
        let tensors = [
            draw(shape),
            draw([outputs, inputs, kernel, kernel]),
            draw([1, 1, 1, outputs]),
        ];
        for activation in [Activation::Linear, Activation::Elu, Activation::Silu] {
            let layer = |t: &[Tensor<4>]| {
                let weights = Weights::seeded(1, &Device::flex());
                let channels = [inputs, outputs];
                let mut conv = Conv2d::strided(&weights, channels, kernel, stride, kernel / 2);
                conv.set(t[1].clone(), t[2].clone().reshape([outputs]));
                conv.activated(t[0].clone(), activation)
            };
            let burns = |t: &[Tensor<4>]| {
                let steps = [stride, stride];
                let options = ConvOptions::new(steps, [kernel / 2; 2], [1, 1], 1);
                let input = t[0].clone().permute([0, 3, 1, 2]);
                let bias = Some(t[2].clone().reshape([outputs]));
                let output = module::conv2d(input, t[1].clone(), bias, options);
                activation.composed(output.permute([0, 2, 3, 1]))
            };
            let what = format!("{shape:?} {kernel}/{stride} {activation:?}");
            assert_same(&tensors, layer, burns, &what);
        }
    }
}

#[test]
fn squeeze_excite_is_burns() {
    for [batch, height, width, dim] in [[1, 3, 5, 18], [3, 8, 8, 40]] {
        let units = (dim / 2).max(16);
        let tensors = [
            draw([batch, height, width, dim]),
            draw([batch, height, width, dim]),
            draw([dim, dim, 1, 1]) * 0.3,
            draw([dim, 1, 1, 1]),
            // Scores small enough that many pixels have weight.
            draw([1, dim, 1, 1]) * 0.3,
            draw([units, dim, 1, 1]) * 0.3,
            draw([units, 1, 1, 1]),
            draw([dim, units, 1, 1]) * 0.3,
            // Gates are open: new ones are closed, and give no gradient to test.
            draw([dim, 1, 1, 1]),
        ];
        let layers = |t: &[Tensor<4>]| {
            let weights = Weights::seeded(3, &Device::flex());
            let mut pointwise = Conv2d::new(&weights.at("pointwise"), [dim, dim], 1);
            let mut gate = SqueezeExcite::new(&weights, dim);
            pointwise.set(t[2].clone(), t[3].clone().reshape([dim]));
            let offset = Tensor::ones([1], &Device::flex());
            gate.to_k.set(t[4].clone(), offset);
            gate.squeeze
                .set(t[5].clone(), t[6].clone().reshape([units]));
            gate.excite.set(t[7].clone(), t[8].clone().reshape([dim]));
            (gate, pointwise)
        };
        let ours = |t: &[Tensor<4>]| {
            let (gate, pointwise) = layers(t);
            gate.gate_and_add(&pointwise, t[0].clone(), t[1].clone())
        };
        let burns = |t: &[Tensor<4>]| {
            let (gate, pointwise) = layers(t);
            let values = pointwise.activated(t[0].clone(), Activation::Elu);
            gate.composed(values, t[1].clone())
        };
        assert_same(&tensors, ours, burns, "squeeze-excite");
    }
}

#[test]
fn cross_entropies_are_burns() {
    // More than a vector, and one value far above the others.
    let mut logits: Tensor<2> = draw([7, 133]) * 4.0;
    logits = logits.clone() + logits.narrow(0, 0, 1) * 5.0;
    let tokens: Vec<i64> = (0..7).map(|row| row * 19 % 133).collect();
    let burns = |t: &[Tensor<2>]| {
        let tokens = TensorData::new(tokens.clone(), [7, 1]);
        let tokens = Tensor::from_data(tokens, &t[0].device());
        let log = activation::log_softmax(t[0].clone(), 1);
        -log.gather(1, tokens).sum().reshape([1, 1])
    };
    let ours = |t: &[Tensor<2>]| cross_entropy(t[0].clone(), &tokens).reshape([1, 1]);
    assert_same(&[logits], ours, burns, "cross-entropy");
}

#[test]
fn selected_rows_are_burns() {
    // Some rows twice, some never.
    let numbers = [3i64, 0, 3, 4, 3];
    let burns = |t: &[Tensor<2>]| {
        let numbers = Tensor::from_data(TensorData::new(numbers.to_vec(), [5]), &t[0].device());
        t[0].clone().select(0, numbers)
    };
    let ours = |t: &[Tensor<2>]| select_rows(t[0].clone(), &numbers);
    assert_same(&[draw([6, 21])], ours, burns, "rows");
}

#[test]
fn maps_onto_other_rows_are_burns() {
    let tensors = [draw([9, 33]), draw([9, 17]), draw([17, 33])];
    let onto =
        |t: &[Tensor<2>]| Linear::of(t[2].clone(), None).forward_onto(t[0].clone(), t[1].clone());
    let burns = |t: &[Tensor<2>]| t[0].clone().matmul(t[2].clone().transpose()) + t[1].clone();
    assert_same(&tensors, onto, burns, "onto");
}
