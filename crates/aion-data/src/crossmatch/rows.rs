//! The second pass over one side: all columns of the rows that are matched, as Arrow.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use parquet::arrow::arrow_reader::RowSelection;

use crate::atomic::io_error;
use crate::crossmatch::cells;
use crate::crossmatch::object_columns::ObjectColumns;
use crate::crossmatch::positions::{Content, FileRows, Seen};
use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Column, Row};
use crate::observation_table;
use crate::parquet_file::{damaged, open_parquet, read_step};
use crate::reader::{self, ReadOptions};

/// The key of a column's unit in its Arrow metadata.
pub(super) const UNIT: &str = "unit";

/// Bytes of rows read at a time, about.
const BATCH_BYTES: usize = 16 << 20;
/// Rows read at a time.
const BATCH_ROWS: usize = 8192;

/// Takes rows as they are read.
pub(super) type Take<'a> = &'a mut dyn FnMut(RecordBatch) -> Result<()>;

/// What the second pass knows beside the file.
pub(super) struct Source<'a> {
    /// How objects are read.
    pub options: &'a ReadOptions,
    /// What all objects of the side hold.
    pub seen: &'a Seen,
}

/// Gives the rows of a file with the numbers `wanted` (rising, counted from 0) to `take`, in order.
/// Where none is wanted, one batch without rows shows the columns.
///
/// # Errors
/// The file is not what it was in the first pass; a column cannot be read; whatever `take` returns.
pub(super) fn read(source: &Source, file: &FileRows, wanted: &[usize], take: Take) -> Result<()> {
    let mut taken = 0;
    let mut counted = |batch: RecordBatch| {
        taken += batch.num_rows();
        take(batch)
    };
    match file.content {
        Content::Objects => objects(source, file, wanted, &mut counted)?,
        Content::Table => match reader::is_parquet(&file.path)? {
            true => parquet_rows(&file.path, wanted, &mut counted)?,
            false => table_rows(file, wanted, &mut counted)?,
        },
    }
    if taken == wanted.len() {
        return Ok(());
    }
    let what = format!(
        "{taken} of {} rows came again; the file changed",
        wanted.len()
    );
    Err(DataError::new(
        Place::file(&file.path),
        Problem::Mismatch(what),
    ))
}

/// About how many bytes a row takes in memory.
pub(super) fn row_bytes(file: &FileRows) -> Result<usize> {
    let io = |error| io_error(&file.path, error);
    let bytes = match reader::is_parquet(&file.path)? {
        true => {
            let builder = open_parquet(&file.path, true)?;
            let groups = builder.metadata().row_groups().iter();
            groups
                .map(|group| u64::try_from(group.total_byte_size()).unwrap_or(0))
                .sum()
        }
        false => fs::metadata(&file.path)
            .map_err(io)?
            .len()
            .saturating_mul(2),
    };
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX) / file.len.max(1) + 1)
}

fn batch_rows(row_bytes: usize) -> usize {
    (BATCH_BYTES / row_bytes.max(1)).clamp(1, BATCH_ROWS)
}

fn parquet_rows(path: &Path, wanted: &[usize], take: Take) -> Result<()> {
    let builder = open_parquet(path, true)?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let bytes = builder.metadata().row_groups().iter();
    let bytes: i64 = bytes.map(|group| group.total_byte_size()).sum();
    let row_bytes = usize::try_from(bytes).unwrap_or(usize::MAX) / rows.max(1);
    let units = match reader::open_table(path)? {
        Some(table) => table.columns().to_vec(),
        None => Vec::new(),
    };
    let mut next = 0;
    let mut selected = || -> Option<Range<usize>> {
        let start = *wanted.get(next)?;
        let mut end = start;
        while wanted.get(next) == Some(&end) {
            (next, end) = (next + 1, end + 1);
        }
        Some(start..end)
    };
    let ranges = std::iter::from_fn(&mut selected).filter(|range| range.end <= rows);
    let selection = RowSelection::from_consecutive_ranges(ranges, rows);
    let schema = with_units(builder.schema(), &units);
    take(RecordBatch::new_empty(schema.clone()))?;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut batches = read_step(path, || {
        builder
            .with_row_selection(selection)
            .with_batch_size(batch_rows(row_bytes))
            .build()
    })?;
    let mut next = || read_step(path, || batches.next().transpose().map_err(Into::into));
    while let Some(batch) = next()? {
        take(checked(path, batch.with_schema(schema.clone()))?)?;
    }
    Ok(())
}

