//! AdamW against its definition, written out with tensors' values one by one.

use std::collections::HashMap;

use aion_kernel::{WeightNames, Weights};
use aion_train::gradients::GradientSum;
use aion_train::lora::LoraConfig;
use aion_train::optim::{AdamW, AdamWConfig};
use aion_train::roles::{Role, roles};
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
            sum.add(&model, gradients, 1.0);
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
    sum.add(&model, loss.total.backward(), 1.0);
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let (model, outcome) = optimizer.step(model, sum, 1.0);
    assert!(outcome.skipped);
    assert_eq!(values(&model), before);
    assert!(optimizer.moments().is_empty());
}

/// A model with its names, in training.
fn line() -> (Line, WeightNames) {
    let (model, names) = Line::new(&Weights::seeded(1, &Device::flex()));
    (model.train(), names)
}

/// Gradients of the batch at `position`.
fn gradients(model: &Line, position: u64) -> GradientSum {
    let task = Plane { broken: u64::MAX };
    let batch = task.batch(position).expect("data");
    let loss = task.loss(model, batch).expect("loss");
    let mut sum = GradientSum::default();
    sum.add(model, loss.total.backward(), 1.0);
    sum
}

#[test]
fn uneven_parts_make_the_step_of_one_large_batch() {
    let (model, _) = line();
    let (input, target) = Plane { broken: u64::MAX }.batch(0).expect("data");
    let part = |range: std::ops::Range<usize>| {
        let rows = range.len() as f64;
        let (input, target) = (
            input.clone().slice([range.clone()]),
            target.clone().slice([range]),
        );
        let mean = (model.forward(input) - target).powf_scalar(2.0).mean();
        (mean.mul_scalar(rows).backward(), rows)
    };
    let sum = |parts: [std::ops::Range<usize>; 2]| {
        let mut sum = GradientSum::default();
        for range in parts.into_iter().filter(|range| !range.is_empty()) {
            let (gradients, weight) = part(range);
            sum.add(&model, gradients, weight);
        }
        sum.norm()
    };
    let whole = sum([0..16, 16..16]);
    assert!((sum([0..3, 3..16]) / whole - 1.0).abs() < 1e-6);
    assert!((sum([0..8, 8..16]) / whole - 1.0).abs() < 1e-6);
}

#[test]
fn running_means_follow_the_weights() {
    let config = AdamWConfig {
        ema: Some(0.9999),
        ..AdamWConfig::default()
    };
    let (mut model, _) = line();
    let mut optimizer = AdamW::new(config);
    let mut expected = values(&model);
    for step in 0..5u64 {
        let sum = gradients(&model, step);
        (model, _) = optimizer.step(model, sum, 1.0);
        let share = 1.0 - (1.0 + step as f32) / (10.0 + step as f32);
        for (id, (_, now)) in values(&model) {
            let average = expected.get_mut(&id).expect("known").1.iter_mut();
            average
                .zip(now)
                .for_each(|(average, now)| *average += share * (now - *average));
        }
    }
    let found = values(&optimizer.averaged(model.valid()));
    for (id, (_, expected)) in &expected {
        for (found, expected) in found[id].1.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
    assert_ne!(found, values(&model));
}

/// Trains a few steps with these roles and adapters; which parameters, by name, have changed.
fn changed(optim: &AdamWConfig, lora: Option<&LoraConfig>) -> Vec<String> {
    use aion_train::schedule::Schedule;
    use aion_train::trainer::{LoopConfig, Trainer};
    let (model, names) = Line::new(&Weights::seeded(1, &Device::flex()));
    let before = values(&model);
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "seed = 1\nsteps = 4\nbatch = 16\noutput = {:?}",
        folder.path()
    );
    let run: LoopConfig = toml::from_str(&text).expect("valid");
    let trainer = Trainer {
        run: &run,
        optim,
        lora,
        schedule: &Schedule::default(),
        config: "",
        examples: 1,
        peak: None,
    };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let task = Plane { broken: u64::MAX };
    let trained = trainer.run(&task, model, &names, None, &mut |_| {}, &stop);
    let after = values(&trained.expect("trains").model);
    let differing = names.params().filter(|(_, id, _)| before[id] != after[id]);
    differing.map(|(name, ..)| name.to_owned()).collect()
}

#[test]
fn frozen_parameters_stay() {
    let frozen = |patterns: &[&str]| AdamWConfig {
        frozen: patterns.iter().map(|text| (*text).to_owned()).collect(),
        ..AdamWConfig::default()
    };
    let all = [
        "hidden.bias",
        "hidden.weight",
        "output.bias",
        "output.weight",
    ];
    assert_eq!(changed(&frozen(&[]), None), all);
    assert_eq!(changed(&frozen(&["hidden.*"]), None), all[2..]);
    let (_, names) = line();
    let error = roles(&names, &frozen(&["hiden.*"]), None).expect_err("no such parameter");
    let text = error.to_string();
    assert!(
        text.contains("optim.frozen") && text.contains("hiden.*"),
        "{text}"
    );
}

#[test]
fn adapters_change_their_matrices_only() {
    let lora = LoraConfig {
        rank: 2,
        alpha: 4.0,
        targets: vec!["hidden.*".to_owned()],
        whole: vec!["output.bias".to_owned()],
    };
    let optim = AdamWConfig::default();
    assert_eq!(
        changed(&optim, Some(&lora)),
        ["hidden.weight", "output.bias"]
    );
    let (_, names) = line();
    let roles = roles(&names, &optim, Some(&lora)).expect("roles");
    let role = |wanted: &str| {
        let found = names.params().find(|(name, ..)| *name == wanted);
        roles[&found.expect("known").1]
    };
    assert_eq!(role("hidden.weight"), Role::Decayed);
    assert_eq!(role("output.bias"), Role::Plain);
    assert_eq!(role("output.weight"), Role::Frozen);
}
