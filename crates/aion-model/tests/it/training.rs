//! The loss and its gradients.

use aion_model::{Transformer, Visible, VisibleTokens, budget, show_all};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

use crate::batch::{model, objects};
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
    let loss = model.loss(&shown, &hidden).expect("a loss");
    loss.mean.into_scalar::<f32>()
}

#[test]
fn a_new_model_guesses_evenly() {
    let (shown, hidden) = batch();
    let loss = model().loss(&shown, &hidden).expect("a loss");
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
    let loss = model.loss(&shown, &hidden).expect("a loss");
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
    let before = model.loss(&shown, &hidden).expect("a loss");
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
