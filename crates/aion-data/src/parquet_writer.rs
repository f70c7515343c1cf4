//! Writing Parquet row group by row group, with columns that may turn up late.
//!
//! What columns an output has is known when the last object is read, but rows are written as they come.
//! When a column turns up that the file lacks, the part written so far is copied with the column added;
//! that is rare (a survey's columns show in its first rows), and memory stays that of a row group.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, make_builder};
use arrow_array::{
    ArrayRef, FixedSizeListArray, Float16Array, Float32Array, Int64Array, RecordBatch,
    new_null_array,
};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::error::{DataError, Place, Problem, Result};
use crate::parquet_file::{ParquetFile, damaged, open_parquet, read_step};

/// Rows copied at a time.
const ROWS_COPIED: usize = 1024;

/// Name in the metadata under which Arrow keeps its schema.
const ARROW_SCHEMA: &str = "ARROW:schema";

/// Where a column stands among the others; smaller first.
pub type Rank = fn(&str) -> (usize, &str);

/// A Parquet file being written; absent unless finished.
pub struct ParquetWriter {
    path: PathBuf,
    rank: Rank,
    open: Option<(SchemaRef, ParquetFile)>,
}

impl ParquetWriter {
    /// Begins the file that will be called `path`, with columns in the order of `rank`.
    pub fn new(path: &Path, rank: Rank) -> Self {
        ParquetWriter {
            path: path.to_owned(),
            rank,
            open: None,
        }
    }

    /// Adds rows. Columns that the batch or the rows before lack are filled with nulls, or where the
    /// column has none, with NaN, -1 or empty lists.
    ///
    /// # Errors
    /// A column has another type than in the rows before, which is named; the file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let path = &self.path;
        let none = Arc::new(Schema::empty());
        let known = self.open.as_ref().map_or(&none, |(schema, _)| schema);
        let schema = merged(path, known, batch.schema_ref(), self.rank)?;
        let file = match self.open.take() {
            Some((known, file)) if known == schema => file,
            before => {
                let mut file = ParquetFile::create(path, schema.clone(), &BTreeMap::new())?;
                if let Some((_, mut narrower)) = before {
                    // It is removed as it goes out of scope.
                    copy(narrower.end()?, &schema, &mut file)?;
                }
                file
            }
        };
        let (_, file) = self.open.insert((schema.clone(), file));
        file.write(&adapted(path, batch, &schema)?)
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// There are no rows; the file cannot be written.
    pub fn finish(self, metadata: &BTreeMap<String, String>) -> Result<()> {
        let Some((_, mut file)) = self.open else {
            return Err(DataError::new(Place::file(&self.path), Problem::Empty));
        };
        file.note(metadata);
        file.finish()
    }
}

/// The columns of both, in order.
fn merged(path: &Path, known: &Schema, new: &Schema, rank: Rank) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = known.fields().iter().cloned().collect();
    for field in new.fields() {
        match known.field_with_name(field.name()) {
            Ok(before) if before.data_type() == field.data_type() => {}
            Ok(before) => {
                let problem = Problem::Shape {
                    found: field.data_type().to_string(),
                    expected: format!("{} as in the rows before", before.data_type()),
                };
                return Err(DataError::new(
                    Place::file(path).with_field(field.name()),
                    problem,
                ));
            }
            Err(_) => fields.push(field.clone()),
        }
    }
    fields.sort_by(|a, b| rank(a.name()).cmp(&rank(b.name())));
    Ok(Arc::new(Schema::new(fields)))
}

/// The batch with all columns of `schema`.
fn adapted(path: &Path, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => Ok(column.clone()),
            None => absent(path, field, batch.num_rows()),
        });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_>>()?)
        .map_err(|error| DataError::new(Place::file(path), damaged(error.to_string())))
}

/// What a column holds in rows that lack it.
fn absent(path: &Path, field: &Field, rows: usize) -> Result<ArrayRef> {
    if field.is_nullable() {
        return Ok(new_null_array(field.data_type(), rows));
    }
    filler(field.data_type(), rows).ok_or_else(|| {
        let problem = Problem::Missing(format!("column of type {}", field.data_type()));
        DataError::new(Place::file(path).with_field(field.name()), problem)
    })
}

/// Entries that mean nothing, for columns without nulls.
fn filler(of: &DataType, rows: usize) -> Option<ArrayRef> {
    Some(match of {
        DataType::Float32 => Arc::new(Float32Array::from(vec![f32::NAN; rows])),
        DataType::Float16 => Arc::new(Float16Array::from(vec![half::f16::NAN; rows])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![-1; rows])),
        DataType::FixedSizeList(item, width) => {
            let values = filler(item.data_type(), rows * usize::try_from(*width).ok()?)?;
            Arc::new(FixedSizeListArray::try_new(item.clone(), *width, values, None).ok()?)
        }
        DataType::List(item) => {
            let items = make_builder(item.data_type(), 0);
            let mut lists = ListBuilder::new(items).with_field(item.clone());
            (0..rows).for_each(|_| lists.append(true));
            Arc::new(lists.finish())
        }
        _ => return None,
    })
}

/// Copies all rows of a file.
fn copy(from: &Path, schema: &SchemaRef, to: &mut ParquetFile) -> Result<()> {
    let builder = open_parquet(from, true)?;
    let batches = read_step(from, || builder.with_batch_size(ROWS_COPIED).build())?;
    for batch in batches {
        let batch =
            batch.map_err(|error| DataError::new(Place::file(from), damaged(error.to_string())))?;
        to.write(&adapted(from, &batch, schema)?)?;
    }
    Ok(())
}

/// The columns of a Parquet file and its own metadata.
///
/// # Errors
/// It cannot be read.
pub fn describe(path: &Path) -> Result<(SchemaRef, BTreeMap<String, String>)> {
    let builder = open_parquet(path, true)?;
    let footer = builder.metadata().file_metadata();
    let entries = footer.key_value_metadata().into_iter().flatten();
    let entries = entries.filter(|entry| entry.key != ARROW_SCHEMA);
    let metadata = entries.filter_map(|entry| Some((entry.key.clone(), entry.value.clone()?)));
    // Arrow would carry the entries along as the schema's own.
    let schema = Schema::new(builder.schema().fields().clone());
    Ok((Arc::new(schema), metadata.collect()))
}

/// All columns of several files, in the order of `rank`.
///
/// # Errors
/// A file cannot be read, or gives a column another type than the files before.
pub fn columns_of<'a>(paths: impl IntoIterator<Item = &'a Path>, rank: Rank) -> Result<SchemaRef> {
    let mut all = Arc::new(Schema::empty());
    for path in paths {
        all = merged(path, &all, &describe(path)?.0, rank)?;
    }
    Ok(all)
}

/// Gives a file the columns of `schema` that it lacks; false where it has them all.
///
/// # Errors
/// It cannot be read or replaced.
pub fn add_columns(path: &Path, schema: &SchemaRef) -> Result<bool> {
    let (own, metadata) = describe(path)?;
    if own == *schema {
        return Ok(false);
    }
    let mut file = ParquetFile::create(path, schema.clone(), &metadata)?;
    copy(path, schema, &mut file)?;
    file.finish()?;
    Ok(true)
}
