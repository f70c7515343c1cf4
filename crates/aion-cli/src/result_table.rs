//! Results of one object, and tables of them: embeddings, predictions.

use std::collections::BTreeMap;
use std::path::Path;

use aion_data::output_format::OutputFormat;
use aion_data::table_out::{Column, Values, write_columns};
use aion_data::{DataError, Place, Problem, Result, TokenRow};
use aion_kernel::WeightsError;
use aion_kernel::tensor_file::{StoredTensor, save};

use crate::output::{Format, Metadata};

/// What was computed of one object.
#[derive(Debug, Clone)]
pub struct ResultRow {
    /// Identifier, position and flags; its tokens are not written.
    pub identity: TokenRow,
    /// Cells by column.
    pub cells: BTreeMap<String, Cell>,
}

/// One cell.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Numbers of one shape in all rows; NaN in rows that lack the column.
    Numbers {
        /// The shape.
        shape: Vec<usize>,
        /// The numbers, row-major.
        data: Vec<f32>,
    },
    /// Any number of entries of one width.
    Entries {
        /// Numbers an entry.
        width: usize,
        /// The entries, one after the other.
        data: Vec<f32>,
    },
    /// Whole numbers of one shape in all rows; -1 in rows that lack the column.
    Whole {
        /// The shape.
        shape: Vec<usize>,
        /// The numbers, row-major.
        data: Vec<i64>,
    },
}

impl Cell {
    /// One number.
    pub fn number(value: f64) -> Self {
        let data = vec![value as f32];
        Cell::Numbers {
            shape: Vec::new(),
            data,
        }
    }

    /// A list of numbers.
    pub fn list(data: Vec<f32>) -> Self {
        let shape = vec![data.len()];
        Cell::Numbers { shape, data }
    }

    fn bytes(&self) -> usize {
        match self {
            Cell::Numbers { data, .. } | Cell::Entries { data, .. } => 4 * data.len(),
            Cell::Whole { data, .. } => 8 * data.len(),
        }
    }
}

/// Tables with identifiers, positions and flags beside the results.
pub static RESULTS: Format<ResultRow> = Format {
    allowed: &[
        OutputFormat::Safetensors,
        OutputFormat::Parquet,
        OutputFormat::Csv,
    ],
    shard: "parquet",
    bytes,
    write: write_results,
};

/// Tensors of results and nothing else; identifiers are in the metadata.
pub static TENSORS: Format<ResultRow> = Format {
    allowed: &[OutputFormat::Safetensors, OutputFormat::Parquet],
    shard: "parquet",
    bytes,
    write: write_tensors,
};

fn bytes(row: &ResultRow) -> usize {
    row.cells.values().map(Cell::bytes).sum()
}

fn write_results(path: &Path, rows: &[ResultRow], metadata: &Metadata) -> Result<()> {
    let mut columns = identity_columns(rows);
    columns.extend(result_columns(path, rows)?);
    if OutputFormat::of(path)? == OutputFormat::Csv {
        // A cell of a CSV file is one number; what has more is for the other formats.
        columns.retain(is_single);
    }
    let ids: Vec<String> = rows.iter().map(|row| row.identity.id.clone()).collect();
    write_columns(path, &ids, &columns, metadata)
}

fn is_single(column: &Column) -> bool {
    match &column.values {
        Values::F32 { shape, .. } | Values::I64 { shape, .. } => shape.iter().all(|n| *n == 1),
        Values::F64(_) | Values::Text(_) => true,
        Values::Ragged { .. } => false,
    }
}

fn write_tensors(path: &Path, rows: &[ResultRow], metadata: &Metadata) -> Result<()> {
    if OutputFormat::of(path)? != OutputFormat::Safetensors {
        return write_results(path, rows, metadata);
    }
    let ids: Vec<&str> = rows.iter().map(|row| row.identity.id.as_str()).collect();
    let mut metadata = metadata.clone();
    metadata.insert("object_id".to_owned(), serde_json::json!(ids).to_string());
    let mut tensors = BTreeMap::new();
    for column in result_columns(path, rows)? {
        if let Values::F32 { shape, data } = &column.values {
            let shape: Vec<usize> = [rows.len()].iter().chain(shape).copied().collect();
            tensors.insert(column.name, StoredTensor::float(&shape, data, false));
        }
    }
    save(path, &tensors, metadata.into_iter().collect()).map_err(|error| match error {
        WeightsError::Io { source, .. } => DataError::new(Place::file(path), source.into()),
        other => DataError::new(Place::file(path), Problem::Values(other.to_string())),
    })
}

