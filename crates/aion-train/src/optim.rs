//! AdamW with decoupled weight decay, and the gradients it works on (paper §2, §7.5).
//!
//! Gradients and moments are host memory. On the CPU a parameter's memory is moved out of its
//! tensor, updated where it lies in one pass over value, gradient and moments, and moved back;
//! elsewhere this costs a transfer. The norm is summed in the module's order, so that two runs
//! with the same numbers take the same steps.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Gradients, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Values that one task works on: large enough to hide its cost, small enough for the cache.
const CHUNK: usize = 1 << 15;

/// Settings of [`AdamW`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Peak learning rate, which the schedule scales.
    pub learning_rate: f64,
    /// Decay rates of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Fraction of the learning rate by which matrices shrink a step; vectors (norm weights and
    /// biases) never do.
    pub weight_decay: f64,
    /// Largest norm over all gradients; larger ones are scaled down to it.
    pub max_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig {
            learning_rate: 1e-3,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.05,
            max_norm: 1.0,
        }
    }
}

impl AdamWConfig {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let positive = |key, value: f64| {
            let fine = value > 0.0 && value.is_finite();
            fine.then_some(()).ok_or_else(|| {
                TrainError::config(key, format!("is {value}, expected a positive number"))
            })
        };
        positive("optim.learning_rate", self.learning_rate)?;
        positive("optim.epsilon", self.epsilon)?;
        positive("optim.max_norm", self.max_norm)?;
        if !(0.0..1.0).contains(&self.weight_decay) {
            let reason = format!("is {}, expected 0 or more, below 1", self.weight_decay);
            return Err(TrainError::config("optim.weight_decay", reason));
        }
        if self.betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            let reason = format!("is {:?}, expected two of 0 or more, below 1", self.betas);
            return Err(TrainError::config("optim.betas", reason));
        }
        Ok(())
    }
}

/// Gradients of a module's parameters, summed over the parts of a batch.
#[derive(Debug, Default)]
pub struct GradientSum {
    gradients: Vec<(ParamId, Vec<f32>)>,
    parts: usize,
}

impl GradientSum {
    /// Adds what the backward pass over one part gave. Parameters without a gradient (embeddings
    /// of modalities that the part lacks) are left out.
    pub fn add<M: Module>(&mut self, module: &M, gradients: Gradients) {
        let mut collector = Collector {
            gradients,
            found: Vec::new(),
        };
        module.visit(&mut collector);
        self.parts += 1;
        if self.gradients.is_empty() {
            self.gradients = collector.found;
            return;
        }
        for (id, values) in collector.found {
            match self.gradients.iter_mut().find(|(other, _)| *other == id) {
                Some((_, sum)) => sum.iter_mut().zip(values).for_each(|(s, v)| *s += v),
                None => self.gradients.push((id, values)),
            }
        }
    }

    /// Root of the sum of squares over all gradients, of the mean over the parts.
    pub fn norm(&self) -> f64 {
        let squares = |values: &[f32]| -> f64 { values.iter().map(|v| f64::from(v * v)).sum() };
        let total: f64 = self
            .gradients
            .iter()
            .map(|(_, values)| {
                let sums: Vec<f64> = values.par_chunks(CHUNK).map(squares).collect();
                sums.iter().sum::<f64>()
            })
            .sum();
        total.sqrt() / self.parts.max(1) as f64
    }
}

struct Collector {
    gradients: Gradients,
    found: Vec<(ParamId, Vec<f32>)>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // What nothing has asked for yet need not be drawn or read to see that it has no gradient.
        if !param.is_initialized() {
            return;
        }
        if let Some(gradient) = param.val().grad_remove(&mut self.gradients) {
            self.found.push((param.id, host(gradient)));
        }
    }
}

/// A tensor's values; without a copy where they are 32-bit floats that nobody else holds.
fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    match data.dtype() {
        // This fails for other types only.
        DType::F32 => data.try_into_vec::<f32>().unwrap_or_default(),
        _ => data.iter::<f32>().collect(),
    }
}

/// Running moments of one parameter's gradient.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Updates so far.
    pub steps: u64,
    /// Mean of the gradient.
    pub mean: Vec<f32>,
    /// Mean of its square.
    pub square: Vec<f32>,
}

