//! Codecs of numbers: no learned weights, only codebooks (paper §2.3).

mod config;
mod direct;
mod fit;

pub use config::{Function, ScalarConfig};
pub use direct::DirectCodebook;
pub use fit::ScalarFit;

use std::sync::OnceLock;

use aion_kernel::Weights;

use crate::quantizer::{Codebook, LinearQuantizer};
use crate::range::Coverage;

/// How a number, or each number of a fixed-length vector, becomes a code.
#[derive(Debug, Clone)]
pub enum ScalarCodec {
    /// Quantiles of the values.
    Quantiles(Codebook),
    /// Quantiles of the natural logarithm, with a floor.
    LogQuantiles {
        /// Quantiles of the logarithm.
        codebook: Codebook,
        /// The smallest value that is told apart; everything below has its code.
        floor: LogFloor,
    },
    /// A fixed grid (redshift).
    Grid(LinearQuantizer),
    /// One codebook a component, after compression (XP coefficients).
    Vector {
        /// Codebooks in the order of the components.
        codebooks: Vec<Codebook>,
        /// Applied to a value in order.
        compress: Vec<Function>,
        /// Applied in reverse order.
        decompress: Vec<Function>,
        /// The codebooks before compression, where that is possible; made for the first large batch.
        direct: OnceLock<Option<Vec<DirectCodebook>>>,
    },
}

impl ScalarCodec {
    /// Builds the codec that `config` describes from its stored codebooks.
    pub fn new(config: &ScalarConfig, weights: &Weights) -> Self {
        let weights = weights.at("_quantizer");
        match config {
            ScalarConfig::Quantiles(c) => ScalarCodec::Quantiles(Codebook::new(
                &weights,
                c.codebook_size,
                c.reservoir_size,
                0.0,
            )),
            ScalarConfig::LogQuantiles(c) => {
                let low = c.min_log_value as f32;
                ScalarCodec::LogQuantiles {
                    codebook: Codebook::new(&weights, c.codebook_size, c.reservoir_size, low),
                    floor: LogFloor::new(c.min_log_value),
                }
            }
            ScalarConfig::Grid(c) => {
                ScalarCodec::Grid(LinearQuantizer::new(&weights, c.codebook_size, (0.0, 1.0)))
            }
            ScalarConfig::Vector(c) => {
                let component = |index: usize| {
                    let weights = weights.at("quantizers").at(index);
                    Codebook::new(&weights, c.codebook_size, c.reservoir_size, 0.0)
                };
                let codebooks: Vec<Codebook> = (0..c.num_quantizers).map(component).collect();
                ScalarCodec::Vector {
                    direct: OnceLock::new(),
                    codebooks,
                    compress: c.compression_fns.clone(),
                    decompress: c.decompression_fns.clone(),
                }
            }
        }
    }

    /// Number of values that one measurement has.
    pub fn num_values(&self) -> usize {
        match self {
            ScalarCodec::Vector { codebooks, .. } => codebooks.len(),
            _ => 1,
        }
    }

    /// Codes of a measurement's values. A component that is not a number is coded as zero.
    pub fn encode(&self, values: &[f32]) -> Vec<u16> {
        match self {
            ScalarCodec::Quantiles(codebook) => {
                values.iter().map(|v| codebook.encode(*v)).collect()
            }
            ScalarCodec::LogQuantiles { codebook, floor } => values
                .iter()
                .map(|v| codebook.encode(floor.log(*v)))
                .collect(),
            ScalarCodec::Grid(grid) => values.iter().map(|v| grid.encode(*v)).collect(),
            ScalarCodec::Vector {
                codebooks,
                compress,
                ..
            } => values
                .iter()
                .zip(codebooks)
                .map(|(v, codebook)| {
                    let value = if v.is_nan() { 0.0 } else { *v };
                    codebook.encode(compress.iter().fold(value, |x, f| f.apply(x)))
                })
                .collect(),
        }
    }

    /// Codes of many measurements with their coverage: the same as one by one, and faster.
    pub fn encode_all(&self, rows: &[&[f32]]) -> Vec<(Vec<u16>, Coverage)> {
        if let ScalarCodec::Vector {
            codebooks,
            compress,
            direct,
            ..
        } = self
            && rows.len() >= direct::WORTHWHILE
            && let Some(books) = direct.get_or_init(|| DirectCodebook::all(codebooks, compress))
        {
            return direct::encode_all(books, rows);
        }
        let each = rows.iter();
        each.map(|values| (self.encode(values), self.coverage(values)))
            .collect()
    }

    /// Values of codes, in the unit of the input.
    pub fn decode(&self, codes: &[u16]) -> Vec<f32> {
        match self {
            ScalarCodec::Quantiles(codebook) => codes.iter().map(|c| codebook.decode(*c)).collect(),
            ScalarCodec::LogQuantiles { codebook, .. } => {
                codes.iter().map(|c| codebook.decode(*c).exp()).collect()
            }
            ScalarCodec::Grid(grid) => codes.iter().map(|c| grid.decode(*c)).collect(),
            ScalarCodec::Vector {
                codebooks,
                decompress,
                ..
            } => codes
                .iter()
                .zip(codebooks)
                .map(|(code, codebook)| {
                    let value = codebook.decode(*code);
                    decompress.iter().rev().fold(value, |x, f| f.apply(x))
                })
                .collect(),
        }
    }

    /// The value of every code of a one-number codec, for probability distributions over them.
    pub fn grid(&self) -> Option<Vec<f32>> {
        match self {
            ScalarCodec::Quantiles(codebook) => Some(codebook.values().to_vec()),
            ScalarCodec::LogQuantiles { codebook, .. } => {
                Some(codebook.values().iter().map(|value| value.exp()).collect())
            }
            ScalarCodec::Grid(grid) => Some(grid.values().to_vec()),
            ScalarCodec::Vector { .. } => None,
        }
    }

    /// How many of the values the codec can express.
    pub fn coverage(&self, values: &[f32]) -> Coverage {
        let each = values.iter().copied();
        match self {
            ScalarCodec::Quantiles(codebook) => Coverage::of(each, |v| codebook.spans(v)),
            ScalarCodec::LogQuantiles { codebook, floor } => {
                Coverage::of(each, |v| v > floor.value && codebook.spans(v.ln()))
            }
            ScalarCodec::Grid(grid) => Coverage::of(each, |v| grid.spans(v)),
            ScalarCodec::Vector {
                codebooks,
                compress,
                ..
            } => {
                let mut books = codebooks.iter();
                Coverage::of(each, |v| {
                    let value = compress.iter().fold(v, |x, f| f.apply(x));
                    books.next().is_none_or(|codebook| codebook.spans(value))
                })
            }
        }
    }
}

/// The floor of a logarithmic codec.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogFloor {
    value: f32,
    log: f32,
}

impl LogFloor {
    fn new(min_log_value: f64) -> Self {
        LogFloor {
            value: min_log_value.exp() as f32,
            log: min_log_value as f32,
        }
    }

    /// Natural logarithm; the floor's own, exactly, at and below it: codebooks hold runs of it.
    fn log(self, value: f32) -> f32 {
        if value <= self.value {
            self.log
        } else {
            value.ln()
        }
    }
}
