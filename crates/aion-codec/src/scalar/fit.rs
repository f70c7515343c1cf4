//! Fitting codebooks to a stream of values, in one pass and constant memory.

use std::collections::BTreeMap;

use aion_kernel::tensor_file::StoredTensor;

use super::LogFloor;
use super::config::{
    Function, GridConfig, LogQuantilesConfig, QuantilesConfig, ScalarConfig, VectorConfig,
};
use crate::quantizer::Reservoir;

/// A codec in the making: its configuration and a sample of each component.
#[derive(Debug, Clone)]
pub struct ScalarFit {
    config: ScalarConfig,
    samples: Vec<Reservoir>,
    grid: (f32, f32),
}

/// Number of codes of a published scalar codec.
const CODEBOOK_SIZE: usize = 1024;

impl ScalarFit {
    fn with(config: ScalarConfig, components: usize, seed: u64) -> Self {
        let (_, reservoir_size) = config.sizes();
        let sample = |index| Reservoir::new(reservoir_size, seed.wrapping_add(index as u64));
        ScalarFit {
            config,
            samples: (0..components).map(sample).collect(),
            grid: (0.0, 1.0),
        }
    }

    /// Quantiles of `modality` (the survey column) from a sample of at most `reservoir_size`.
    pub fn quantiles(modality: &str, reservoir_size: usize, seed: u64) -> Self {
        let config = QuantilesConfig {
            modality: modality.to_owned(),
            codebook_size: CODEBOOK_SIZE,
            reservoir_size,
        };
        Self::with(ScalarConfig::Quantiles(config), 1, seed)
    }

    /// Quantiles of the logarithm, with the published floor.
    pub fn log_quantiles(modality: &str, reservoir_size: usize, seed: u64) -> Self {
        let config = LogQuantilesConfig {
            modality: modality.to_owned(),
            codebook_size: CODEBOOK_SIZE,
            reservoir_size,
            min_log_value: -3.0,
        };
        Self::with(ScalarConfig::LogQuantiles(config), 1, seed)
    }

    /// An even grid; nothing is fitted.
    pub fn grid(modality: &str, low: f32, high: f32) -> Self {
        let config = GridConfig {
            modality: modality.to_owned(),
            codebook_size: CODEBOOK_SIZE,
        };
        let mut fit = Self::with(ScalarConfig::Grid(config), 0, 0);
        fit.grid = (low, high);
        fit
    }

    /// One set of quantiles a component, of asinh(asinh(x)) as published for XP coefficients.
    pub fn vector(modality: &str, components: usize, reservoir_size: usize, seed: u64) -> Self {
        let config = VectorConfig {
            modality: modality.to_owned(),
            compression_fns: vec![Function::Arcsinh; 2],
            decompression_fns: vec![Function::Sinh; 2],
            codebook_size: CODEBOOK_SIZE,
            reservoir_size,
            num_quantizers: components,
        };
        Self::with(ScalarConfig::Vector(config), components, seed)
    }

    /// Offers one measurement.
    pub fn push(&mut self, values: &[f32]) {
        for (sample, &value) in self.samples.iter_mut().zip(values) {
            sample.push(match &self.config {
                ScalarConfig::LogQuantiles(c) => LogFloor::new(c.min_log_value).log(value),
                ScalarConfig::Vector(c) => c.compression_fns.iter().fold(value, |x, f| f.apply(x)),
                ScalarConfig::Quantiles(_) | ScalarConfig::Grid(_) => value,
            });
        }
    }

    /// Number of measurements seen.
    pub fn seen(&self) -> u64 {
        self.samples.first().map_or(0, Reservoir::seen)
    }

    /// The configuration and tensors in the published form. `None` if nothing was seen.
    ///
    /// The stored sample is as large as the values seen, at most the configured size, so that no
    /// filler enters it.
    pub fn finish(mut self) -> Option<(ScalarConfig, BTreeMap<String, StoredTensor>)> {
        let (codebook_size, reservoir_size) = self.config.sizes();
        let mut tensors = BTreeMap::new();
        if let ScalarConfig::Grid(_) = self.config {
            let (low, high) = self.grid;
            let step = (high - low) / (codebook_size - 1) as f32;
            let values: Vec<f32> = (0..codebook_size).map(|i| low + step * i as f32).collect();
            let stored = StoredTensor::float(&[codebook_size], &values, false);
            tensors.insert("_quantizer.buckets".to_owned(), stored);
            return Some((self.config, tensors));
        }
        // Components may have seen different numbers of finite values: keep the fewest.
        let kept = self.samples.iter().map(|s| s.sorted().len()).min()?;
        if kept == 0 {
            return None;
        }
        for (index, sample) in self.samples.iter().enumerate() {
            let prefix = match self.config {
                ScalarConfig::Vector(_) => format!("_quantizer.quantizers.{index}"),
                _ => "_quantizer".to_owned(),
            };
            let size = kept.min(reservoir_size);
            for (name, values) in [
                ("_reservoir", sample.quantiles(size)?),
                ("_index_to_val", sample.quantiles(codebook_size)?),
            ] {
                let stored = StoredTensor::float(&[values.len()], &values, false);
                tensors.insert(format!("{prefix}.{name}"), stored);
            }
        }
        let size = kept.min(reservoir_size);
        match &mut self.config {
            ScalarConfig::Quantiles(c) => c.reservoir_size = size,
            ScalarConfig::LogQuantiles(c) => c.reservoir_size = size,
            ScalarConfig::Vector(c) => c.reservoir_size = size,
            ScalarConfig::Grid(_) => {}
        }
        Some((self.config, tensors))
    }
}