/// What a call of [`AdamW::step`] did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Norm of the gradients before clipping.
    pub norm: f64,
    /// Whether the step was left out because the norm was not finite.
    pub skipped: bool,
}

/// The optimiser: settings and the moments of every parameter that has had a gradient.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
    moments: HashMap<ParamId, Moments>,
}

impl AdamW {
    /// An optimiser that has made no step.
    pub fn new(config: AdamWConfig) -> Self {
        AdamW {
            config,
            moments: HashMap::new(),
        }
    }

    /// The moments of each parameter.
    pub fn moments(&self) -> &HashMap<ParamId, Moments> {
        &self.moments
    }

    /// Puts back the moments of a parameter.
    pub fn restore(&mut self, id: ParamId, moments: Moments) {
        self.moments.insert(id, moments);
    }

    /// One update of `module` with the schedule's `factor` of the peak rate. Gradients that are
    /// not finite leave module and moments as they are.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: GradientSum,
        factor: f64,
    ) -> (M, Outcome) {
        let norm = gradients.norm();
        if !norm.is_finite() {
            let skipped = true;
            return (module, Outcome { norm, skipped });
        }
        let clip = (self.config.max_norm / (norm + 1e-6)).min(1.0);
        let mut update = Update {
            config: &self.config,
            learning_rate: self.config.learning_rate * factor,
            scale: (clip / gradients.parts.max(1) as f64) as f32,
            gradients: gradients.gradients.into_iter().collect(),
            moments: &mut self.moments,
        };
        let module = module.map(&mut update);
        let skipped = false;
        (module, Outcome { norm, skipped })
    }
}

struct Update<'a> {
    config: &'a AdamWConfig,
    learning_rate: f64,
    scale: f32,
    gradients: HashMap<ParamId, Vec<f32>>,
    moments: &'a mut HashMap<ParamId, Moments>,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove(&param.id) else {
            return param;
        };
        let (id, tensor, mapper) = param.consume();
        let tensor = tensor.without_autodiff();
        let (device, shape) = (tensor.device(), tensor.shape());
        let mut values = host(tensor);
        let moments = self.moments.entry(id).or_default();
        moments.mean.resize(values.len(), 0.0);
        moments.square.resize(values.len(), 0.0);
        moments.steps += 1;
        // Vectors are norm weights and biases, which decay would only bias.
        let decay = if D > 1 { self.config.weight_decay } else { 0.0 };
        let rates = Rates::new(self.config, self.learning_rate, decay, moments.steps);
        rates.apply(&mut values, &gradient, self.scale, moments);
        let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
        Param::from_mapped_value(id, tensor.autodiff().require_grad(), mapper)
    }
}

/// The factors of one update, the same for all values of a parameter.
#[derive(Clone, Copy)]
struct Rates {
    beta_mean: f32,
    beta_square: f32,
    keep: f32,
    rate: f32,
    root_correction: f32,
    epsilon: f32,
}

impl Rates {
    fn new(config: &AdamWConfig, learning_rate: f64, decay: f64, steps: u64) -> Self {
        let power = |beta: f64| 1.0 - beta.powi(steps.min(1 << 30) as i32);
        let [beta_mean, beta_square] = config.betas;
        Rates {
            beta_mean: beta_mean as f32,
            beta_square: beta_square as f32,
            keep: (1.0 - learning_rate * decay) as f32,
            rate: (learning_rate / power(beta_mean)) as f32,
            root_correction: (1.0 / power(beta_square).sqrt()) as f32,
            epsilon: config.epsilon as f32,
        }
    }

    fn apply(self, values: &mut [f32], gradient: &[f32], scale: f32, moments: &mut Moments) {
        values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(moments.mean.par_chunks_mut(CHUNK))
            .zip(moments.square.par_chunks_mut(CHUNK))
            .for_each(|(((values, gradient), mean), square)| {
                let moments = mean.iter_mut().zip(square);
                for ((value, gradient), (mean, square)) in
                    values.iter_mut().zip(gradient).zip(moments)
                {
                    let gradient = gradient * scale;
                    *mean = self.beta_mean * *mean + (1.0 - self.beta_mean) * gradient;
                    *square =
                        self.beta_square * *square + (1.0 - self.beta_square) * gradient * gradient;
                    let root = square.sqrt() * self.root_correction + self.epsilon;
                    *value = self.keep * *value - self.rate * *mean / root;
                }
            });
    }
}
