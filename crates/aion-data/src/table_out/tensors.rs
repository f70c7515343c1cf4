//! Tables in safetensors.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter;
use std::path::Path;

use super::{Column, Floats, Values};
use crate::error::Result;
use crate::tensor_files::identity::put_ids;
use crate::tensor_files::output::{Rows, RowsOf, TensorOut, write_tensors};

pub(super) fn write(
    path: &Path,
    ids: &[String],
    columns: &[Column],
    metadata: &BTreeMap<String, String>,
    floats: Floats,
) -> Result<()> {
    let mut metadata = metadata.clone();
    let mut tensors = Vec::new();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    put_ids(&ids, &mut tensors, &mut metadata);
    for column in columns {
        put(column, ids.len(), floats, &mut tensors, &mut metadata);
    }
    write_tensors(path, tensors, &metadata)
}

fn put<'a>(
    column: &'a Column,
    objects: usize,
    floats: Floats,
    tensors: &mut Vec<TensorOut<'a>>,
    metadata: &mut BTreeMap<String, String>,
) {
    let full = |shape: &[usize]| -> Vec<usize> {
        iter::once(objects).chain(shape.iter().copied()).collect()
    };
    let name = column.name.as_str();
    match &column.values {
        Values::F32 { shape, data } => {
            let rows = Box::new(iter::once(Cow::Borrowed(data.as_slice())));
            tensors.push(TensorOut::new(name, full(shape), float_rows(rows, floats)));
        }
        Values::I64 { shape, data } => {
            let rows = Rows::I64(Box::new(iter::once(Cow::Borrowed(data.as_slice()))));
            tensors.push(TensorOut::new(name, full(shape), rows));
        }
        Values::F64(values) => {
            let values = values.iter().map(|value| value.unwrap_or(f64::NAN));
            let rows = Rows::F64(Box::new(iter::once(values.collect())));
            tensors.push(TensorOut::new(name, full(&[]), rows));
        }
        Values::Cells(values) => {
            let values = values.iter().map(|value| value.unwrap_or(-1));
            let rows = Rows::I64(Box::new(iter::once(values.collect())));
            tensors.push(TensorOut::new(name, full(&[]), rows));
        }
        Values::Ragged { width, rows } => put_ragged(name, *width, rows, floats, tensors),
        Values::Text(values) => {
            metadata.insert(name.to_owned(), serde_json::json!(values).to_string());
        }
    }
}

/// Rows of single-precision numbers, as they are stored.
fn float_rows(rows: RowsOf<'_, f32>, floats: Floats) -> Rows<'_> {
    match floats {
        Floats::F32 => Rows::F32(rows),
        Floats::F16 => Rows::F16(rows),
        Floats::Bf16 => Rows::Bf16(rows),
    }
}

/// Rows filled with zeros to the longest, and a mask where any is shorter.
fn put_ragged<'a>(
    name: &str,
    width: usize,
    rows: &'a [Vec<f32>],
    floats: Floats,
    tensors: &mut Vec<TensorOut<'a>>,
) {
    let count = move |row: &Vec<f32>| row.len() / width;
    let longest = rows.iter().map(count).max().unwrap_or(0);
    if rows.iter().any(|row| count(row) < longest) {
        let mask = rows.iter().map(move |row| {
            let mut valid = vec![1; count(row)];
            valid.resize(longest, 0);
            Cow::Owned(valid)
        });
        let shape = vec![rows.len(), longest];
        let mask = Rows::U8(Box::new(mask));
        tensors.push(TensorOut::new(format!("{name}_mask"), shape, mask));
    }
    let filled = rows.iter().map(move |row| {
        if row.len() == longest * width {
            return Cow::Borrowed(row.as_slice());
        }
        let mut row = row.clone();
        row.resize(longest * width, 0.0);
        Cow::Owned(row)
    });
    let shape = vec![rows.len(), longest, width];
    let filled = float_rows(Box::new(filled), floats);
    tensors.push(TensorOut::new(name, shape, filled));
}
