//! Parquet files: how record batches are written, and how the library's failures become errors.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

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
        let file = NewFile::create(path)?;
        let out = BufWriter::new(file.handle()?);
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties(&schema)));
        let mut file = ParquetFile {
            path: path.to_owned(),
            file,
            writer: writer.map_err(|error| parquet_error(path, error))?,
        };
        file.note(metadata);
        Ok(file)
    }

    /// Adds entries to the footer's metadata.
    pub fn note(&mut self, metadata: &BTreeMap<String, String>) {
        for (key, value) in metadata {
            let entry = KeyValue::new(key.clone(), value.clone());
            self.writer.append_key_value_metadata(entry);
        }
    }

    /// Writes the footer without giving the file its name yet: it can be read where this returns.
    pub(crate) fn end(&mut self) -> Result<&Path> {
        let ended = self.writer.finish();
        ended.map_err(|error| parquet_error(&self.path, error))?;
        let flushed = std::io::Write::flush(self.writer.inner_mut());
        flushed.map_err(|error| io_error(&self.path, error))?;
        Ok(self.file.partial_path())
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

/// Compression of every column, and the encoding of those with single-precision numbers: bytes of
/// one significance together, since dictionaries find nothing among measured numbers.
fn properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_A_GROUP))
        .set_max_row_group_bytes(Some(BYTES_A_GROUP));
    for field in schema.fields() {
        let (path, number) = leaf(field);
        if matches!(number, DataType::Float32 | DataType::Float16) {
            let path = ColumnPath::from(path);
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            if number == DataType::Float32 {
                properties = properties.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
            }
        }
    }
    properties.build()
}

/// Path of a column's numbers within the file, and their type.
fn leaf(field: &Field) -> (Vec<String>, DataType) {
    let mut path = vec![field.name().clone()];
    let mut of = field.data_type();
    while let DataType::List(item) | DataType::FixedSizeList(item, _) = of {
        path.extend(["list".to_owned(), item.name().clone()]);
        of = item.data_type();
    }
    (path, of.clone())
}

/// Opens a file to be read, with the types that Arrow keeps beside Parquet's own where `arrow_types`.
///
/// # Errors
/// [`Problem::Io`]; [`Problem::Container`] for a damaged footer.
pub(crate) fn open_parquet(
    path: &Path,
    arrow_types: bool,
) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let failed = |error| io_error(path, error);
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(!arrow_types);
    let builder = read_step(path, || {
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
    })?;
    check_extents(path, builder.metadata(), bytes)?;
    Ok(builder)
}

/// Fails unless every column chunk lies within the file's `len` bytes: the library makes room for what
/// a damaged footer claims before it reads.
fn check_extents(path: &Path, metadata: &ParquetMetaData, len: u64) -> Result<()> {
    let chunks = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    // Negative offsets make the library panic.
    let inside = read_step(path, || {
        let mut ranges = chunks.map(|chunk| chunk.byte_range());
        Ok(ranges.all(|(start, size)| start.checked_add(size).is_some_and(|end| end <= len)))
    })?;
    if inside {
        return Ok(());
    }
    let reason = "a column lies outside the file".to_owned();
    Err(DataError::new(Place::file(path), damaged(reason)))
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
pub(crate) fn parquet_error(path: &Path, error: ParquetError) -> DataError {
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
