//! How files are read, and what comes of it: what the readers of all surveys share.

use std::ops::Range;

use crate::error::Result;
use crate::modality::Survey;
use crate::observation::Object;
use crate::survey::column_map::ColumnMap;

/// How to read a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadOptions {
    /// The survey that the file comes from, instead of the one that its content shows.
    pub survey: Option<Survey>,
    /// Whether positions of survey files become measurements (`tok_ra`, `tok_dec`).
    pub with_position: bool,
    /// Whether images below [`crate::check::MIN_PIXELS`] per side get zeros around them instead of an error.
    pub pad: bool,
    /// What the columns of tables mean, instead of what their names say.
    pub columns: Option<ColumnMap>,
    /// Whether images with other pixel scales than the survey's own are read, resampled as they
    /// are, instead of being an error.
    pub any_pixel_scale: bool,
    /// Whether wavelengths that a file states in air are converted to vacuum, instead of being an
    /// error.
    pub air_wavelengths: bool,
    /// The objects to read, by their place in the file counted from 0; all when `None`. Parquet,
    /// HDF5 and FITS tables go to the first one, other files are read from their start.
    pub rows: Option<Range<u64>>,
}

impl ReadOptions {
    /// [`ReadOptions::rows`] with everything spelled out.
    pub fn range(&self) -> Range<u64> {
        self.rows.clone().unwrap_or(0..u64::MAX)
    }
}

/// Objects in file order. An error stands for one object; the next one follows.
pub type Objects = Box<dyn Iterator<Item = Result<Object>> + Send>;
