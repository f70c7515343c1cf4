//! The loss and its gradients.

use std::collections::BTreeSet;

use aion_model::{Activation, Checkpoint, DecoderAttention, ModelConfig};
use aion_model::{Transformer, Visible, VisibleTokens, budget, show_all};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Gradients, Tensor};

use crate::batch::{config, model, objects};
use crate::case::key;

/// Half of each object's tokens shown, a target of some positions hidden.
fn batch() -> (Vec<VisibleTokens>, Vec<VisibleTokens>) {
    let shown = objects().into_iter().enumerate().map(|(place, tokens)| {
        let all = show_all(place, &tokens).expect("counts that fit");
        budget(&all, 40, place as u64)
    });
    let hidden = (0..4).map(|place| {
        let places = vec![place, place + 20];
        let part = Visible {
            tokens: places.iter().map(|place| place * 7).collect(),
            positions: places,
        };
        VisibleTokens::from([(key("tok_xp_rp"), part), (key("tok_z"), Visible::all(&[9]))])
    });
    (shown.collect(), hidden.collect())
}

struct Counter<'a> {
    gradients: &'a Gradients,
    with: usize,
    finite: bool,
}

impl ModuleVisitor for Counter<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.with += 1;
            let sum = gradient.abs().sum().into_scalar::<f32>();
            self.finite &= sum.is_finite();
        }
    }
}

fn loss(model: &Transformer) -> f32 {
    let (shown, hidden) = batch();
    let loss = model.loss(&shown, &hidden, 0.0).expect("a loss");
    loss.mean.into_scalar::<f32>()
}

#[test]
fn a_new_model_guesses_evenly() {
    let (shown, hidden) = batch();
    let loss = model().loss(&shown, &hidden, 0.0).expect("a loss");
    let (sum, count) = loss.by_modality[&key("tok_xp_rp")];
    assert_eq!(count, 8);
    assert!((sum / 8.0 - 1024f64.ln()).abs() < 1.0, "{sum}");
    let total: f64 = loss.by_modality.values().map(|(sum, _)| sum).sum();
    let mean = f64::from(loss.mean.into_scalar::<f32>());
    assert!((total / 12.0 - mean).abs() < 1e-4, "{mean}");
}

#[test]
fn gradients_reach_every_part_that_is_used() {
    let model = model().train();
    let (shown, hidden) = batch();
    let loss = model.loss(&shown, &hidden, 0.0).expect("a loss");
    let gradients = loss.mean.backward();
    let mut counter = Counter {
        gradients: &gradients,
        with: 0,
        finite: true,
    };
    model.visit(&mut counter);
    assert!(counter.finite);
    assert!(counter.with > 60, "{} parameters", counter.with);
}

/// Moves all parameters a step along their gradients.
struct Step<'a> {
    gradients: &'a Gradients,
    rate: f32,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = param.val().grad(self.gradients) else {
            return param;
        };
        param.map(|value| {
            let step = gradient.autodiff() * self.rate;
            (value - step).detach().require_grad()
        })
    }
}

#[test]
fn a_small_step_lowers_the_loss_by_what_the_gradient_says() {
    let model = model().train();
    let (shown, hidden) = batch();
    let before = model.loss(&shown, &hidden, 0.0).expect("a loss");
    let gradients = before.mean.backward();
    let mut norm = Norm {
        gradients: &gradients,
        sum: 0.0,
    };
    model.visit(&mut norm);
    let rate = 1e-3;
    let mut step = Step {
        gradients: &gradients,
        rate,
    };
    let moved = model.clone().map(&mut step);
    let fall = loss(&model) - loss(&moved);
    let expected = rate * norm.sum;
    assert!(
        (fall / expected - 1.0).abs() < 0.1,
        "fell {fall}, expected {expected}"
    );
}

struct Norm<'a> {
    gradients: &'a Gradients,
    sum: f32,
}

impl ModuleVisitor for Norm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.sum += gradient.square().sum().into_scalar::<f32>();
        }
    }
}

/// Leaves only some parameters trained.
struct Freeze(BTreeSet<ParamId>);

impl ModuleMapper for Freeze {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trained = self.0.contains(&param.id) && param.is_require_grad();
        param.set_require_grad(trained)
    }
}

/// A model of three blocks a side, of which the parameters with such names are trained.
fn trained(config: &ModelConfig, names: &str) -> Transformer {
    let config = ModelConfig {
        encoder_depth: 3,
        decoder_depth: 3,
        ..config.clone()
    };
    let checkpoint = Checkpoint::seeded(&config, 5, &Device::flex()).expect("a model");
    let params = checkpoint.names.params();
    let named = params.filter(|(name, ..)| name.starts_with(names));
    let mut freeze = Freeze(named.map(|(_, id, _)| id).collect());
    checkpoint.transformer.train().map(&mut freeze)
}

/// Of every parameter, the bits of its gradient.
struct Bits<'a>(&'a Gradients, Vec<Option<Vec<u32>>>);

impl ModuleVisitor for Bits<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.0);
        let values =
            gradient.map(|values| values.into_data().iter::<f32>().map(f32::to_bits).collect());
        self.1.push(values);
    }
}

fn bits(model: &Transformer) -> (u32, Vec<Option<Vec<u32>>>) {
    let (shown, mut hidden) = batch();
    // The decoder's rows then fall into parts: questions about grids, and a sequence.
    hidden[1].insert(key("catalog"), Visible::all(&[300, 340, 430, 310]));
    let loss = model.loss(&shown, &hidden, 0.0).expect("a loss").mean;
    let gradients = loss.backward();
    let mut bits = Bits(&gradients, Vec::new());
    model.visit(&mut bits);
    (loss.into_scalar::<f32>().to_bits(), bits.1)
}

#[test]
fn recomputed_blocks_give_the_same_gradients() {
    let gated = config();
    let plain = ModelConfig {
        gated_mlp: false,
        act_layer: Activation::GELU,
        decoder_sep_mask: false,
        qk_norm: false,
        mlp_bias: true,
        norm_bias: true,
        proj_bias: true,
        qkv_bias: true,
        ..config()
    };
    // Everything; blocks of the decoder; and what comes after rows that want no gradient.
    let parts = ["", "decoder.", "encoder.1.mlp."];
    let attentions = [DecoderAttention::Reference, DecoderAttention::Content];
    for (config, part) in [&gated, &plain]
        .into_iter()
        .flat_map(|c| parts.map(|p| (c, p)))
    {
        for attention in attentions {
            let model = trained(config, part).with_decoder_attention(attention);
            let kept = bits(&model);
            let made_again = bits(&model.with_recompute(true));
            assert!(kept.1.iter().flatten().count() >= 3);
            assert!(kept == made_again, "{part}, {attention:?}");
        }
    }
}
