//! Why something could not be fetched.

use std::io;
use std::path::{Path, PathBuf};

use aion_data::DataError;

/// One variant for each thing that a caller can tell apart.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The settings cannot be meant.
    #[error("services: {0}")]
    Settings(String),
    /// A target cannot be meant, or this survey's services cannot be asked for it.
    #[error("{0}")]
    Target(String),
    /// The service wants an account, or did not accept the one given.
    #[error("{0}")]
    Credentials(String),
    /// The survey holds nothing there.
    #[error("{0}")]
    Absent(String),
    /// The service answered with an error that asking again does not mend.
    #[error("{host} answered {status}{}", said(.says))]
    Refused {
        /// The service's host.
        host: String,
        /// HTTP status.
        status: u16,
        /// What its answer says in words; may be empty.
        says: String,
    },
    /// Every attempt failed.
    #[error("{host}: {reason}, tried {attempts} times")]
    GaveUp {
        /// The service's host.
        host: String,
        /// What the last attempt met.
        reason: String,
        /// Number of attempts.
        attempts: u32,
    },
    /// The service answered with something else than was asked for.
    #[error("{0}")]
    Unexpected(String),
    /// What came cannot be read as observations.
    #[error("what came cannot be used: {0}")]
    Data(#[from] DataError),
    /// A file or folder of ours.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl FetchError {
    /// An input or output error with its path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
        let path = path.to_owned();
        move |source| FetchError::Io { path, source }
    }
}

fn said(says: &str) -> String {
    if says.is_empty() {
        return String::new();
    }
    format!(": {says}")
}
