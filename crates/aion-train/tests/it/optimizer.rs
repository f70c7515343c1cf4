//! AdamW against its definition, written out with tensors' values one by one.

use std::collections::HashMap;

use aion_kernel::Weights;
use aion_train::optim::{AdamW, AdamWConfig, GradientSum};
use aion_train::step::Step;
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};

use crate::line::{Line, Plane};

#[derive(Default)]
struct Values(HashMap<ParamId, (usize, Vec<f32>)>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().iter::<f32>().collect();
        self.0.insert(param.id, (D, values));
    }
}

fn values(model: &Line) -> HashMap<ParamId, (usize, Vec<f32>)> {
    let mut values = Values::default();
    model.visit(&mut values);
    values.0
}

struct Gradients<'a>(&'a burn::tensor::Gradients, HashMap<ParamId, Vec<f32>>);

impl ModuleVisitor for Gradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.0) {
            let values = gradient.into_data().iter::<f32>().collect();
            self.1.insert(param.id, values);
        }
    }
}

/// The textbook update in 64 bits.
fn textbook(
    config: &AdamWConfig,
    factor: f64,
    step: i32,
    rank: usize,
    state: &mut [f64; 3],
    g: f64,
) {
    let [b1, b2] = config.betas;
    let rate = config.learning_rate * factor;
    let [value, mean, square] = state;
    if rank > 1 {
        *value -= rate * config.weight_decay * *value;
    }
    *mean = b1 * *mean + (1.0 - b1) * g;
    *square = b2 * *square + (1.0 - b2) * g * g;
    let (m, v) = (
        *mean / (1.0 - b1.powi(step)),
        *square / (1.0 - b2.powi(step)),
    );
    *value -= rate * m / (v.sqrt() + config.epsilon);
}

#[test]
fn follows_the_definition() {
    let config = AdamWConfig {
        learning_rate: 0.05,
        weight_decay: 0.2,
        max_norm: 0.3,
        ..AdamWConfig::default()
    };
    let (model, _) = Line::new(&Weights::seeded(1, &Device::flex()));
    let mut model = model.train();
    let mut optimizer = AdamW::new(config.clone());
    let mut expected: HashMap<ParamId, (usize, Vec<[f64; 3]>)> = values(&model)
        .into_iter()
        .map(|(id, (rank, v))| {
            (
                id,
                (rank, v.iter().map(|v| [f64::from(*v), 0.0, 0.0]).collect()),
            )
        })
        .collect();
    let task = Plane { broken: u64::MAX };
    for step in 0..12u64 {
        let mut sum = GradientSum::default();
        let mut mean: HashMap<ParamId, Vec<f64>> = HashMap::new();
        for part in 0..2 {
            let batch = task.batch(2 * step + part).expect("data");
            let loss = task.loss(&model, batch).expect("loss");
            let gradients = loss.total.backward();
            let mut seen = Gradients(&gradients, HashMap::new());
            model.visit(&mut seen);
            for (id, values) in seen.1 {
                let sums = mean.entry(id).or_insert_with(|| vec![0.0; values.len()]);
                sums.iter_mut()
                    .zip(values)
                    .for_each(|(s, v)| *s += 0.5 * f64::from(v));
            }
            sum.add(&model, gradients);
        }
        let norm = mean.values().flatten().map(|g| g * g).sum::<f64>().sqrt();
        assert!((sum.norm() / norm - 1.0).abs() < 1e-5);
        let factor = 1.0 / (step + 1) as f64;
        let clip = (config.max_norm / norm).min(1.0);
        for (id, (rank, states)) in &mut expected {
            for (state, g) in states.iter_mut().zip(&mean[id]) {
                textbook(&config, factor, step as i32 + 1, *rank, state, g * clip);
            }
        }
        let outcome;
        (model, outcome) = optimizer.step(model, sum, factor);
        assert!(!outcome.skipped && (outcome.norm / norm - 1.0).abs() < 1e-5);
    }
    for (id, (_, values)) in values(&model) {
        for (value, state) in values.iter().zip(&expected[&id].1) {
            assert!(
                (f64::from(*value) - state[0]).abs() < 1e-4,
                "{value} {}",
                state[0]
            );
        }
    }
}

#[test]
fn leaves_the_model_alone_when_gradients_are_not_finite() {
    let (model, _) = Line::new(&Weights::seeded(1, &Device::flex()));
    let model = model.train();
    let before = values(&model);
    let task = Plane { broken: 0 };
    let loss = task
        .loss(&model, task.batch(0).expect("data"))
        .expect("loss");
    let mut sum = GradientSum::default();
    sum.add(&model, loss.total.backward());
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let (model, outcome) = optimizer.step(model, sum, 1.0);
    assert!(outcome.skipped);
    assert_eq!(values(&model), before);
    assert!(optimizer.moments().is_empty());
}
