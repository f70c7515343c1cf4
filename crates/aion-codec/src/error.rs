//! What can go wrong between measurements and tokens.

use std::path::PathBuf;

use aion_data::{DataError, ModalityId};
use aion_kernel::WeightsError;

/// Errors of codecs and of the folder that holds them.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The checkpoint has no codec for a modality.
    #[error("{path}: no codec `{codec}` for {modality}; the checkpoint has: {known}", path = path.display())]
    Absent {
        /// The checkpoint.
        path: PathBuf,
        /// The codec's folder name.
        codec: String,
        /// The modality that needs it.
        modality: ModalityId,
        /// Folder names that are there.
        known: String,
    },
    /// A codec's `config.json` cannot be read or is not what its kind needs.
    #[error("{path}: {reason}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, naming the key.
        reason: String,
    },
    /// A codec's tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A measurement or tokens that the codec cannot take.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Result of codec work.
pub type Result<T> = std::result::Result<T, CodecError>;
