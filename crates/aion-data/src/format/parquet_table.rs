//! Parquet files as tables. The fields of a struct are columns of their own, named
//! `struct.field`, and only those wanted are read, a few rows at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, FieldRef, Fields, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::arrow_cells::cells_at;
use crate::format::ecsv;
use crate::format::table::{Column, Row, Rows, Table};
use crate::modality::ModalityId;
use crate::parquet_file::{open_parquet, read_step};

/// Rows decoded at a time, and about how many bytes of them.
const BATCH: usize = 1024;
const BATCH_BYTES: u64 = 8 << 20;
/// Structs within structs that are followed.
const DEEPEST: usize = 8;

/// An open Parquet file.
pub struct ParquetTable {
    path: PathBuf,
    columns: Vec<Column>,
    fields: Vec<Field>,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl ParquetTable {
    /// Reads the file's footer.
    ///
    /// Errors: not a Parquet file, truncated, damaged.
    pub fn open(path: &Path) -> Result<Self> {
        // The stored types are plainer than Arrow's (no dictionaries, no extensions).
        let builder = open_parquet(path, false)?;
        refuse_tokens(path, builder.schema())?;
        let mut units = field_units(path, &builder);
        units.extend(astropy_units(&builder).map_err(|reason| container(path, reason))?);
        let mut fields = Vec::new();
        let mut leaf = 0;
        for field in builder.schema().fields() {
            add_fields(field, &[], &mut leaf, &mut fields);
        }
        let columns = fields.iter().map(|field| {
            let name = field.path.join(".");
            let unit = units.get(&name).cloned();
            Column { name, unit }
        });
        Ok(ParquetTable {
            path: path.to_owned(),
            columns: columns.collect(),
            fields,
            builder,
        })
    }

    /// Rows decoded at a time: fewer where they are long.
    fn batch_rows(&self, groups: &[usize], leaves: &[usize]) -> usize {
        let metadata = self.builder.metadata();
        let groups = groups
            .iter()
            .filter_map(|&group| metadata.row_groups().get(group));
        let (mut rows, mut bytes) = (0u64, 0u64);
        for group in groups {
            let columns = leaves.iter().filter_map(|&leaf| group.columns().get(leaf));
            let sizes =
                columns.map(|column| u64::try_from(column.uncompressed_size()).unwrap_or(0));
            bytes = bytes.saturating_add(sizes.sum());
            rows = rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or(0));
        }
        let row_bytes = (bytes / rows.max(1)).max(1);
        ((BATCH_BYTES / row_bytes) as usize).clamp(1, BATCH)
    }
}

/// A column of the table: where it stands in the schema, and its leaves among all leaves.
struct Field {
    path: Vec<String>,
    leaves: Range<usize>,
}

/// Adds a field, or, of a struct (also of a list of structs), the fields within it.
fn add_fields(field: &FieldRef, above: &[String], leaf: &mut usize, fields: &mut Vec<Field>) {
    let mut path = above.to_vec();
    path.push(field.name().clone());
    let inner = match field.data_type() {
        DataType::Struct(inner) => Some(inner),
        DataType::List(item) => match item.data_type() {
            DataType::Struct(inner) => Some(inner),
            _ => None,
        },
        _ => None,
    };
    match inner.filter(|_| path.len() < DEEPEST) {
        Some(inner) => {
            for field in inner {
                add_fields(field, &path, leaf, fields);
            }
        }
        None => {
            let first = *leaf;
            *leaf += leaves(field.data_type());
            let leaves = first..*leaf;
            fields.push(Field { path, leaves });
        }
    }
}

/// The number of leaves of a type.
fn leaves(of: &DataType) -> usize {
    match of {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => leaves(item.data_type()),
        _ => 1,
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

/// The units that data frames leave in the metadata of fields, as `unit`. A stored schema that does
/// not fit the file describes another one, and is left alone.
fn field_units(
    path: &Path,
    builder: &ParquetRecordBatchReaderBuilder<File>,
) -> BTreeMap<String, String> {
    let metadata = builder.metadata().file_metadata();
    let schema = read_step(path, || {
        parquet_to_arrow_schema(metadata.schema_descr(), metadata.key_value_metadata())
    });
    let fields = schema.map_or_else(|_| Fields::empty(), |schema| schema.fields);
    let unit = |field: &FieldRef| {
        let unit = field
            .metadata()
            .get("unit")
            .filter(|unit| !unit.is_empty())?;
        Some((field.name().clone(), unit.clone()))
    };
    fields.iter().filter_map(unit).collect()
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
        let fields = wanted.iter().filter_map(|&index| self.fields.get(index));
        let leaves: Vec<usize> = fields
            .clone()
            .flat_map(|field| field.leaves.clone())
            .collect();
        let paths: Vec<Vec<String>> = fields.map(|field| field.path.clone()).collect();
        let groups = GroupsInRange::of(&self.builder, &range);
        let batch_rows = self.batch_rows(&groups.groups, &leaves);
        let mask = ProjectionMask::leaves(self.builder.parquet_schema(), leaves);
        let batches = self
            .builder
            .with_row_groups(groups.groups)
            .with_offset(groups.offset)
            .with_limit(groups.limit)
            .with_projection(mask)
            .with_batch_size(batch_rows)
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
                    .and_then(|batch| rows_of(&path, &paths, &batch));
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

fn rows_of(path: &Path, fields: &[Vec<String>], batch: &RecordBatch) -> Result<Vec<Row>> {
    let row = |_| Row::with_capacity(fields.len());
    let mut rows: Vec<Row> = (0..batch.num_rows()).map(row).collect();
    for field in fields {
        let place = || Place::file(path).with_field(field.join("."));
        let column = field
            .split_first()
            .and_then(|(root, within)| Some((batch.column_by_name(root)?, within)));
        let (column, within) =
            column.ok_or_else(|| DataError::new(place(), Problem::Missing("column".into())))?;
        let cells = cells_at(column, within)
            .map_err(|reason| DataError::new(place(), Problem::Values(reason)))?;
        for (row, cell) in rows.iter_mut().zip(cells) {
            row.push(cell);
        }
    }
    Ok(rows)
}
