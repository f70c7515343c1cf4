//! Results as tables: one row an object, columns of numbers, arrays or text, in safetensors, Parquet or
//! CSV or FITS by extension.
//!
//! | column | safetensors | Parquet | CSV |
//! |---|---|---|---|
//! | [`Values::F32`] | F32 tensor (B, shape) | numbers; fixed-size lists; fixed-shape tensors from two axes | where the shape is one number |
//! | [`Values::Ragged`] | (B, N, width) filled with 0, and `<name>_mask` (B, N), 1 = valid, where lengths differ | list of fixed-size lists | no |
//! | [`Values::F64`], [`Values::I64`], [`Values::Cells`] | tensor (B, shape), NaN where missing | numbers or fixed-size lists | where the shape is one number |
//! | [`Values::Text`] | metadata entry, a JSON list | text | yes |
//!
//! Identifiers are the column `object_id`; in safetensors they are written as
//! [`crate::tensor_files`] says. A CSV file has no place for metadata. FITS has binary tables called
//! `RESULTS`, with arrays as vectors, ragged ones filled with NaN to the longest, and metadata as history.

mod csv;
mod fits;
mod parquet;
mod tensors;

pub use parquet::{TableWriter, rank};

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{DataError, Place, Problem, Result};
use crate::output_format::OutputFormat;

/// Name of the column of identifiers.
const OBJECT_ID: &str = "object_id";
const RA: &str = "ra";
const DEC: &str = "dec";
/// Cell of the sky; the name that HATS catalogues use.
const HEALPIX: &str = "_healpix_29";
/// Before the name of a survey flag.
const FLAG: &str = "flag_";

/// How single-precision numbers of a table are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Floats {
    /// As they are.
    #[default]
    F32,
    /// Half precision: 11 bits, up to 65504.
    F16,
    /// The upper half of single precision: 8 bits, the whole range. Parquet has no such type: there
    /// the rounded numbers are stored in single precision, whose lower bytes then compress to nothing.
    Bf16,
}

/// A named column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, unlike every other column's.
    pub name: String,
    /// One entry an object.
    pub values: Values,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single-precision arrays of one shape: embeddings, logits, predicted values.
    F32 {
        /// Shape of one row; empty for one number.
        shape: Vec<usize>,
        /// Rows one after another.
        data: Vec<f32>,
    },
    /// Arrays (N, width) whose N differs from row to row: embeddings of objects with different
    /// modalities.
    Ragged {
        /// Numbers in each of the N entries of a row.
        width: usize,
        /// `N * width` numbers each.
        rows: Vec<Vec<f32>>,
    },
    /// Double-precision numbers: positions.
    F64(Vec<Option<f64>>),
    /// Whole numbers of one shape: predicted tokens, counts.
    I64 {
        /// Shape of one row; empty for one number.
        shape: Vec<usize>,
        /// Rows one after another.
        data: Vec<i64>,
    },
    /// Cells of the sky (Parquet), -1 where there is none (elsewhere).
    Cells(Vec<Option<i64>>),
    /// Text: flags, labels.
    Text(Vec<Option<String>>),
}

impl Column {
    /// A column of single-precision arrays, `shape` a row.
    pub fn f32(name: impl Into<String>, shape: Vec<usize>, data: Vec<f32>) -> Self {
        let values = Values::F32 { shape, data };
        Column::new(name, values)
    }

    /// A column of any values.
    pub fn new(name: impl Into<String>, values: Values) -> Self {
        Column {
            name: name.into(),
            values,
        }
    }
}

/// Writes a table of the objects called `ids` to `path`, in the format that its extension tells.
///
/// `metadata` becomes the file's metadata (safetensors, Parquet) or is left out (CSV); `floats` is how
/// single-precision numbers are stored (CSV has them in full).
///
/// # Errors
/// Names file and column: [`Problem::Empty`] without objects; [`Problem::Mismatch`] for columns of
/// another number of rows or with the same name; [`Problem::Shape`] for ragged rows that are no
/// multiple of the width; [`Problem::Unrecognised`] for another extension, or for arrays in a CSV
/// file; [`Problem::Io`]. Nothing is written then.
pub fn write_columns(
    path: &Path,
    ids: &[String],
    columns: &[Column],
    metadata: &BTreeMap<String, String>,
    floats: Floats,
) -> Result<()> {
    check_columns(path, ids, columns)?;
    match OutputFormat::of(path)? {
        OutputFormat::Safetensors => tensors::write(path, ids, columns, metadata, floats),
        OutputFormat::Parquet => parquet::write(path, ids, columns, metadata, floats),
        OutputFormat::Csv => csv::write(path, ids, columns),
        OutputFormat::Fits => fits::write(path, ids, columns, metadata, floats),
    }
}

fn check_columns(path: &Path, ids: &[String], columns: &[Column]) -> Result<()> {
    if ids.is_empty() {
        return Err(DataError::new(Place::file(path), Problem::Empty));
    }
    let mut names = BTreeSet::from([OBJECT_ID]);
    for column in columns {
        let place = || Place::file(path).with_field(&column.name);
        if !names.insert(&column.name) {
            let problem = Problem::Mismatch("two columns have this name".to_owned());
            return Err(DataError::new(place(), problem));
        }
        check(&column.values, ids.len()).map_err(|problem| DataError::new(place(), problem))?;
    }
    Ok(())
}

/// Fails unless the values make `rows` rows.
fn check(values: &Values, rows: usize) -> std::result::Result<(), Problem> {
    let (found, unit) = match values {
        Values::F32 { shape, data } => (data.len(), width(shape)),
        Values::I64 { shape, data } => (data.len(), width(shape)),
        Values::F64(values) => (values.len(), 1),
        Values::Cells(values) => (values.len(), 1),
        Values::Text(values) => (values.len(), 1),
        Values::Ragged { width, rows } => {
            let whole = |row: &Vec<f32>| *width > 0 && row.len().is_multiple_of(*width);
            if let Some(row) = rows.iter().find(|row| !whole(row)) {
                return Err(Problem::Shape {
                    found: format!("{} numbers", row.len()),
                    expected: format!("a multiple of {width}"),
                });
            }
            (rows.len(), 1)
        }
    };
    if unit > 0 && found == rows * unit {
        return Ok(());
    }
    let problem = format!("{found} numbers for {rows} objects of {unit}");
    Err(Problem::Mismatch(problem))
}

/// Numbers in a row of this shape.
fn width(shape: &[usize]) -> usize {
    shape.iter().product()
}
