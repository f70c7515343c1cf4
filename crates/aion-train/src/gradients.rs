//! Gradients of a module's parameters on the host, summed over the parts of a batch.

use std::collections::HashMap;

use aion_kernel::adamw::{add, square_sum};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Gradients, Tensor};

/// A weighted sum of gradients: each part's loss is its mean times its weight before the backward
/// pass, so that the sum over the total weight is the gradient of one large batch.
#[derive(Debug, Default)]
pub struct GradientSum {
    /// In the module's order, which fixes the order of sums over them.
    gradients: Vec<(ParamId, Vec<f32>)>,
    places: HashMap<ParamId, usize>,
    weight: f64,
}

impl GradientSum {
    /// Adds what the backward pass over one part gave, whose loss was multiplied by `weight`.
    /// Parameters without a gradient (embeddings of modalities that the part lacks) are left out.
    pub fn add<M: Module>(&mut self, module: &M, gradients: Gradients, weight: f64) {
        let mut collector = Collector {
            gradients,
            sum: self,
        };
        module.visit(&mut collector);
        self.weight += weight;
    }

    /// Total weight of the parts.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Norm over all gradients, of the mean over the parts.
    pub fn norm(&self) -> f64 {
        let squares = self.gradients.iter().map(|(_, values)| square_sum(values));
        squares.sum::<f64>().sqrt() / self.weight
    }

    /// Exchanges the gradients of some parameters for others.
    pub(crate) fn replace(&mut self, with: impl Fn(ParamId, &[f32]) -> Option<Vec<f32>>) {
        for (id, values) in &mut self.gradients {
            if let Some(other) = with(*id, values) {
                *values = other;
            }
        }
    }

    /// The gradient of each parameter.
    pub(crate) fn into_map(self) -> HashMap<ParamId, Vec<f32>> {
        self.gradients.into_iter().collect()
    }

    fn push(&mut self, id: ParamId, values: Vec<f32>) {
        match self
            .places
            .get(&id)
            .and_then(|at| self.gradients.get_mut(*at))
        {
            Some((_, sum)) => add(sum, &values),
            None => {
                self.places.insert(id, self.gradients.len());
                self.gradients.push((id, values));
            }
        }
    }
}

struct Collector<'a> {
    gradients: Gradients,
    sum: &'a mut GradientSum,
}

impl ModuleVisitor for Collector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // What nothing has asked for yet need not be drawn or read to see that it has no gradient.
        if !param.is_initialized() {
            return;
        }
        if let Some(gradient) = param.val().grad_remove(&mut self.gradients) {
            self.sum.push(param.id, host(gradient));
        }
    }
}

/// A tensor's values; without a copy where they are 32-bit floats that nobody else holds.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    match data.dtype() {
        // This fails for other types only.
        DType::F32 => data.try_into_vec::<f32>().unwrap_or_default(),
        _ => data.iter::<f32>().collect(),
    }
}
