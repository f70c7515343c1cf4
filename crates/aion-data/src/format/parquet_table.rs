//! Parquet files as tables: numbers, text, booleans and lists of numbers in top-level columns.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::ecsv;
use crate::format::table::{Cell, Column, Row, Rows, Table};
use crate::modality::ModalityId;

/// Rows decoded at a time.
const BATCH: usize = 1024;

/// An open Parquet file.
pub struct ParquetTable {
    path: PathBuf,
    columns: Vec<Column>,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl ParquetTable {
    /// Reads the file's footer.
    ///
    /// Errors: not a Parquet file, truncated, damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let file =
            File::open(path).map_err(|error| DataError::new(Place::file(path), error.into()))?;
        // The stored types are plainer than Arrow's (no dictionaries, no extensions).
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(|error| container(path, error.to_string()))?;
        refuse_tokens(path, builder.schema())?;
        let units = astropy_units(&builder).map_err(|reason| container(path, reason))?;
        let columns = builder.schema().fields().iter().map(|field| Column {
            name: field.name().clone(),
            unit: units.get(field.name()).cloned(),
        });
        Ok(ParquetTable {
            path: path.to_owned(),
            columns: columns.collect(),
            builder,
        })
    }
}

/// Refuses a file of tokens, whose columns bear the same names as those of measurements.
fn refuse_tokens(path: &Path, schema: &Schema) -> Result<()> {
    let is_tokens = |field: &&FieldRef| match field.data_type() {
        DataType::List(item) | DataType::FixedSizeList(item, _) => {
            item.data_type() == &DataType::UInt16 && ModalityId::from_key(field.name()).is_some()
        }
        _ => false,
    };
    let Some(field) = schema.fields().iter().find(is_tokens) else {
        return Ok(());
    };
    let problem = Problem::Unrecognised("tokens, expected observations".into());
    Err(DataError::new(
        Place::file(path).with_field(field.name()),
        problem,
    ))
}

/// The units that Astropy leaves in the file's metadata.
fn astropy_units(
    builder: &ParquetRecordBatchReaderBuilder<File>,
) -> std::result::Result<BTreeMap<String, String>, String> {
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let yaml = metadata
        .into_iter()
        .flatten()
        .find(|entry| entry.key == "table_meta_yaml")
        .and_then(|entry| entry.value.as_deref());
    yaml.map_or_else(|| Ok(BTreeMap::new()), ecsv::units)
}

impl Table for ParquetTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn row_count(&self) -> Option<u64> {
        let rows = self.builder.metadata().file_metadata().num_rows();
        u64::try_from(rows).ok()
    }

    fn rows(self: Box<Self>, wanted: &[usize], range: Range<u64>) -> Result<Rows> {
        let names: Vec<String> = wanted
            .iter()
            .filter_map(|&index| Some(self.columns.get(index)?.name.clone()))
            .collect();
        let roots = wanted.iter().copied();
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), roots);
        let groups = GroupsInRange::of(&self.builder, &range);
        let batches = self
            .builder
            .with_row_groups(groups.groups)
            .with_offset(groups.offset)
            .with_limit(groups.limit)
            .with_projection(mask)
            .with_batch_size(BATCH)
            .build()
            .map_err(|error| container(&self.path, error.to_string()))?;
        let path = self.path;
        let mut damaged = false;
        let rows = batches
            .map_while(move |batch| {
                if damaged {
                    return None;
                }
                let rows = batch
                    .map_err(|error| container(&path, error.to_string()))
                    .and_then(|batch| rows_of(&path, &names, &batch));
                damaged = rows.is_err();
                Some(match rows {
                    Ok(rows) => rows.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                })
            })
            .flatten();
        Ok(Box::new(rows))
    }
}

/// The row groups that hold the rows of a range, and where in them it lies.
struct GroupsInRange {
    groups: Vec<usize>,
    offset: usize,
    limit: usize,
}

