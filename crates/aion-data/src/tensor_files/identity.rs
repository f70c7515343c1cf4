//! What travels with a row of any safetensors file: identifier, position and survey flags, laid out as
//! [`crate::tensor_files`] says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use serde_json::Value;

use super::container::{Tensor, TensorFile};
use super::output::{Rows, TensorOut};
use crate::error::{DataError, Place, Problem, Result};
use crate::observation::Object;
use crate::tokens::TokenRow;

pub(crate) const OBJECT_ID: &str = "object_id";
const RA: &str = "ra";
const DEC: &str = "dec";
const FLAGS: &str = "flags";

/// Tensors that describe rows rather than measure anything.
pub(crate) const ROW_TENSORS: [&str; 3] = [OBJECT_ID, RA, DEC];

/// Flags of one row.
type Flags = BTreeMap<String, String>;

/// Identity of a row that is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub id: &'a str,
    pub ra: Option<f64>,
    pub dec: Option<f64>,
    pub flags: &'a Flags,
}

impl<'a> From<&'a Object> for Identity<'a> {
    fn from(object: &'a Object) -> Self {
        Identity {
            id: &object.id,
            ra: object.ra,
            dec: object.dec,
            flags: &object.flags,
        }
    }
}

impl<'a> From<&'a TokenRow> for Identity<'a> {
    fn from(row: &'a TokenRow) -> Self {
        Identity {
            id: &row.id,
            ra: row.ra,
            dec: row.dec,
            flags: &row.flags,
        }
    }
}

/// Adds the identities of all rows to the tensors and metadata of a file.
pub(crate) fn put_identities<'a>(
    rows: &[Identity<'a>],
    tensors: &mut Vec<TensorOut<'a>>,
    metadata: &mut BTreeMap<String, String>,
) {
    let ids: Vec<&str> = rows.iter().map(|row| row.id).collect();
    put_ids(&ids, tensors, metadata);
    put_degrees(RA, rows.iter().map(|row| row.ra), tensors);
    put_degrees(DEC, rows.iter().map(|row| row.dec), tensors);
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.flags.keys()).collect();
    if !names.is_empty() {
        let column = |name: &String| -> Vec<Option<&String>> {
            rows.iter().map(|row| row.flags.get(name)).collect()
        };
        let flags: BTreeMap<_, _> = names.into_iter().map(|name| (name, column(name))).collect();
        metadata.insert(FLAGS.to_owned(), serde_json::json!(flags).to_string());
    }
}

/// Adds identifiers to the tensors and metadata of a file.
pub(crate) fn put_ids(
    ids: &[&str],
    tensors: &mut Vec<TensorOut<'_>>,
    metadata: &mut BTreeMap<String, String>,
) {
    metadata.insert(OBJECT_ID.to_owned(), serde_json::json!(ids).to_string());
    let numbers: Option<Vec<i64>> = ids.iter().map(|id| whole_number(id)).collect();
    if let Some(numbers) = numbers {
        let rows = Rows::I64(Box::new(iter::once(Cow::Owned(numbers))));
        tensors.push(TensorOut::new(OBJECT_ID, vec![ids.len()], rows));
    }
}

/// The number that `id` spells, provided that the number spells `id`.
fn whole_number(id: &str) -> Option<i64> {
    id.parse()
        .ok()
        .filter(|number: &i64| number.to_string() == id)
}

fn put_degrees(
    name: &str,
    degrees: impl Iterator<Item = Option<f64>>,
    tensors: &mut Vec<TensorOut<'_>>,
) {
    let degrees: Vec<Option<f64>> = degrees.collect();
    if degrees.iter().any(Option::is_some) {
        let values: Vec<f64> = degrees.iter().map(|v| v.unwrap_or(f64::NAN)).collect();
        let shape = vec![values.len()];
        let rows = Rows::F64(Box::new(iter::once(Cow::Owned(values))));
        tensors.push(TensorOut::new(name, shape, rows));
    }
}

/// Identities of all rows of a file.
#[derive(Debug)]
pub(crate) struct Identities {
    ids: Vec<String>,
    ra: Vec<Option<f64>>,
    dec: Vec<Option<f64>>,
    flags: BTreeMap<String, Vec<Option<String>>>,
}

impl Identities {
    /// Identities of the `rows` rows of `file`; row numbers where it has no identifiers.
    pub fn read(file: &TensorFile, rows: usize) -> Result<Self> {
        Ok(Identities {
            ids: read_ids(file, rows)?,
            ra: read_degrees(file, RA, rows)?,
            dec: read_degrees(file, DEC, rows)?,
            flags: read_flags(file, rows)?,
        })
    }

