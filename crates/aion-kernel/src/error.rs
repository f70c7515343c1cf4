//! What can be wrong with a checkpoint's tensors.

use std::path::PathBuf;

use crate::narrow::Narrow;
use crate::weights::LoadReport;

/// Errors of reading and writing weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be opened, mapped or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is not valid safetensors.
    #[error("{path}: not a readable safetensors file: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Tensors are missing, of another shape, or of a type that cannot be read.
    #[error("{path}: incomplete weights: {report}", path = path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Which tensors.
        report: LoadReport,
    },
    /// Weights in fewer bits on another device than the CPU, or for training.
    #[error("weights in {format} are for inference on the CPU; elsewhere weights are f32")]
    Narrow {
        /// What was asked for.
        format: Narrow,
    },
}

impl WeightsError {
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        WeightsError::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn format(path: &std::path::Path, reason: impl ToString) -> Self {
        WeightsError::Format {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
