//! Output formats, chosen by the extension of the output's name.

use std::path::Path;

use crate::error::{DataError, Place, Problem, Result};

/// A format of tables and tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// `.safetensors`.
    Safetensors,
    /// `.parquet`.
    Parquet,
    /// `.csv`.
    Csv,
    /// `.fits`.
    Fits,
}

impl OutputFormat {
    /// The format that the extension of `path` names, in any case.
    ///
    /// # Errors
    /// [`Problem::Unrecognised`] where there is no such format.
    pub fn of(path: &Path) -> Result<OutputFormat> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_lowercase).as_deref() {
            Some("safetensors") => Ok(OutputFormat::Safetensors),
            Some("parquet") => Ok(OutputFormat::Parquet),
            Some("csv") => Ok(OutputFormat::Csv),
            Some("fits" | "fit") => Ok(OutputFormat::Fits),
            _ => {
                let problem =
                    "the extension should be .safetensors, .parquet, .csv or .fits".to_owned();
                Err(DataError::new(
                    Place::file(path),
                    Problem::Unrecognised(problem),
                ))
            }
        }
    }
}