impl GroupsInRange {
    fn of(builder: &ParquetRecordBatchReaderBuilder<File>, range: &Range<u64>) -> Self {
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let mut found = GroupsInRange {
            groups: Vec::new(),
            offset: 0,
            limit: count(range.end.saturating_sub(range.start)),
        };
        let mut start = 0u64;
        for (index, group) in builder.metadata().row_groups().iter().enumerate() {
            let end = start.saturating_add(u64::try_from(group.num_rows()).unwrap_or(0));
            if start < range.end && end > range.start {
                if found.groups.is_empty() {
                    found.offset = count(range.start.saturating_sub(start));
                }
                found.groups.push(index);
            }
            start = end;
        }
        found
    }
}

fn container(path: &Path, reason: String) -> DataError {
    let problem = Problem::Container {
        format: "Parquet",
        reason,
    };
    DataError::new(Place::file(path), problem)
}

fn rows_of(path: &Path, names: &[String], batch: &RecordBatch) -> Result<Vec<Row>> {
    let mut rows = vec![Row::with_capacity(names.len()); batch.num_rows()];
    for name in names {
        let place = || Place::file(path).with_field(name);
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| DataError::new(place(), Problem::Missing("column".into())))?;
        let cells = cells(column).ok_or_else(|| {
            let what = format!("columns of type {} are not read", column.data_type());
            DataError::new(place(), Problem::Values(what))
        })?;
        for (row, cell) in rows.iter_mut().zip(cells) {
            row.push(cell);
        }
    }
    Ok(rows)
}

/// The cells of a column; none where its type is not read.
pub(crate) fn cells(column: &ArrayRef) -> Option<Vec<Cell>> {
    Some(match column.data_type() {
        DataType::Int8 => integers::<Int8Type>(column),
        DataType::Int16 => integers::<Int16Type>(column),
        DataType::Int32 => integers::<Int32Type>(column),
        DataType::Int64 => integers::<Int64Type>(column),
        DataType::UInt8 => integers::<UInt8Type>(column),
        DataType::UInt16 => integers::<UInt16Type>(column),
        DataType::UInt32 => integers::<UInt32Type>(column),
        DataType::UInt64 => integers::<UInt64Type>(column),
        DataType::Float32 => reals::<Float32Type>(column),
        DataType::Float64 => reals::<Float64Type>(column),
        DataType::Boolean => {
            let label = |value: bool| Cell::Text(value.to_string());
            let values = column.as_boolean().iter();
            values
                .map(|value| value.map_or(Cell::Missing, label))
                .collect()
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>().iter();
            values
                .map(|value| value.map_or(Cell::Missing, Cell::from_text))
                .collect()
        }
        DataType::Binary => {
            let label = |value: &[u8]| Cell::from_text(&String::from_utf8_lossy(value));
            let values = column.as_binary::<i32>().iter();
            values
                .map(|value| value.map_or(Cell::Missing, label))
                .collect()
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>().iter().map(|list| match list {
                None => Some(Cell::Missing),
                Some(list) => Some(Cell::List(numbers(&list)?)),
            });
            lists.collect::<Option<Vec<Cell>>>()?
        }
        _ => return None,
    })
}

fn integers<T: ArrowPrimitiveType>(column: &ArrayRef) -> Vec<Cell>
where
    T::Native: Into<i128>,
{
    let values = column.as_primitive::<T>().iter();
    values
        .map(|value| value.map_or(Cell::Missing, |value| Cell::Integer(value.into())))
        .collect()
}

fn reals<T: ArrowPrimitiveType>(column: &ArrayRef) -> Vec<Cell>
where
    T::Native: Into<f64>,
{
    let values = column.as_primitive::<T>().iter();
    values
        .map(|value| value.map_or(Cell::Missing, |value| Cell::from_number(value.into())))
        .collect()
}

/// The numbers of a list, NaN where one is missing.
fn numbers(list: &ArrayRef) -> Option<Vec<f64>> {
    let number = |cell: &Cell| cell.number().ok();
    let cells = cells(list)?;
    cells
        .iter()
        .map(|cell| Some(number(cell)?.unwrap_or(f64::NAN)))
        .collect()
}
