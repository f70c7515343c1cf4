//! How far a case is from PyTorch.
//!
//! The error of a gradient is its largest difference over its largest magnitude, or over
//! [`FLOOR`] of the largest magnitude of all gradients of the case where that is more: some
//! gradients are zero but for rounding (softmax does not feel a constant).
//!
//! The spectrum codec amplifies rounding, so that PyTorch in single precision is itself beyond these
//! limits of PyTorch in double. There the limit is [`SLACK`] times PyTorch's own distance.

use std::collections::HashMap;
use std::fmt;

use aion_kernel::WeightNames;
use aion_train::gradients::GradientSum;
use aion_train::optim::AdamW;
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients, Tensor};

use crate::case::Case;

const LOSS: f32 = 1e-5;
const GRADIENT: f32 = 1e-4;
const STEPS: f32 = 1e-3;
/// How much further from double precision than PyTorch's single precision ours may be.
const SLACK: f32 = 2.0;
/// Gradients below this part of the case's largest are compared on that scale.
const FLOOR: f32 = 1e-3;

pub const HEADER: &str = "\
| case | gradients | values | loss | largest error | of | median error | ten steps | limits |
|---|---|---|---|---|---|---|---|---|";

/// Relative errors of one case.
#[derive(Debug)]
pub struct Agreement {
    name: String,
    values: usize,
    loss: f32,
    /// Each gradient's error and parameter, largest first.
    gradients: Vec<(f32, String)>,
    steps: f32,
    /// Of gradients and of steps.
    limits: [f32; 2],
}

impl Agreement {
    /// Fails where an error is beyond its limit.
    pub fn check(&self) {
        let name = &self.name;
        let [gradient, steps] = self.limits;
        assert!(self.loss < LOSS, "{name}: loss off by {}", self.loss);
        let beyond: Vec<&(f32, String)> = self
            .gradients
            .iter()
            .filter(|(error, _)| error.is_nan() || *error >= gradient)
            .collect();
        assert!(beyond.is_empty(), "{name}: gradients off: {beyond:?}");
        assert!(
            self.steps < steps,
            "{name}: losses of ten steps off by {}",
            self.steps
        );
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (worst, of) = &self.gradients[0];
        let count = self.gradients.len();
        let median = self.gradients[count / 2].0;
        write!(
            f,
            "| `{}` | {count} | {} | {:.1e} | {worst:.1e} | `{of}` | {median:.1e} | {:.1e} | {:.0e}, {:.0e} |",
            self.name, self.values, self.loss, self.steps, self.limits[0], self.limits[1]
        )
    }
}

/// Compares a model on the case's objects: `loss` is that of the objects with these numbers.
pub fn measure<M: Module>(
    case: &Case,
    model: M,
    names: &WeightNames,
    loss: impl Fn(&M, &[usize]) -> Tensor<1>,
) -> Agreement {
    let model = model.train();
    let all: Vec<usize> = (0..case.about.objects).collect();
    let total = loss(&model, &all);
    let mut ours = Named {
        gradients: total.backward(),
        names: names.params().map(|(name, id, _)| (id, name)).collect(),
        found: HashMap::new(),
    };
    model.visit(&mut ours);
    let (gradients, values) = compare(case, &ours.found);
    Agreement {
        name: case.name.clone(),
        values,
        loss: relative(total.into_scalar::<f32>(), case.about.loss),
        gradients,
        steps: steps(case, model, &loss),
        limits: limits(case),
    }
}

/// Gradients by the published names of their parameters.
struct Named<'a> {
    gradients: Gradients,
    names: HashMap<ParamId, &'a str>,
    found: HashMap<String, Vec<f32>>,
}

impl ModuleVisitor for Named<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(&self.gradients) {
            let name = self.names.get(&param.id).expect("a named parameter");
            let values = gradient.into_data().iter::<f32>().collect();
            self.found.insert((*name).to_owned(), values);
        }
    }
}

/// Errors of all gradients, and their number of values. A gradient that one side lacks is zero.
fn compare(case: &Case, ours: &HashMap<String, Vec<f32>>) -> (Vec<(f32, String)>, usize) {
    let file = case.tensors("gradients.safetensors");
    let theirs: HashMap<&str, Vec<f32>> = file
        .names()
        .map(|name| (name, file.values(name).expect("floats")))
        .collect();
    let largest = theirs
        .values()
        .map(|values| magnitude(values))
        .fold(0.0, f32::max);
    for (name, values) in ours {
        let known = theirs.contains_key(name.as_str());
        assert!(
            known || magnitude(values) == 0.0,
            "{}: {name} has a gradient here only",
            case.name
        );
    }
    let error = |(name, theirs): (&&str, &Vec<f32>)| {
        let zeros = vec![0.0; theirs.len()];
        let ours = ours.get(*name).unwrap_or(&zeros);
        assert_eq!(ours.len(), theirs.len(), "{}: {name}", case.name);
        let difference: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
        let scale = magnitude(theirs).max(FLOOR * largest);
        (magnitude(&difference) / scale, (*name).to_owned())
    };
    let mut errors: Vec<(f32, String)> = theirs.iter().map(error).collect();
    errors.sort_by(|a, b| b.0.total_cmp(&a.0));
    (errors, theirs.values().map(Vec::len).sum())
}

/// Largest magnitude; NaN where there is one.
fn magnitude(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| {
        if value.abs() <= largest {
            largest
        } else {
            value.abs()
        }
    })
}

fn relative(ours: f32, theirs: f32) -> f32 {
    (ours - theirs).abs() / theirs.abs()
}

/// Limits of gradients and of steps.
fn limits(case: &Case) -> [f32; 2] {
    let Some(single) = &case.about.single else {
        return [GRADIENT, STEPS];
    };
    let pairs = single.losses.iter().zip(&case.about.losses);
    let steps = pairs.fold(0f32, |worst, (a, b)| worst.max(relative(*a, *b)));
    [
        GRADIENT.max(SLACK * single.gradient),
        STEPS.max(SLACK * steps),
    ]
}

/// Largest error of the losses of ten steps, step k on object k modulo their number.
fn steps<M: Module>(case: &Case, mut model: M, loss: &impl Fn(&M, &[usize]) -> Tensor<1>) -> f32 {
    let about = &case.about;
    let mut optimizer = AdamW::new(about.optim.clone());
    let mut worst = 0f32;
    for (step, expected) in about.losses.iter().enumerate() {
        let total = loss(&model, &[step % about.objects]);
        let mut gradients = GradientSum::default();
        gradients.add(&model, total.backward(), 1.0);
        worst = worst.max(relative(total.into_scalar::<f32>(), *expected));
        let factor = about
            .schedule
            .factor(step as u64, about.losses.len() as u64);
        let outcome;
        (model, outcome) = optimizer.step(model, gradients, factor);
        assert!(!outcome.skipped, "{}: step {step} was skipped", case.name);
    }
    worst
}
