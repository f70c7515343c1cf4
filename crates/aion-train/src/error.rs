//! What can stop a training run.

use std::path::{Path, PathBuf};

use aion_codec::CodecError;
use aion_data::DataError;
use aion_kernel::WeightsError;
use aion_model::ModelError;

/// Errors of configuring, feeding and running a training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A run file that is not valid TOML, or has an unknown or missing key.
    #[error("run configuration: {0}")]
    Parse(#[from] toml::de::Error),
    /// A key of the run file with a value that cannot be used.
    #[error("run configuration, `{key}`: {reason}")]
    Config {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// Training data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A codec cannot be opened.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The model cannot be built or does not fit its input.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file of the run cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// There is no checkpoint to go on from, or it belongs to another run.
    #[error("{path}: cannot resume: {reason}", path = path.display())]
    Resume {
        /// The output folder or the checkpoint.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The training set has nothing that the step can learn from.
    #[error("no training data: {0}")]
    NoData(String),
    /// A scaling law cannot be fitted to the results.
    #[error("scaling law: {0}")]
    Scaling(String),
    /// Loss or gradients stayed infinite or NaN.
    #[error("loss or gradients were not finite in {skipped} steps in a row, at step {step}")]
    Diverged {
        /// The last of them.
        step: u64,
        /// How many.
        skipped: u64,
    },
}

impl TrainError {
    pub(crate) fn config(key: &'static str, reason: impl ToString) -> Self {
        TrainError::Config {
            key,
            reason: reason.to_string(),
        }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        TrainError::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn resume(path: &Path, reason: impl ToString) -> Self {
        TrainError::Resume {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
