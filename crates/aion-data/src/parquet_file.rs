//! Parquet files: how record batches are written, and how the library's failures become errors.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::atomic::write_atomically;
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
    let entries = metadata
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_A_GROUP))
        .set_max_row_group_bytes(Some(BYTES_A_GROUP))
        .set_key_value_metadata(Some(entries.collect()))
        .build();
    let failed = |error: ParquetError| parquet_error(path, error);
    write_atomically(path, |file| {
        let out = BufWriter::new(file);
        let mut writer = ArrowWriter::try_new(out, schema, Some(properties)).map_err(failed)?;
        for batch in batches {
            writer.write(&batch?).map_err(failed)?;
        }
        writer.close().map(|_| ()).map_err(failed)
    })
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