    /// Identifier of a row.
    pub fn id(&self, row: usize) -> String {
        self.ids
            .get(row)
            .cloned()
            .unwrap_or_else(|| row.to_string())
    }

    /// Right ascension of a row, degrees.
    pub fn ra(&self, row: usize) -> Option<f64> {
        self.ra.get(row).copied().flatten()
    }

    /// Declination of a row, degrees.
    pub fn dec(&self, row: usize) -> Option<f64> {
        self.dec.get(row).copied().flatten()
    }

    /// Flags of a row.
    pub fn flags(&self, row: usize) -> Flags {
        let of_row = |(name, column): (&String, &Vec<Option<String>>)| {
            let value = column.get(row)?.clone()?;
            Some((name.clone(), value))
        };
        self.flags.iter().filter_map(of_row).collect()
    }
}

fn read_ids(file: &TensorFile, rows: usize) -> Result<Vec<String>> {
    let place = || Place::file(file.path()).with_field(OBJECT_ID);
    let ids = match (file.metadata().get(OBJECT_ID), file.get(OBJECT_ID)) {
        (Some(list), _) => {
            parse_ids(list).ok_or_else(|| unreadable(place(), "a list of identifiers"))?
        }
        (None, Some(tensor)) => decimal(&tensor)?,
        (None, None) => return Ok(Vec::new()),
    };
    require_rows(place(), ids.len(), rows)?;
    Ok(ids)
}

fn parse_ids(list: &str) -> Option<Vec<String>> {
    if !list.trim_start().starts_with('[') {
        return Some(list.split(',').map(|id| id.trim().to_owned()).collect());
    }
    let values: Vec<Value> = serde_json::from_str(list).ok()?;
    values
        .into_iter()
        .map(|value| match value {
            Value::String(id) => Some(id),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        })
        .collect()
}

/// A tensor (B,) or (B, 1) of whole numbers as text.
fn decimal(tensor: &Tensor<'_>) -> Result<Vec<String>> {
    require_column(tensor)?;
    let mut ids = Vec::with_capacity(tensor.rows());
    for row in 0..tensor.rows() {
        ids.extend(tensor.integer_row(row)?.iter().map(i128::to_string));
    }
    Ok(ids)
}

fn read_degrees(file: &TensorFile, name: &str, rows: usize) -> Result<Vec<Option<f64>>> {
    let Some(tensor) = file.get(name) else {
        return Ok(Vec::new());
    };
    require_column(&tensor)?;
    require_rows(tensor.place(), tensor.rows(), rows)?;
    let mut degrees = Vec::with_capacity(rows);
    for row in 0..rows {
        let value = tensor.f64_row(row)?.first().copied();
        degrees.push(value.filter(|value| !value.is_nan()));
    }
    Ok(degrees)
}

fn read_flags(file: &TensorFile, rows: usize) -> Result<BTreeMap<String, Vec<Option<String>>>> {
    let Some(text) = file.metadata().get(FLAGS) else {
        return Ok(BTreeMap::new());
    };
    let place = || Place::file(file.path()).with_field(FLAGS);
    let flags: BTreeMap<String, Vec<Option<String>>> = serde_json::from_str(text)
        .map_err(|_| unreadable(place(), "a JSON object of lists of strings"))?;
    for column in flags.values() {
        require_rows(place(), column.len(), rows)?;
    }
    Ok(flags)
}

fn require_column(tensor: &Tensor<'_>) -> Result<()> {
    if !tensor.shape().is_empty() && tensor.row_len() == 1 {
        return Ok(());
    }
    let problem = Problem::Shape {
        found: format!("{:?}", tensor.shape()),
        expected: "(objects,)".to_owned(),
    };
    Err(DataError::new(tensor.place(), problem))
}

/// Fails unless there is one entry a row.
pub(crate) fn require_rows(place: Place, found: usize, rows: usize) -> Result<()> {
    if found == rows {
        return Ok(());
    }
    let problem = format!("{found} rows, but other fields of the file have {rows}");
    Err(DataError::new(place, Problem::Mismatch(problem)))
}

fn unreadable(place: Place, expected: &str) -> DataError {
    let problem = format!("metadata entry is not {expected}");
    DataError::new(place, Problem::Values(problem))
}
