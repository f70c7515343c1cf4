//! Published configurations of the scalar codecs.

use aion_data::Modality;
use serde::{Deserialize, Serialize};

/// A function of one number, by the name that checkpoints use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// Inverse hyperbolic sine.
    #[serde(alias = "asinh")]
    Arcsinh,
    /// Hyperbolic sine.
    Sinh,
    /// Natural logarithm.
    Log,
    /// Exponential.
    Exp,
    /// ln(1 + x).
    Log1p,
    /// exp(x) - 1.
    Expm1,
    /// Square root.
    Sqrt,
    /// Square.
    Square,
}

impl Function {
    /// The function's value.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Function::Arcsinh => x.asinh(),
            Function::Sinh => x.sinh(),
            Function::Log => x.ln(),
            Function::Exp => x.exp(),
            Function::Log1p => x.ln_1p(),
            Function::Expm1 => x.exp_m1(),
            Function::Sqrt => x.sqrt(),
            Function::Square => x * x,
        }
    }
}

/// `config.json` of a codec of quantiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantilesConfig {
    /// The survey column.
    pub modality: String,
    /// Number of codes.
    pub codebook_size: usize,
    /// Number of values in the stored sample.
    pub reservoir_size: usize,
}

/// `config.json` of a codec of quantiles of the logarithm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuantilesConfig {
    /// The survey column.
    pub modality: String,
    /// Number of codes.
    pub codebook_size: usize,
    /// Number of values in the stored sample.
    pub reservoir_size: usize,
    /// Natural logarithm of the floor.
    pub min_log_value: f64,
}

/// `config.json` of a codec on a fixed grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridConfig {
    /// The survey column.
    pub modality: String,
    /// Number of codes.
    pub codebook_size: usize,
}

/// `config.json` of a codec of a vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorConfig {
    /// The survey column.
    pub modality: String,
    /// Functions applied before the codebooks, in order.
    pub compression_fns: Vec<Function>,
    /// Their inverses, in the same order.
    pub decompression_fns: Vec<Function>,
    /// Number of codes a component.
    pub codebook_size: usize,
    /// Number of values in each stored sample.
    pub reservoir_size: usize,
    /// Number of components.
    pub num_quantizers: usize,
}

/// Any scalar codec's configuration. Which one it is shows in the keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ScalarConfig {
    /// See [`VectorConfig`].
    Vector(VectorConfig),
    /// See [`LogQuantilesConfig`].
    LogQuantiles(LogQuantilesConfig),
    /// See [`QuantilesConfig`].
    Quantiles(QuantilesConfig),
    /// See [`GridConfig`].
    Grid(GridConfig),
}

impl ScalarConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// A key is missing, unknown or of the wrong type.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
        if keys.contains_key("num_quantizers") {
            serde_json::from_str(text).map(ScalarConfig::Vector)
        } else if keys.contains_key("min_log_value") {
            serde_json::from_str(text).map(ScalarConfig::LogQuantiles)
        } else if keys.contains_key("reservoir_size") {
            serde_json::from_str(text).map(ScalarConfig::Quantiles)
        } else {
            serde_json::from_str(text).map(ScalarConfig::Grid)
        }
    }

    /// Says what cannot be built for `modality`, naming the key.
    pub(crate) fn problem(&self, modality: &Modality) -> Option<String> {
        let (codes, sample) = self.sizes();
        if codes < 2 || codes > modality.vocabulary || sample == 0 {
            let vocabulary = modality.vocabulary;
            return Some(format!(
                "codebook_size must be 2 to {vocabulary} and reservoir_size positive"
            ));
        }
        let values = match self {
            ScalarConfig::Vector(c) => {
                if c.compression_fns.len() != c.decompression_fns.len() {
                    return Some("compression_fns and decompression_fns differ in number".into());
                }
                c.num_quantizers
            }
            _ => 1,
        };
        (values != modality.num_tokens()).then(|| {
            let (key, tokens) = (modality.key, modality.num_tokens());
            format!("{values} values, but {key} has {tokens} tokens")
        })
    }

    /// Number of codes and of values in a sample, for the checks that apply to all.
    pub fn sizes(&self) -> (usize, usize) {
        match self {
            ScalarConfig::Vector(c) => (c.codebook_size, c.reservoir_size),
            ScalarConfig::LogQuantiles(c) => (c.codebook_size, c.reservoir_size),
            ScalarConfig::Quantiles(c) => (c.codebook_size, c.reservoir_size),
            ScalarConfig::Grid(c) => (c.codebook_size, c.codebook_size),
        }
    }
}