/// The fields with the units of the columns of the same name in their metadata.
fn with_units(schema: &Schema, columns: &[Column]) -> Arc<Schema> {
    let units: HashMap<&str, &str> = columns
        .iter()
        .filter_map(|column| Some((column.name.as_str(), column.unit.as_deref()?)))
        .collect();
    let fields = schema.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        if let Some(unit) = units.get(field.name().as_str()) {
            metadata.insert(UNIT.to_owned(), (*unit).to_owned());
        }
        field.as_ref().clone().with_metadata(metadata)
    });
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

fn table_rows(file: &FileRows, wanted: &[usize], take: Take) -> Result<()> {
    let path = &file.path;
    let Some(table) = reader::open_table(path)? else {
        let what = "no table any more; the file changed".to_owned();
        return Err(DataError::new(Place::file(path), Problem::Mismatch(what)));
    };
    let columns = table.columns().to_vec();
    let all: Vec<usize> = (0..columns.len()).collect();
    take(batch_of(path, &columns, &[])?)?;
    let rows = reader::table_rows(path, table, &all)?;
    let size = batch_rows(row_bytes(file)?);
    let mut wanted = wanted.iter().peekable();
    let mut ready = Vec::new();
    for (number, row) in rows.enumerate() {
        if wanted.next_if_eq(&&number).is_some() {
            ready.push(row?);
        }
        if ready.len() == size || (wanted.peek().is_none() && !ready.is_empty()) {
            take(batch_of(path, &columns, &ready)?)?;
            ready.clear();
        }
        if wanted.peek().is_none() {
            break;
        }
    }
    match ready.is_empty() {
        true => Ok(()),
        false => take(batch_of(path, &columns, &ready)?),
    }
}

fn batch_of(path: &Path, columns: &[Column], rows: &[Row]) -> Result<RecordBatch> {
    let mut arrays = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let cells = rows.iter().filter_map(move |row| row.get(index));
        arrays.push(cells::array(cells).ok_or_else(|| {
            let what = "texts, numbers or lists that do not make one column".to_owned();
            let place = Place::file(path).with_field(&column.name);
            DataError::new(place, Problem::Values(what))
        })?);
    }
    let fields = columns
        .iter()
        .zip(&arrays)
        .map(|(column, array)| Field::new(column.name.as_str(), array.data_type().clone(), true));
    let schema = with_units(&Schema::new(fields.collect::<Vec<_>>()), columns);
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    checked(
        path,
        RecordBatch::try_new_with_options(schema, arrays, &options),
    )
}

pub(super) fn checked<T>(
    path: &Path,
    made: std::result::Result<T, arrow_schema::ArrowError>,
) -> Result<T> {
    made.map_err(|error| DataError::new(Place::file(path), damaged(error.to_string())))
}

/// Objects in the columns of the Multimodal Universe.
fn objects(source: &Source, file: &FileRows, wanted: &[usize], take: Take) -> Result<()> {
    let path = &file.path;
    let columns = ObjectColumns::of(path, source.seen)?;
    take(columns.batch(path, &[])?)?;
    let size = batch_rows(row_bytes(file)?);
    let mut wanted = wanted.iter().peekable();
    let mut ready = Vec::new();
    for (number, object) in reader::read(path, source.options)?.enumerate() {
        if wanted.peek().is_none() {
            break;
        }
        if wanted.next_if_eq(&&number).is_some() {
            ready.push(observation_table::Row::from(object?));
        }
        if ready.len() == size {
            take(columns.batch(path, &ready)?)?;
            ready.clear();
        }
    }
    match ready.is_empty() {
        true => Ok(()),
        false => take(columns.batch(path, &ready)?),
    }
}
