//! What can be wrong with a model's files and inputs.

use std::path::PathBuf;

use aion_data::{DataError, ModalityId};
use aion_kernel::WeightsError;

use crate::config::ConfigError;

/// Errors of building and running the transformer. Objects are named by their place in the batch.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The configuration is unusable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights are unusable.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The surveys that the checkpoint describes are unusable.
    #[error(transparent)]
    Description(#[from] DataError),
    /// The checkpoint's folder cannot be made.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A batch without objects.
    #[error("the batch holds no object")]
    EmptyBatch,
    /// A batch whose two sides have different numbers of objects.
    #[error("{found} objects have targets, but {expected} are encoded")]
    BatchSize {
        /// Objects encoded.
        expected: usize,
        /// Objects with targets.
        found: usize,
    },
    /// An object without any token.
    #[error("object {object}: no tokens")]
    NoTokens {
        /// The object.
        object: usize,
    },
    /// An object of which nothing is to be predicted.
    #[error("object {object}: no targets")]
    NoTargets {
        /// The object.
        object: usize,
    },
    /// The model was not trained to take this modality.
    #[error("object {object}: this model does not take `{modality}`; it takes {known}")]
    UnknownInput {
        /// The object.
        object: usize,
        /// The modality given.
        modality: ModalityId,
        /// Those the model takes.
        known: String,
    },
    /// The model was not trained to predict this modality.
    #[error("this model does not predict `{modality}`; it predicts {known}")]
    UnknownTarget {
        /// The modality asked for.
        modality: ModalityId,
        /// Those the model predicts.
        known: String,
    },
    /// Sequences are predicted one token after the other, which a single pass cannot do.
    #[error("`{modality}` is a sequence, which has to be generated token by token")]
    SequenceTarget {
        /// The modality asked for.
        modality: ModalityId,
    },
    /// Tokens of a grid follow none: they are asked for by their positions.
    #[error("`{modality}` is a grid, whose tokens have positions and no order")]
    GridTarget {
        /// The modality asked for.
        modality: ModalityId,
    },
    /// A token beyond the vocabulary.
    #[error(
        "object {object}: `{modality}` has token {token} at position {position}, outside its vocabulary of {vocabulary}"
    )]
    TokenOutside {
        /// The object.
        object: usize,
        /// Its modality.
        modality: ModalityId,
        /// Where.
        position: usize,
        /// The token.
        token: u16,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// Another number of tokens than the modality has.
    #[error("object {object}: `{modality}` has {found} tokens, expected {expected}")]
    TokenCount {
        /// The object.
        object: usize,
        /// Its modality.
        modality: ModalityId,
        /// Tokens given.
        found: usize,
        /// Tokens of the modality; for sequences the largest number.
        expected: usize,
    },
    /// A position outside the modality's grid or sequence.
    #[error("object {object}: `{modality}` has position {position}, expected less than {expected}")]
    Position {
        /// The object.
        object: usize,
        /// Its modality.
        modality: ModalityId,
        /// The position.
        position: u16,
        /// Number of positions.
        expected: usize,
    },
}
