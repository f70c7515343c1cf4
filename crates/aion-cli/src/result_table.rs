//! Results of one object, and tables of them: embeddings, predictions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_data::output_format::OutputFormat;
use aion_data::sky::healpix29;
use aion_data::table_out::{self, Column, Floats, TableWriter, Values, write_columns};
use aion_data::{DataError, Place, Problem, Result, TokenRow};
use aion_kernel::WeightsError;
use aion_kernel::tensor_file::{StoredTensor, save};

use crate::output::{Format, Metadata, RowWriter, Whole};

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
        OutputFormat::Fits,
    ],
    shard: "parquet",
    rank: Some(table_out::rank),
    create: |path, floats| match OutputFormat::of(path)? {
        OutputFormat::Parquet => ResultWriter::create(path, floats),
        _ => Ok(Whole::create(path, floats, write_results)),
    },
};

/// Tensors of results and nothing else; identifiers are in the metadata.
pub static TENSORS: Format<ResultRow> = Format {
    allowed: &[OutputFormat::Safetensors, OutputFormat::Parquet],
    shard: "parquet",
    rank: Some(table_out::rank),
    create: |path, floats| match OutputFormat::of(path)? {
        OutputFormat::Parquet => ResultWriter::create(path, floats),
        _ => Ok(Whole::create(path, floats, write_tensors)),
    },
};

/// Numbers gathered before they are encoded, in bytes.
const BYTES_AT_ONCE: usize = 16 << 20;
/// Rows gathered before they are encoded.
const ROWS_AT_ONCE: usize = 4096;

/// A Parquet file of results, written as they come.
struct ResultWriter {
    path: PathBuf,
    table: TableWriter,
    rows: Vec<ResultRow>,
    bytes: usize,
}

impl ResultWriter {
    fn create(path: &Path, floats: Floats) -> Result<Box<dyn RowWriter<ResultRow>>> {
        Ok(Box::new(ResultWriter {
            path: path.to_owned(),
            table: TableWriter::create(path, floats)?,
            rows: Vec::new(),
            bytes: 0,
        }))
    }

    fn write(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let (ids, columns) = table(&self.path, &rows)?;
        self.table.push(&ids, &columns)
    }
}

impl RowWriter<ResultRow> for ResultWriter {
    fn push(&mut self, rows: Vec<ResultRow>) -> Result<()> {
        let cells = rows.iter().flat_map(|row| row.cells.values());
        self.bytes += cells.map(Cell::bytes).sum::<usize>();
        self.rows.extend(rows);
        match self.bytes >= BYTES_AT_ONCE || self.rows.len() >= ROWS_AT_ONCE {
            true => self.write(),
            false => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, metadata: &Metadata) -> Result<()> {
        if !self.rows.is_empty() {
            self.write()?;
        }
        self.table.finish(metadata)
    }
}

/// Identifiers and columns of rows.
fn table(path: &Path, rows: &[ResultRow]) -> Result<(Vec<String>, Vec<Column>)> {
    let mut columns = identity_columns(rows);
    columns.extend(result_columns(path, rows)?);
    let ids = rows.iter().map(|row| row.identity.id.clone());
    Ok((ids.collect(), columns))
}

fn write_results(
    path: &Path,
    rows: &[ResultRow],
    metadata: &Metadata,
    floats: Floats,
) -> Result<()> {
    let (ids, mut columns) = table(path, rows)?;
    // Cells of the sky are for tables that are searched by them.
    columns.retain(|column| !matches!(column.values, Values::Cells(_)));
    if OutputFormat::of(path)? == OutputFormat::Csv {
        // A cell of a CSV file is one number; what has more is for the other formats.
        columns.retain(is_single);
    }
    write_columns(path, &ids, &columns, metadata, floats)
}

fn is_single(column: &Column) -> bool {
    match &column.values {
        Values::F32 { shape, .. } | Values::I64 { shape, .. } => shape.iter().all(|n| *n == 1),
        Values::F64(_) | Values::Cells(_) | Values::Text(_) => true,
        Values::Ragged { .. } => false,
    }
}

fn write_tensors(path: &Path, rows: &[ResultRow], metadata: &Metadata, _: Floats) -> Result<()> {
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

/// The order-29 cell of a row that has a position.
fn cell(identity: &TokenRow) -> Option<i64> {
    healpix29(identity.ra?, identity.dec?)
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
    let cells: Vec<Option<i64>> = rows.iter().map(|row| cell(&row.identity)).collect();
    if cells.iter().any(Option::is_some) {
        columns.push(Column::new("_healpix_29", Values::Cells(cells)));
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
