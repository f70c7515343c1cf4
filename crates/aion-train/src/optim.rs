//! AdamW with decoupled weight decay, running means of the weights, low-rank adapters (paper §2, §7.5).
//!
//! Gradients and moments are host memory. On the CPU a parameter's memory is moved out of its
//! tensor, updated where it lies in one pass over value, gradient and moments, and moved back;
//! elsewhere this costs a transfer.

use std::collections::HashMap;

use aion_kernel::adamw::{AdamWFactors, adamw, move_towards};
use aion_kernel::tensor_file::StoredTensor;
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::gradients::{GradientSum, host};
use crate::lora::Adapter;
use crate::roles::{Patterns, Role};

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
    /// Fraction of the learning rate by which parameters shrink a step; norm weights and biases never
    /// do.
    pub weight_decay: f64,
    /// Largest norm over all gradients; larger ones are scaled down to it.
    pub max_norm: f64,
    /// Decay of the running mean of the weights, which is then what is saved as the result. It
    /// begins with shorter memory, `(1 + n) / (10 + n)` at step n, so that short runs forget their
    /// first weights too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Parameters that are left as they are, by patterns of their published names
    /// (`encoder_embeddings.*`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig {
            learning_rate: 1e-3,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.05,
            max_norm: 1.0,
            ema: None,
            frozen: Vec::new(),
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
        if let Some(ema) = self.ema
            && !(0.0..1.0).contains(&ema)
        {
            let reason = format!("is {ema}, expected 0 or more, below 1");
            return Err(TrainError::config("optim.ema", reason));
        }
        Patterns::new("optim.frozen", &self.frozen)?;
        Ok(())
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

/// The optimiser: settings, and what it keeps of every parameter.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
    roles: HashMap<ParamId, Role>,
    moments: HashMap<ParamId, Moments>,
    adapters: HashMap<ParamId, Adapter>,
    averages: HashMap<ParamId, Vec<f32>>,
    updates: u64,
}

impl AdamW {
    /// An optimiser that has made no step. Parameters without a role are trained, and those of more
    /// than one axis decay.
    pub fn new(config: AdamWConfig) -> Self {
        AdamW {
            config,
            roles: HashMap::new(),
            moments: HashMap::new(),
            adapters: HashMap::new(),
            averages: HashMap::new(),
            updates: 0,
        }
    }

    /// With a role for each parameter.
    pub fn with_roles(mut self, roles: HashMap<ParamId, Role>) -> Self {
        self.roles = roles;
        self
    }

    /// With adapters, which are trained instead of their matrices.
    pub fn with_adapters(mut self, adapters: Vec<(ParamId, Adapter)>) -> Self {
        self.adapters = adapters.into_iter().collect();
        self
    }

    /// The moments of each parameter.
    pub fn moments(&self) -> &HashMap<ParamId, Moments> {
        &self.moments
    }

    /// The adapter of a matrix.
    pub fn adapter(&self, id: ParamId) -> Option<&Adapter> {
        self.adapters.get(&id)
    }

    /// One update of `module` with the schedule's `factor` of the peak rate. Gradients that are
    /// not finite leave module and moments as they are.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        mut gradients: GradientSum,
        factor: f64,
    ) -> (M, Outcome) {
        let adapters = &self.adapters;
        gradients.replace(|id, matrix| Some(adapters.get(&id)?.gradient(matrix)));
        let norm = gradients.norm();
        if !norm.is_finite() {
            let skipped = true;
            return (module, Outcome { norm, skipped });
        }
        let clip = (self.config.max_norm / (norm + 1e-6)).min(1.0);
        let scale = (clip / gradients.weight()) as f32;
        let mut update = Update {
            learning_rate: self.config.learning_rate * factor,
            scale,
            gradients: gradients.into_map(),
            optimizer: self,
        };
        let module = module.map(&mut update);
        self.updates += 1;
        let skipped = false;
        (module, Outcome { norm, skipped })
    }

    /// The module with the running means of its weights; itself where none are kept.
    pub fn averaged<M: Module>(&self, module: M) -> M {
        struct Exchange<'a>(&'a HashMap<ParamId, Vec<f32>>);
        impl ModuleMapper for Exchange<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let Some(average) = self.0.get(&param.id) else {
                    return param;
                };
                param.map(|tensor| {
                    let data = TensorData::new(average.clone(), tensor.shape());
                    Tensor::from_data(data, &tensor.device())
                })
            }
        }
        module.map(&mut Exchange(&self.averages))
    }

    /// The factors of an update of a parameter that has had `steps` of them, this one included.
    fn factors(&self, learning_rate: f64, scale: f32, decays: bool, steps: u64) -> AdamWFactors {
        let power = |beta: f64| 1.0 - beta.powi(steps.min(1 << 30) as i32);
        let [beta_mean, beta_square] = self.config.betas;
        let decay = if decays {
            self.config.weight_decay
        } else {
            0.0
        };
        AdamWFactors {
            scale,
            beta_mean: beta_mean as f32,
            beta_square: beta_square as f32,
            keep: (1.0 - learning_rate * decay) as f32,
            rate: (learning_rate / power(beta_mean)) as f32,
            root_correction: (1.0 / power(beta_square).sqrt()) as f32,
            epsilon: self.config.epsilon as f32,
        }
    }

    /// Moves the running mean of a parameter towards its `new` values.
    fn average(&mut self, id: ParamId, old: Option<Vec<f32>>, new: &[f32]) {
        let Some(decay) = self.config.ema else {
            return;
        };
        let updates = self.updates as f64;
        let share = 1.0 - decay.min((1.0 + updates) / (10.0 + updates));
        let average = self.averages.entry(id);
        let average = average.or_insert_with(|| old.unwrap_or_else(|| new.to_vec()));
        move_towards(average, new, share as f32);
    }
}

