//! What can be wrong with data: the file, the object, the field, and what was expected.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where in the input something is wrong. Empty parts are left out when it is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: Option<PathBuf>,
    /// The object's identifier or row.
    pub object: Option<String>,
    /// The field, column, header keyword or tensor.
    pub field: Option<String>,
}

impl Place {
    /// A whole file.
    pub fn file(path: &Path) -> Self {
        Place {
            path: Some(path.to_owned()),
            ..Place::default()
        }
    }

    /// A field that is not (yet) tied to a file.
    pub fn field(field: impl Into<String>) -> Self {
        Place {
            field: Some(field.into()),
            ..Place::default()
        }
    }

    /// The same place with the object named.
    pub fn with_object(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// The same place with the field named.
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        let object = self
            .object
            .as_ref()
            .map(|object| format!("object {object}"));
        let field = self.field.as_ref().map(|field| format!("field {field}"));
        let parts: Vec<String> = [path, object, field].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// What is wrong. One variant for each thing that a caller can tell apart.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The container (FITS, safetensors, Parquet, CSV) is damaged or not what it says.
    #[error("not a readable {format} file: {reason}")]
    Container {
        /// The container's name.
        format: &'static str,
        /// The library's own words.
        reason: String,
    },
    /// The content does not say which survey or format it is.
    #[error("unrecognised content: {0}")]
    Unrecognised(String),
    /// Something required is absent.
    #[error("missing {0}")]
    Missing(String),
    /// An array has the wrong shape or length.
    #[error("shape is {found}, expected {expected}")]
    Shape {
        /// What the file has.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Rows or arrays that belong together differ in number.
    #[error("{0}")]
    Mismatch(String),
    /// A name that is not in the table of modalities.
    #[error("unknown modality `{0}`; known: {known}", known = known_keys())]
    UnknownModality(String),
    /// A band that no codec knows.
    #[error("unknown band `{band}`; known: {known}")]
    UnknownBand {
        /// The band in the file.
        band: String,
        /// The known bands.
        known: String,
    },
    /// A token that the modality's vocabulary does not hold.
    #[error("token {token} is outside the vocabulary of {vocabulary}")]
    Vocabulary {
        /// The token.
        token: i64,
        /// Number of tokens in the vocabulary.
        vocabulary: usize,
    },
    /// Values that carry no information or cannot be interpreted.
    #[error("{0}")]
    Values(String),
    /// A position at which the given images give no stamp.
    #[error("{kind}: {what}")]
    NotCovered {
        /// Why.
        kind: Uncovered,
        /// Where, in words.
        what: String,
    },
    /// There is nothing to do.
    #[error("no objects")]
    Empty,
}

/// Why images give no stamp of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Uncovered {
    /// No image holds the position.
    Outside,
    /// The stamp would reach beyond the image.
    Edge,
    /// The image lacks a band that is wanted.
    Band,
    /// The survey observed nothing there.
    NoData,
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Uncovered::Outside => "outside all images",
            Uncovered::Edge => "cut by an edge",
            Uncovered::Band => "a band is missing",
            Uncovered::NoData => "no data",
        })
    }
}

/// A [`Problem`] and its [`Place`].
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct DataError {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
}

impl DataError {
    /// An error at a place.
    pub fn new(place: Place, problem: Problem) -> Self {
        DataError { place, problem }
    }

    /// The same error with the file named, unless it was already.
    pub fn in_file(mut self, path: &Path) -> Self {
        self.place.path.get_or_insert_with(|| path.to_owned());
        self
    }

    /// The same error with the object named, unless it was already.
    pub fn in_object(mut self, id: &str) -> Self {
        self.place.object.get_or_insert_with(|| id.to_owned());
        self
    }
}

/// Result of reading, checking or writing data.
pub type Result<T> = std::result::Result<T, DataError>;

fn known_keys() -> String {
    let keys: Vec<&str> = crate::modality::ModalityId::all()
        .map(|id| id.key())
        .collect();
    keys.join(", ")
}
