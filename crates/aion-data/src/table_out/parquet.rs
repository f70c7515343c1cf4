//! Tables in Parquet.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, ListBuilder, PrimitiveBuilder};
use arrow_array::types::{ArrowPrimitiveType, Float16Type, Float32Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use half::f16;

use super::{Column, DEC, FLAG, Floats, HEALPIX, OBJECT_ID, RA, Values, check_columns, width};
use crate::error::{DataError, Place, Problem, Result};
use crate::parquet_file::damaged;
use crate::parquet_writer::ParquetWriter;

/// Numbers encoded at a time, unless one row has more.
const NUMBERS_A_BATCH: usize = 1 << 22;

/// A table in Parquet, written row group by row group; absent unless finished.
pub struct TableWriter {
    path: PathBuf,
    writer: ParquetWriter,
    floats: Floats,
}

impl TableWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create(path: &Path, floats: Floats) -> Result<Self> {
        Ok(TableWriter {
            path: path.to_owned(),
            writer: ParquetWriter::new(path, rank),
            floats,
        })
    }

    /// Adds the rows of the objects called `ids`. Columns that other rows have and these lack are
    /// null, or NaN, -1 or empty where they hold arrays.
    ///
    /// # Errors
    /// As [`super::write_columns`]; a column has another type or shape than in the rows before.
    pub fn push(&mut self, ids: &[String], columns: &[Column]) -> Result<()> {
        check_columns(&self.path, ids, columns)?;
        let mut fields = vec![Field::new(OBJECT_ID, DataType::Utf8, false)];
        for column in columns {
            fields.push(field(column, self.floats).map_err(|problem| {
                DataError::new(Place::file(&self.path).with_field(&column.name), problem)
            })?);
        }
        let schema = Arc::new(Schema::new(fields));
        let step = rows_a_batch(columns);
        for start in (0..ids.len()).step_by(step) {
            let rows = Rows {
                start,
                end: ids.len().min(start + step),
            };
            let mut arrays: Vec<ArrayRef> = vec![Arc::new(
                rows.of(ids, 1).iter().map(Some).collect::<StringArray>(),
            )];
            let values = columns.iter().map(|column| &column.values);
            arrays.extend(values.map(|values| array(values, rows, self.floats)));
            let batch = RecordBatch::try_new(schema.clone(), arrays);
            let batch = batch.map_err(|error| {
                DataError::new(Place::file(&self.path), damaged(error.to_string()))
            })?;
            self.writer.write(&batch)?;
        }
        Ok(())
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// There are no rows; the file cannot be written.
    pub fn finish(self, metadata: &BTreeMap<String, String>) -> Result<()> {
        self.writer.finish(metadata)
    }
}

/// Identity and position, then flags, then results, by name.
pub fn rank(column: &str) -> (usize, &str) {
    let first = [OBJECT_ID, RA, DEC, HEALPIX];
    let place = first.iter().position(|name| *name == column);
    let after = first.len() + usize::from(!column.starts_with(FLAG));
    (place.unwrap_or(after), column)
}

pub(super) fn write(
    path: &Path,
    ids: &[String],
    columns: &[Column],
    metadata: &BTreeMap<String, String>,
    floats: Floats,
) -> Result<()> {
    let mut writer = TableWriter::create(path, floats)?;
    writer.push(ids, columns)?;
    writer.finish(metadata)
}

fn rows_a_batch(columns: &[Column]) -> usize {
    let longest = columns.iter().map(|column| match &column.values {
        Values::F32 { shape, .. } | Values::I64 { shape, .. } => width(shape),
        Values::Ragged { rows, .. } => rows.iter().map(Vec::len).max().unwrap_or(1),
        Values::F64(_) | Values::Cells(_) | Values::Text(_) => 1,
    });
    (NUMBERS_A_BATCH / longest.max().unwrap_or(1).max(1)).clamp(1, 4096)
}

/// Rows of one batch.
#[derive(Clone, Copy)]
struct Rows {
    start: usize,
    end: usize,
}

impl Rows {
    /// The rows' share of `data`, in which a row takes `width` entries.
    fn of<T>(self, data: &[T], width: usize) -> &[T] {
        data.get(self.start * width..self.end * width)
            .unwrap_or_default()
    }
}

fn field(column: &Column, floats: Floats) -> std::result::Result<Field, Problem> {
    let name = column.name.as_str();
    let float = match floats {
        Floats::F16 => DataType::Float16,
        Floats::F32 | Floats::Bf16 => DataType::Float32,
    };
    match &column.values {
        Values::F32 { shape, .. } => shaped_field(name, float, shape),
        Values::I64 { shape, .. } => shaped_field(name, DataType::Int64, shape),
        Values::F64(_) => Ok(Field::new(name, DataType::Float64, true)),
        Values::Cells(_) => Ok(Field::new(name, DataType::Int64, true)),
        Values::Text(_) => Ok(Field::new(name, DataType::Utf8, true)),
        Values::Ragged { width, .. } => {
            let entry = fixed_list(float, *width)?;
            let entries = DataType::List(Arc::new(item(entry)));
            Ok(Field::new(name, entries, false))
        }
    }
}

/// A number, a list, or from two axes a list that says its shape in the way that Arrow defines.
///
/// The extension is spelled by hand: pyarrow refuses the optional entries that arrow-schema adds, and
/// recognises it only with nullable items.
fn shaped_field(
    name: &str,
    number: DataType,
    shape: &[usize],
) -> std::result::Result<Field, Problem> {
    if shape.is_empty() {
        return Ok(Field::new(name, number, false));
    }
    let field = Field::new(name, fixed_list(number, width(shape))?, false);
    if shape.len() == 1 {
        return Ok(field);
    }
    Ok(field.with_metadata(HashMap::from([
        (
            "ARROW:extension:name".to_owned(),
            "arrow.fixed_shape_tensor".to_owned(),
        ),
        (
            "ARROW:extension:metadata".to_owned(),
            serde_json::json!({ "shape": shape }).to_string(),
        ),
    ])))
}

fn fixed_list(number: DataType, len: usize) -> std::result::Result<DataType, Problem> {
    let len = i32::try_from(len).map_err(|_| Problem::Shape {
        found: format!("{len} numbers a row"),
        expected: "fewer than 2^31".to_owned(),
    })?;
    Ok(DataType::FixedSizeList(Arc::new(item(number)), len))
}

fn item(of: DataType) -> Field {
    Field::new("item", of, true)
}

fn array(values: &Values, rows: Rows, floats: Floats) -> ArrayRef {
    match values {
        Values::F32 { shape, data } => {
            let data = rows.of(data, width(shape));
            match floats {
                Floats::F32 => shaped::<Float32Type>(shape, data),
                Floats::Bf16 => shaped::<Float32Type>(shape, &each(data, bf16)),
                Floats::F16 => shaped::<Float16Type>(shape, &each(data, f16::from_f32)),
            }
        }
        Values::I64 { shape, data } => shaped::<Int64Type>(shape, rows.of(data, width(shape))),
        Values::F64(values) => Arc::new(rows.of(values, 1).iter().collect::<Float64Array>()),
        Values::Cells(values) => Arc::new(rows.of(values, 1).iter().collect::<Int64Array>()),
        Values::Text(values) => Arc::new(rows.of(values, 1).iter().collect::<StringArray>()),
        Values::Ragged { width, rows: data } => {
            let data = rows.of(data, 1);
            match floats {
                Floats::F32 => ragged::<Float32Type>(*width, data, |row| row.to_vec()),
                Floats::Bf16 => ragged::<Float32Type>(*width, data, |row| each(row, bf16)),
                Floats::F16 => ragged::<Float16Type>(*width, data, |row| each(row, f16::from_f32)),
            }
        }
    }
}

/// The nearest number of 16 bits with the exponent of 32.
fn bf16(value: f32) -> f32 {
    half::bf16::from_f32(value).to_f32()
}

fn each<T>(values: &[f32], convert: fn(f32) -> T) -> Vec<T> {
    values.iter().copied().map(convert).collect()
}

fn shaped<T: ArrowPrimitiveType>(shape: &[usize], data: &[T::Native]) -> ArrayRef {
    if shape.is_empty() {
        return Arc::new(PrimitiveArray::<T>::from_iter_values(data.iter().copied()));
    }
    let width = width(shape);
    let numbers = PrimitiveBuilder::<T>::with_capacity(data.len());
    let mut list = FixedSizeListBuilder::new(numbers, width as i32).with_field(item(T::DATA_TYPE));
    list.values().append_slice(data);
    (0..data.len() / width).for_each(|_| list.append(true));
    Arc::new(list.finish())
}

fn ragged<T: ArrowPrimitiveType>(
    width: usize,
    rows: &[Vec<f32>],
    numbers: impl Fn(&[f32]) -> Vec<T::Native>,
) -> ArrayRef {
    let entries = FixedSizeListBuilder::new(PrimitiveBuilder::<T>::new(), width as i32);
    let mut list = ListBuilder::new(entries);
    for row in rows {
        list.values().values().append_slice(&numbers(row));
        (0..row.len() / width).for_each(|_| list.values().append(true));
        list.append(true);
    }
    Arc::new(list.finish())
}