struct Update<'a> {
    learning_rate: f64,
    scale: f32,
    gradients: HashMap<ParamId, Vec<f32>>,
    optimizer: &'a mut AdamW,
}

impl Update<'_> {
    /// Updates one parameter's values.
    fn apply(&mut self, id: ParamId, decays: bool, values: &mut [f32], gradient: &[f32]) {
        let mut moments = self.optimizer.moments.remove(&id).unwrap_or_default();
        moments.mean.resize(gradient.len(), 0.0);
        moments.square.resize(gradient.len(), 0.0);
        moments.steps += 1;
        let optimizer = &mut *self.optimizer;
        let factors = optimizer.factors(self.learning_rate, self.scale, decays, moments.steps);
        let (mean, square) = (&mut moments.mean, &mut moments.square);
        match optimizer.adapters.get_mut(&id) {
            Some(adapter) => {
                let old = adapter.values.clone();
                adamw(factors, &mut adapter.values, gradient, mean, square);
                adapter.apply(&old, values);
            }
            None => adamw(factors, values, gradient, mean, square),
        }
        optimizer.moments.insert(id, moments);
    }
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let ema = self.optimizer.config.ema.is_some();
        let Some(gradient) = self.gradients.remove(&param.id) else {
            if ema {
                let values = host(param.val().without_autodiff());
                self.optimizer.average(param.id, None, &values);
            }
            return param;
        };
        let decays = match self.optimizer.roles.get(&param.id) {
            Some(role) => *role == Role::Decayed,
            None => D > 1,
        };
        let (id, tensor, mapper) = param.consume();
        let tensor = tensor.without_autodiff();
        let (device, shape) = (tensor.device(), tensor.shape());
        let mut values = host(tensor);
        let first = ema && !self.optimizer.averages.contains_key(&id);
        let old = first.then(|| values.clone());
        self.apply(id, decays, &mut values, &gradient);
        self.optimizer.average(id, old, &values);
        let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
        Param::from_mapped_value(id, tensor.autodiff().require_grad(), mapper)
    }
}

/// What a checkpoint holds of one parameter, by field.
impl AdamW {
    /// Everything kept of the parameter `id` of shape `shape`.
    pub(crate) fn fields(&self, id: ParamId, shape: &[usize]) -> Vec<(&'static str, StoredTensor)> {
        let float = |shape: &[usize], values: &[f32]| StoredTensor::float(shape, values, false);
        let mut fields = Vec::new();
        let adapter = self.adapters.get(&id);
        if let Some(moments) = self.moments.get(&id) {
            let len = [moments.mean.len()];
            let shape = if adapter.is_some() { &len } else { shape };
            fields.push(("steps", StoredTensor::int64(&[1], &[moments.steps as i64])));
            fields.push(("mean", float(shape, &moments.mean)));
            fields.push(("square", float(shape, &moments.square)));
        }
        if let Some(adapter) = adapter {
            let ((up, down), [up_shape, down_shape]) = (adapter.factors(), adapter.shapes());
            fields.push(("lora_up", float(&up_shape, up)));
            fields.push(("lora_down", float(&down_shape, down)));
        }
        if let Some(average) = self.averages.get(&id) {
            fields.push(("average", float(shape, average)));
        }
        fields
    }

    /// Puts back what [`AdamW::fields`] gave; `field` looks it up.
    ///
    /// # Errors
    /// A field's length is wrong, or the adapter's factors are missing: the reason.
    pub(crate) fn restore(
        &mut self,
        id: ParamId,
        len: usize,
        field: &dyn Fn(&str) -> Option<Vec<f32>>,
        steps: Option<u64>,
    ) -> Result<(), String> {
        let checked = |name: &str, len: usize| {
            let values = field(name).unwrap_or_default();
            let found = values.len();
            let fits = found == len;
            fits.then_some(values)
                .ok_or_else(|| format!("{name} has {found} values, expected {len}"))
        };
        let mut moment_len = len;
        if let Some(adapter) = self.adapters.get_mut(&id) {
            let [up, down] = adapter.shapes().map(|shape| shape.iter().product());
            let mut values = checked("lora_up", up)?;
            values.extend(checked("lora_down", down)?);
            moment_len = values.len();
            adapter.values = values;
        }
        if let Some(steps) = steps {
            let moments = Moments {
                steps,
                mean: checked("mean", moment_len)?,
                square: checked("square", moment_len)?,
            };
            self.moments.insert(id, moments);
        }
        if self.config.ema.is_some() && self.updates > 0 {
            self.averages.insert(id, checked("average", len)?);
        }
        Ok(())
    }

    /// Sets the number of updates made so far, for the running means.
    pub(crate) fn resume_at(&mut self, updates: u64) {
        self.updates = updates;
    }
}