/// Positions and flags, where any row has them.
fn identity_columns(rows: &[ResultRow]) -> Vec<Column> {
    let mut columns = Vec::new();
    type Angle = fn(&TokenRow) -> Option<f64>;
    let angles: [(&str, Angle); 2] = [("ra", |row| row.ra), ("dec", |row| row.dec)];
    for (name, angle) in angles {
        let values: Vec<Option<f64>> = rows.iter().map(|row| angle(&row.identity)).collect();
        if values.iter().any(Option::is_some) {
            columns.push(Column::new(name, Values::F64(values)));
        }
    }
    let flags = rows.iter().flat_map(|row| row.identity.flags.keys());
    let names: std::collections::BTreeSet<&String> = flags.collect();
    for name in names {
        let values = rows.iter().map(|row| row.identity.flags.get(name).cloned());
        let values = Values::Text(values.collect());
        columns.push(Column::new(format!("flag_{name}"), values));
    }
    columns
}

/// The cells of all rows as columns, each shaped as its first cell is.
fn result_columns(path: &Path, rows: &[ResultRow]) -> Result<Vec<Column>> {
    let mut first: BTreeMap<&str, &Cell> = BTreeMap::new();
    for (name, cell) in rows.iter().flat_map(|row| &row.cells) {
        first.entry(name).or_insert(cell);
    }
    first
        .into_iter()
        .map(|(name, model)| {
            let cells = rows.iter().map(|row| (row, row.cells.get(name)));
            let values = match model {
                Cell::Numbers { shape, .. } => gather(path, name, shape, f32::NAN, cells)
                    .map(|data| (shape.clone(), data))
                    .map(|(shape, data)| Values::F32 { shape, data }),
                Cell::Whole { shape, .. } => gather(path, name, shape, -1, cells)
                    .map(|data| (shape.clone(), data))
                    .map(|(shape, data)| Values::I64 { shape, data }),
                Cell::Entries { width, .. } => Ok(Values::Ragged {
                    width: *width,
                    rows: cells.map(|(_, cell)| entries(cell)).collect(),
                }),
            };
            values.map(|values| Column::new(name, values))
        })
        .collect()
}

fn entries(cell: Option<&Cell>) -> Vec<f32> {
    match cell {
        Some(Cell::Entries { data, .. }) => data.clone(),
        _ => Vec::new(),
    }
}

/// A number type of cells.
trait Number: Copy {
    /// Shape and numbers, where the cell is of this type.
    fn of(cell: &Cell) -> Option<(&[usize], &[Self])>;
}

impl Number for f32 {
    fn of(cell: &Cell) -> Option<(&[usize], &[f32])> {
        match cell {
            Cell::Numbers { shape, data } => Some((shape, data)),
            _ => None,
        }
    }
}

impl Number for i64 {
    fn of(cell: &Cell) -> Option<(&[usize], &[i64])> {
        match cell {
            Cell::Whole { shape, data } => Some((shape, data)),
            _ => None,
        }
    }
}

/// The numbers of a column, one row after the other.
fn gather<'a, T: Number + 'a>(
    path: &Path,
    name: &str,
    shape: &[usize],
    filler: T,
    cells: impl Iterator<Item = (&'a ResultRow, Option<&'a Cell>)>,
) -> Result<Vec<T>> {
    let width: usize = shape.iter().product();
    let mut data = Vec::new();
    for (row, cell) in cells {
        match cell.map(T::of) {
            None => data.extend(std::iter::repeat_n(filler, width)),
            Some(Some((found, numbers))) if found == shape => data.extend_from_slice(numbers),
            Some(found) => {
                let problem = Problem::Shape {
                    found: format!("{:?}", found.map(|(shape, _)| shape).unwrap_or_default()),
                    expected: format!("{shape:?} as the first object has"),
                };
                let place = Place::file(path).with_object(&row.identity.id);
                return Err(DataError::new(place.with_field(name), problem));
            }
        }
    }
    Ok(data)
}
