//! Objects as rows of Parquet, in the columns of the Multimodal Universe 1.5.
//!
//! A table holds the measurements by one survey, as the Multimodal Universe does: `object_id`, `ra`,
//! `dec`, `_healpix_29`, structs `image`, `spectrum`, `catalog`, numbers under the survey's own
//! names, flags as text. Objects seen by several surveys become a table a survey, or a table of
//! pairs whose columns begin with `left_` and `right_` (see [`Layout::with_prefix`]). The columns are
//! settled before the first row, so rows of any number pass through little memory; what an object
//! lacks is null.

mod columns;
mod layout;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};

pub use layout::{Layout, Row};

use crate::error::{DataError, Place, Problem, Result};
use crate::modality::Survey;
use crate::observation::{Measurement, Object};
use crate::parquet_file::{ParquetFile, damaged};

/// Key of the file's metadata that names the survey.
pub const SURVEY: &str = "aion.survey";
/// Key of the file's metadata that is `true` where objects are simulated.
pub const SIMULATED: &str = "aion.simulated";

/// Rows and bytes converted at a time.
const ROWS_A_BATCH: usize = 1024;
const BYTES_A_BATCH: usize = 16 << 20;

/// A table being written; it appears under its name when it is finished.
#[derive(Debug)]
pub struct ObservationTable {
    path: PathBuf,
    layout: Layout,
    schema: SchemaRef,
    file: ParquetFile,
    waiting: Vec<Row>,
    bytes: usize,
    rows: usize,
}

impl ObservationTable {
    /// Begins a table at `path` with the columns of `layout`. The metadata goes into the file's
    /// footer, with the survey and whether objects are simulated.
    ///
    /// # Errors
    /// [`Problem::Io`] where the file cannot be created.
    pub fn create(
        path: &Path,
        layout: Layout,
        metadata: &BTreeMap<String, String>,
    ) -> Result<ObservationTable> {
        let mut metadata = metadata.clone();
        metadata.insert(SURVEY.to_owned(), layout.survey().name().to_owned());
        if layout.is_simulated() {
            metadata.insert(SIMULATED.to_owned(), "true".to_owned());
        }
        let schema = Arc::new(Schema::new(layout.fields()));
        Ok(ObservationTable {
            path: path.to_owned(),
            file: ParquetFile::create(path, schema.clone(), &metadata)?,
            layout,
            schema,
            waiting: Vec::new(),
            bytes: 0,
            rows: 0,
        })
    }

    /// Adds an object. Its measurements by other surveys are left to their tables.
    ///
    /// # Errors
    /// Names file, object and field: [`Problem::Shape`] where an array's length is not what its
    /// measurement says; [`Problem::Values`] where a measurement is not of its modality's kind;
    /// [`Problem::Mismatch`] where the row has other numbers than the layout asks for;
    /// [`Problem::Io`].
    pub fn push(&mut self, row: impl Into<Row>) -> Result<()> {
        let row = row.into();
        self.layout
            .check(&row)
            .map_err(|error| error.in_object(&row.object.id).in_file(&self.path))?;
        self.bytes += bytes(&row.object);
        self.rows += 1;
        self.waiting.push(row);
        if self.waiting.len() < ROWS_A_BATCH && self.bytes < BYTES_A_BATCH {
            return Ok(());
        }
        self.flush()
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn flush(&mut self) -> Result<()> {
        let rows: Vec<&Row> = self.waiting.iter().collect();
        let arrays = self.layout.arrays(&rows);
        let batch = RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|error| DataError::new(Place::file(&self.path), damaged(error.to_string())))?;
        self.waiting.clear();
        self.bytes = 0;
        self.file.write(&batch)
    }

    /// Writes what is left and gives the file its name.
    ///
    /// # Errors
    /// [`Problem::Io`]; nothing is left behind then.
    pub fn finish(mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            self.flush()?;
        }
        self.file.finish()
    }
}

/// Writes objects that one survey measured to `path`; the columns are those that they need.
///
/// # Errors
/// [`Problem::Empty`] without objects; [`Problem::Mismatch`] where several surveys measured them,
/// since that takes a table a survey; whatever [`ObservationTable`] refuses.
pub fn write_observations(
    path: &Path,
    objects: &[Object],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    if objects.is_empty() {
        return Err(DataError::new(Place::file(path), Problem::Empty));
    }
    let surveys = objects
        .iter()
        .flat_map(|object| object.measurements.keys())
        .map(|id| id.info().survey)
        .filter(|survey| *survey != Survey::Any);
    let surveys: BTreeSet<Survey> = surveys.collect();
    if surveys.len() > 1 {
        let names: Vec<&str> = surveys.iter().map(|survey| survey.name()).collect();
        let problem = format!(
            "a Parquet file holds observations by one survey, these are by {}; \
             write .safetensors, or leave out the others' modalities",
            names.join(", ")
        );
        return Err(DataError::new(
            Place::file(path),
            Problem::Mismatch(problem),
        ));
    }
    let survey = surveys.first().copied().unwrap_or(Survey::Any);
    let mut table = ObservationTable::create(path, Layout::of(survey, objects), metadata)?;
    for object in objects {
        table.push(object.clone())?;
    }
    table.finish()
}

/// About how many bytes an object's measurements take.
fn bytes(object: &Object) -> usize {
    let numbers = object
        .measurements
        .values()
        .map(|measurement| match measurement {
            Measurement::Image(image) => image.flux.len() * 2,
            Measurement::Spectrum(spectrum) => spectrum.flux.len() * 3,
            Measurement::Coefficients(values) => values.len(),
            Measurement::Catalog(sources) => sources.len() * 5,
            Measurement::ScalarField(map) => map.field.len(),
            Measurement::Scalar(_) => 1,
        });
    4 * numbers.sum::<usize>()
}
