//! Low-rank adapters of matrices (LoRA, Hu et al. 2022): of a weight only `scale · up · down` is
//! learned.
//!
//! The weight itself holds the sum, so that every layer and every file sees a plain matrix; the
//! gradients of both factors follow from the weight's, to which the chain rule reduces them.

use aion_kernel::WeightNames;
use burn::module::ParamId;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::random::{Purpose, stream};
use crate::roles::Patterns;

/// Section `lora` of a run file. Parameters that it does not name are frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Columns of `up`, rows of `down`.
    pub rank: usize,
    /// The product counts `alpha / rank`.
    pub alpha: f64,
    /// Which matrices, by patterns of their published names (`encoder.*.attn.qkv.weight`).
    pub targets: Vec<String>,
    /// Parameters trained as a whole beside them, such as those of a new modality.
    #[serde(default)]
    pub whole: Vec<String>,
}

impl LoraConfig {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if self.rank == 0 {
            return Err(TrainError::config("lora.rank", "is 0, expected at least 1"));
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            let reason = format!("is {}, expected a positive number", self.alpha);
            return Err(TrainError::config("lora.alpha", reason));
        }
        Patterns::new("lora.targets", &self.targets)?;
        Patterns::new("lora.whole", &self.whole)?;
        if self.targets.is_empty() {
            return Err(TrainError::config("lora.targets", "names no matrix"));
        }
        Ok(())
    }

    /// The adapters of the matrices that `targets` names; each depends on seed and name only.
    pub(crate) fn adapters(
        &self,
        names: &WeightNames,
        seed: u64,
    ) -> Result<Vec<(ParamId, Adapter)>, TrainError> {
        let patterns = Patterns::new("lora.targets", &self.targets)?;
        let mut adapters = Vec::new();
        for (name, id, shape) in names.params() {
            if let (true, [outputs, inputs]) = (patterns.match_any(name), shape) {
                let shape = [*outputs, *inputs];
                adapters.push((id, Adapter::new(self, shape, seed ^ fnv(name))));
            }
        }
        if adapters.is_empty() {
            let reason = format!("{:?} match no matrix", self.targets);
            return Err(TrainError::config("lora.targets", reason));
        }
        Ok(adapters)
    }
}

fn fnv(name: &str) -> u64 {
    aion_data::fnv::fnv1a(name)
}

/// The two factors of one matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    shape: [usize; 2],
    rank: usize,
    scale: f32,
    /// `up (outputs, rank)`, zeros at first, then `down (rank, inputs)`.
    pub(crate) values: Vec<f32>,
}

impl Adapter {
    fn new(config: &LoraConfig, shape @ [outputs, inputs]: [usize; 2], seed: u64) -> Self {
        let rank = config.rank;
        let mut rng = stream(seed, Purpose::Adapter, 0);
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let mut values = vec![0.0; outputs * rank];
        values.extend((0..rank * inputs).map(|_| rng.random_range(-bound..=bound)));
        Adapter {
            shape,
            rank,
            scale: (config.alpha / rank as f64) as f32,
            values,
        }
    }

    /// Where `down` begins.
    fn split(&self) -> usize {
        self.shape[0] * self.rank
    }

    /// Shapes of `up` and `down`.
    pub(crate) fn shapes(&self) -> [[usize; 2]; 2] {
        let [outputs, inputs] = self.shape;
        [[outputs, self.rank], [self.rank, inputs]]
    }

    /// `up` and `down`.
    pub(crate) fn factors(&self) -> (&[f32], &[f32]) {
        self.values.split_at(self.split())
    }

    /// The gradient of both factors, laid out as they are, from the matrix's.
    pub(crate) fn gradient(&self, matrix: &[f32]) -> Vec<f32> {
        let [_, inputs] = self.shape;
        let (up, down) = self.factors();
        let mut gradient = vec![0.0; self.values.len()];
        let (to_up, to_down) = gradient.split_at_mut(self.split());
        to_up
            .par_chunks_mut(self.rank)
            .zip(matrix.par_chunks(inputs))
            .for_each(|(to, row)| {
                for (to, down) in to.iter_mut().zip(down.chunks(inputs)) {
                    let product: f32 = row.iter().zip(down).map(|(a, b)| a * b).sum();
                    *to = self.scale * product;
                }
            });
        to_down
            .par_chunks_mut(inputs)
            .enumerate()
            .for_each(|(column, to)| {
                for (row, up) in matrix.chunks(inputs).zip(up.chunks(self.rank)) {
                    add_scaled(to, self.scale * up[column], row);
                }
            });
        gradient
    }

    /// Adds to a matrix what the product has grown by since the factors were `old`.
    pub(crate) fn apply(&self, old: &[f32], matrix: &mut [f32]) {
        let [_, inputs] = self.shape;
        let (up, down) = self.factors();
        let (old_up, old_down) = old.split_at(self.split());
        matrix
            .par_chunks_mut(inputs)
            .zip(up.par_chunks(self.rank))
            .zip(old_up.par_chunks(self.rank))
            .for_each(|((row, up), old_up)| {
                for at in 0..self.rank {
                    let part = at * inputs..(at + 1) * inputs;
                    add_scaled(row, self.scale * up[at], &down[part.clone()]);
                    add_scaled(row, -self.scale * old_up[at], &old_down[part]);
                }
            });
    }
}

fn add_scaled(to: &mut [f32], factor: f32, values: &[f32]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter() -> Adapter {
        let config = LoraConfig {
            rank: 2,
            alpha: 4.0,
            targets: vec!["*".to_owned()],
            whole: Vec::new(),
        };
        let mut adapter = Adapter::new(&config, [3, 4], 7);
        assert!(adapter.factors().0.iter().all(|value| *value == 0.0));
        let up = (0..6).map(|i| 0.1 * i as f32 - 0.2);
        adapter.values.splice(0..6, up);
        adapter
    }

    /// `scale · up · down`, entry by entry.
    fn product(adapter: &Adapter) -> Vec<f32> {
        let (up, down) = adapter.factors();
        let entry = |o: usize, i: usize| 2.0 * (up[2 * o] * down[i] + up[2 * o + 1] * down[4 + i]);
        (0..12).map(|at| entry(at / 4, at % 4)).collect()
    }

    #[test]
    fn gradients_are_those_of_the_product() {
        let adapter = adapter();
        // The loss is the weighted sum of the product's entries, so its gradient is the weights.
        let weights: Vec<f32> = (0..12).map(|i| (i as f32).cos()).collect();
        let loss = |adapter: &Adapter| -> f64 {
            let terms = product(adapter).into_iter().zip(&weights);
            terms.map(|(a, b)| f64::from(a) * f64::from(*b)).sum()
        };
        for (at, found) in adapter.gradient(&weights).iter().enumerate() {
            let shifted = |by: f32| {
                let mut other = adapter.clone();
                other.values[at] += by;
                loss(&other)
            };
            let slope = (shifted(0.01) - shifted(-0.01)) / 0.02;
            assert!(
                (slope - f64::from(*found)).abs() < 1e-3,
                "{at}: {slope} {found}"
            );
        }
    }

    #[test]
    fn the_matrix_grows_by_the_product() {
        let old = adapter();
        let mut new = old.clone();
        new.values.iter_mut().for_each(|value| *value *= 1.5);
        let mut matrix = vec![1.0; 12];
        new.apply(&old.values, &mut matrix);
        for ((found, new), old) in matrix.iter().zip(product(&new)).zip(product(&old)) {
            assert!((found - (1.0 + new - old)).abs() < 1e-6);
        }
    }
}
