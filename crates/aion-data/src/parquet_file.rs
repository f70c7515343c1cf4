//! Parquet files: how record batches are written, and how the library's failures become errors.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::atomic::{NewFile, io_error};
use crate::error::{DataError, Place, Problem, Result};

/// Bounds of a row group, which a reader may have to hold as a whole.
const ROWS_A_GROUP: usize = 16_384;
const BYTES_A_GROUP: usize = 128 << 20;

/// Writes `batches`, drawn one at a time, to `path`.
pub(crate) fn write_parquet(
    path: &Path,
    schema: SchemaRef,
    metadata: &BTreeMap<String, String>,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let mut file = ParquetFile::create(path, schema, metadata)?;
    for batch in batches {
        file.write(&batch?)?;
    }
    file.finish()
}

/// A Parquet file that grows batch by batch and appears under its name when it is finished.
pub struct ParquetFile {
    path: PathBuf,
    file: NewFile,
    writer: ArrowWriter<BufWriter<File>>,
}

impl fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ParquetFile").field(&self.path).finish()
    }
}

impl ParquetFile {
    /// Begins a file of the columns in `schema`, with `metadata` in its footer. Row groups are
    /// bounded in rows and bytes.
    ///
    /// # Errors
    /// [`Problem::Io`] where the file cannot be created.
    pub fn create(
        path: &Path,
        schema: SchemaRef,
        metadata: &BTreeMap<String, String>,
    ) -> Result<ParquetFile> {
        let entries = metadata
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROWS_A_GROUP))
            .set_max_row_group_bytes(Some(BYTES_A_GROUP))
            .set_key_value_metadata(Some(entries.collect()))
            .build();
        let file = NewFile::create(path)?;
        let out = BufWriter::new(file.handle()?);
        let writer = ArrowWriter::try_new(out, schema, Some(properties));
        Ok(ParquetFile {
            path: path.to_owned(),
            file,
            writer: writer.map_err(|error| parquet_error(path, error))?,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`Problem::Io`]; columns other than the schema's.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let written = self.writer.write(batch);
        written.map_err(|error| parquet_error(&self.path, error))
    }

    /// Writes the footer and gives the file its name.
    ///
    /// # Errors
    /// [`Problem::Io`]; nothing is left behind then.
    pub fn finish(self) -> Result<()> {
        let path = &self.path;
        let out = self.writer.into_inner();
        let out = out.map_err(|error| parquet_error(path, error))?;
        out.into_inner()
            .map_err(|error| io_error(path, error.into_error()))?;
        self.file.finish()
    }
}

/// Runs a step of reading. The library panics on some damaged files.
pub(crate) fn read_step<T>(
    path: &Path,
    step: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(read) => read.map_err(|error| parquet_error(path, error)),
        Err(_) => {
            let problem = damaged("its pages contradict each other".to_owned());
            Err(DataError::new(Place::file(path), problem))
        }
    }
}

/// The library's error, with the input or output error inside it where that is what happened.
fn parquet_error(path: &Path, error: ParquetError) -> DataError {
    let problem = match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => Problem::Io(*error),
            Err(inner) => damaged(inner.to_string()),
        },
        other => damaged(other.to_string()),
    };
    DataError::new(Place::file(path), problem)
}

pub(crate) fn damaged(reason: String) -> Problem {
    let format = "Parquet";
    Problem::Container { format, reason }
}
