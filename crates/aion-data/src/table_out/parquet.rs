//! Tables in Parquet.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, ListBuilder, PrimitiveBuilder};
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};

use super::{Column, OBJECT_ID, Values, width};
use crate::error::{DataError, Place, Problem, Result};
use crate::parquet_file::{damaged, write_parquet};

/// Numbers encoded at a time, unless one row has more.
const NUMBERS_A_BATCH: usize = 1 << 22;

pub(super) fn write(
    path: &Path,
    ids: &[String],
    columns: &[Column],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut fields = vec![Field::new(OBJECT_ID, DataType::Utf8, false)];
    for column in columns {
        fields.push(field(column).map_err(|problem| {
            DataError::new(Place::file(path).with_field(&column.name), problem)
        })?);
    }
    let schema = Arc::new(Schema::new(fields));
    let step = rows_a_batch(columns);
    let batches = (0..ids.len()).step_by(step).map(|start| {
        let rows = Rows {
            start,
            end: ids.len().min(start + step),
        };
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(
            rows.of(ids, 1).iter().map(Some).collect::<StringArray>(),
        )];
        arrays.extend(columns.iter().map(|column| array(&column.values, rows)));
        RecordBatch::try_new(schema.clone(), arrays)
            .map_err(|error| DataError::new(Place::file(path), damaged(error.to_string())))
    });
    write_parquet(path, schema.clone(), metadata, batches)
}

fn rows_a_batch(columns: &[Column]) -> usize {
    let longest = columns.iter().map(|column| match &column.values {
        Values::F32 { shape, .. } | Values::I64 { shape, .. } => width(shape),
        Values::Ragged { rows, .. } => rows.iter().map(Vec::len).max().unwrap_or(1),
        Values::F64(_) | Values::Text(_) => 1,
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

fn field(column: &Column) -> std::result::Result<Field, Problem> {
    let name = column.name.as_str();
    match &column.values {
        Values::F32 { shape, .. } => shaped_field(name, DataType::Float32, shape),
        Values::I64 { shape, .. } => shaped_field(name, DataType::Int64, shape),
        Values::F64(_) => Ok(Field::new(name, DataType::Float64, true)),
        Values::Text(_) => Ok(Field::new(name, DataType::Utf8, true)),
        Values::Ragged { width, .. } => {
            let entry = fixed_list(DataType::Float32, *width)?;
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

fn array(values: &Values, rows: Rows) -> ArrayRef {
    match values {
        Values::F32 { shape, data } => shaped::<Float32Type>(shape, rows.of(data, width(shape))),
        Values::I64 { shape, data } => shaped::<Int64Type>(shape, rows.of(data, width(shape))),
        Values::F64(values) => Arc::new(rows.of(values, 1).iter().collect::<Float64Array>()),
        Values::Text(values) => Arc::new(rows.of(values, 1).iter().collect::<StringArray>()),
        Values::Ragged { width, rows: data } => ragged(*width, rows.of(data, 1)),
    }
}

fn shaped<T: ArrowPrimitiveType>(shape: &[usize], data: &[T::Native]) -> ArrayRef {
    if shape.is_empty() {
        return Arc::new(PrimitiveArray::<T>::from_iter_values(data.iter().copied()));
    }
    let width = width(shape);
    let numbers = PrimitiveBuilder::<T>::with_capacity(data.len());
    let mut list = FixedSizeListBuilder::new(numbers, width as i32).with_field(item(T::DATA_TYPE));
    for row in data.chunks_exact(width) {
        list.values().append_slice(row);
        list.append(true);
    }
    Arc::new(list.finish())
}

fn ragged(width: usize, rows: &[Vec<f32>]) -> ArrayRef {
    let entries = FixedSizeListBuilder::new(Float32Builder::new(), width as i32);
    let mut list = ListBuilder::new(entries);
    for row in rows {
        for entry in row.chunks_exact(width) {
            list.values().values().append_slice(entry);
            list.values().append(true);
        }
        list.append(true);
    }
    Arc::new(list.finish())
}
