//! HDF5 files as tables: every array at the root whose first axis is the rows is a column. Rows
//! are read in windows, of the columns wanted alone, so that memory does not grow with the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use hdf5_reader::error::{Error, Result as Hdf5Result};
use hdf5_reader::{
    Dataset, Datatype, FilterRegistry, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem,
    StringSize, VarLenKind, dtype_element_size,
};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::lzf;
use crate::format::table::{Cell, Column, Row, Rows, Table, array_cell};

/// The first bytes of a file.
pub const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// Bytes of rows held at a time, and what they may grow to where whole chunks need it.
const WINDOW_BYTES: usize = 8 << 20;
const CHUNKS_BYTES: usize = 256 << 20;
/// Rows held at a time.
const WINDOW_ROWS: usize = 16_384;
/// The longest row, and the largest chunk and read that the library may attempt.
const MOST_BYTES: usize = 256 << 20;
/// Chunks kept, and their bytes; compressed images are cut into many.
const CHUNK_SLOTS: usize = 4096;
const CHUNK_BYTES: usize = 32 << 20;
/// Filter number of h5py's LZF, and the place of the chunk's length among its parameters.
const LZF: u16 = 32_000;
const LZF_CHUNK_LENGTH: usize = 2;

/// An open file with its arrays.
pub struct Hdf5Table {
    path: PathBuf,
    columns: Vec<Column>,
    datasets: Vec<Dataset>,
    row_count: u64,
}

impl Hdf5Table {
    /// Opens the file and lists the arrays at its root; the length that most of them share is the
    /// number of rows.
    ///
    /// Errors: not HDF5, truncated, damaged, no array at the root.
    pub fn open(path: &Path) -> Result<Self> {
        let damaged = |error: Error| container(path, error.to_string());
        let options = OpenOptions::default()
            .with_filter_registry(filters())
            .with_max_read_bytes(MOST_BYTES)
            .with_max_chunk_bytes(MOST_BYTES)
            .with_chunk_cache_slots(CHUNK_SLOTS)
            .with_chunk_cache_bytes(CHUNK_BYTES);
        let file = Hdf5File::open_with_options(path, options).map_err(damaged)?;
        check_end(path, &file)?;
        let mut datasets = file
            .root_group()
            .and_then(|root| root.datasets())
            .map_err(damaged)?;
        datasets.retain(|dataset| dataset.ndim() > 0);
        let mut lengths = BTreeMap::new();
        for length in datasets
            .iter()
            .filter_map(|dataset| dataset.shape().first())
        {
            *lengths.entry(*length).or_insert(0usize) += 1;
        }
        let common = lengths.into_iter().max_by_key(|(_, arrays)| *arrays);
        let Some((row_count, _)) = common else {
            let what = "HDF5 without arrays at its root; expected one array a column, with the \
                        objects along the first axis, as the Multimodal Universe has them";
            let problem = Problem::Unrecognised(what.into());
            return Err(DataError::new(Place::file(path), problem));
        };
        let columns = datasets.iter().map(|dataset| Column {
            name: dataset.name().trim_start_matches('/').to_owned(),
            unit: unit(dataset),
        });
        Ok(Hdf5Table {
            path: path.to_owned(),
            columns: columns.collect(),
            datasets,
            row_count,
        })
    }

    fn reader(&self, index: usize) -> Result<Option<ColumnReader>> {
        let Some((dataset, column)) = self.datasets.get(index).zip(self.columns.get(index)) else {
            return Ok(None);
        };
        let refuse = |problem: Problem| {
            let place = Place::file(&self.path).with_field(&column.name);
            Err(DataError::new(place, problem))
        };
        let (Some(&rows), Some(axes)) = (dataset.shape().first(), dataset.shape().get(1..)) else {
            return Ok(None);
        };
        if rows != self.row_count {
            let what = format!("{rows} rows, expected {} as in the others", self.row_count);
            return refuse(Problem::Mismatch(what));
        }
        let axis = |&axis: &u64| usize::try_from(axis).unwrap_or(usize::MAX);
        let shape: Vec<usize> = axes.iter().map(axis).collect();
        let values = shape
            .iter()
            .try_fold(1, |n: usize, &axis| n.checked_mul(axis));
        let stored = dtype_element_size(dataset.dtype()).unwrap_or(usize::MAX);
        let held = element_of(dataset.dtype()).map_or(stored, |element| element.held(stored));
        let bytes = values.and_then(|values| values.checked_mul(held));
        let (Some(values), Some(bytes)) = (values, bytes.filter(|&bytes| bytes <= MOST_BYTES))
        else {
            return refuse(Problem::Shape {
                found: format!("{shape:?} a row"),
                expected: "an object's measurement".into(),
            });
        };
        match element_of(dataset.dtype()) {
            Some(element) => Ok(Some(ColumnReader {
                name: column.name.clone(),
                dataset: dataset.clone(),
                element,
                shape,
                values,
                bytes,
            })),
            None => {
                let of = format!("{:?}", dataset.dtype());
                let of = of
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_lowercase();
                let what = format!("arrays of {of} type are not read");
                refuse(Problem::Values(what))
            }
        }
    }
}

/// The unit that an attribute states.
fn unit(dataset: &Dataset) -> Option<String> {
    let text = |name| dataset.attribute(name).ok()?.read_string().ok();
    let unit = ["unit", "units"].into_iter().find_map(text)?;
    Some(unit.trim_matches(padding).to_owned()).filter(|unit| !unit.is_empty())
}

/// What fixed-length text is filled up with, on either side.
fn padding(letter: char) -> bool {
    letter == '\0' || letter.is_whitespace()
}

fn container(path: &Path, reason: String) -> DataError {
    let format = "HDF5";
    DataError::new(Place::file(path), Problem::Container { format, reason })
}

fn filters() -> FilterRegistry {
    let mut filters = FilterRegistry::new();
    let lzf = Box::new(
        |filter: &hdf5_reader::messages::filter_pipeline::FilterDescription, data: &[u8], _| {
            let stated = filter.client_data.get(LZF_CHUNK_LENGTH).copied();
            let longest = stated
                .filter(|&length| length > 0)
                .map_or(MOST_BYTES, |n| n as usize);
            lzf::decompress(data, longest.min(MOST_BYTES))
                .ok_or_else(|| Error::InvalidData("a damaged LZF chunk".into()))
        },
    );
    filters.register(LZF, lzf);
    filters
}

/// The library notices a cut file only when it reads what is missing.
fn check_end(path: &Path, file: &Hdf5File) -> Result<()> {
    let io = |error: std::io::Error| DataError::new(Place::file(path), error.into());
    let length = File::open(path)
        .and_then(|file| file.metadata())
        .map_err(io)?
        .len();
    let expected = file.superblock().eof_address;
    if length < expected {
        let reason = format!("truncated: {length} bytes, expected {expected}");
        return Err(container(path, reason));
    }
    Ok(())
}

impl Table for Hdf5Table {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn row_count(&self) -> Option<u64> {
        Some(self.row_count)
    }

    fn rows(self: Box<Self>, wanted: &[usize], range: Range<u64>) -> Result<Rows> {
        let mut columns = Vec::new();
        for &index in wanted {
            columns.extend(self.reader(index)?);
        }
        let window = window_rows(&columns);
        let mut next = range.start;
        let end = range.end.min(self.row_count);
        let path = self.path;
        let windows = std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            // Windows begin where chunks do, so that each is decompressed once.
            let stop = ((next / window + 1) * window).min(end);
            let range = std::mem::replace(&mut next, stop)..stop;
            let read = Window::read(&path, &columns, range);
            if read.is_err() {
                next = end;
            }
            Some(read)
        });
        Ok(Box::new(windows.flat_map(Window::into_rows)))
    }
}

/// Rows of a window: as many as fit, in whole chunks of the widest column. Chunks of many rows are
/// read as a whole up to a bound, since each window decompresses all that it touches.
fn window_rows(columns: &[ColumnReader]) -> u64 {
    let row_bytes = columns.iter().map(|column| column.bytes).sum::<usize>();
    let row_bytes = row_bytes.max(1);
    let affordable = (WINDOW_BYTES / row_bytes).clamp(1, WINDOW_ROWS);
    let widest = columns.iter().max_by_key(|column| column.bytes);
    let chunk = widest
        .and_then(|column| column.dataset.chunks()?.first().copied())
        .map_or(1, |rows| (rows as usize).max(1));
    let rows = match chunk <= affordable {
        true => affordable / chunk * chunk,
        false => chunk.min((CHUNKS_BYTES / row_bytes).max(1)),
    };
    rows as u64
}

/// What an array is made of.
#[derive(Clone, Copy)]
enum Element {
    F16,
    F32,
    F64,
    Integer { size: u8, signed: bool },
    Flag,
    Text,
    TextElsewhere,
}

impl Element {
    /// Bytes that a value takes in memory while it is read, of which `stored` are on disk: a damaged
    /// file may claim any number of short values.
    fn held(self, stored: usize) -> usize {
        let held = match self {
            Element::F16 | Element::F32 => size_of::<f32>(),
            Element::F64 | Element::Integer { .. } => size_of::<f64>(),
            Element::Flag => size_of::<bool>(),
            Element::Text | Element::TextElsewhere => size_of::<Bytes>() + size_of::<String>(),
        };
        held.saturating_add(stored)
    }
}

fn element_of(of: &Datatype) -> Option<Element> {
    Some(match of {
        Datatype::FloatingPoint { size: 2, .. } => Element::F16,
        Datatype::FloatingPoint { size: 4, .. } => Element::F32,
        Datatype::FloatingPoint { size: 8, .. } => Element::F64,
        Datatype::FixedPoint { size, signed, .. } if [1, 2, 4, 8].contains(size) => {
            Element::Integer {
                size: *size,
                signed: *signed,
            }
        }
        // h5py's booleans.
        Datatype::Enum { members, .. } => {
            let is = |name: &str| members.iter().any(|member| member.name == name);
            (members.len() == 2 && is("FALSE") && is("TRUE")).then_some(Element::Flag)?
        }
        Datatype::String {
            size: StringSize::Fixed(_),
            ..
        } => Element::Text,
        Datatype::String {
            size: StringSize::Variable,
            ..
        }
        | Datatype::VarLen {
            kind: VarLenKind::String,
            ..
        } => Element::TextElsewhere,
        _ => return None,
    })
}

/// A column being read.
struct ColumnReader {
    name: String,
    dataset: Dataset,
    element: Element,
    /// Axes after the rows; their product; bytes of a row.
    shape: Vec<usize>,
    values: usize,
    bytes: usize,
}

impl ColumnReader {
    fn read(&self, rows: Range<u64>) -> Hdf5Result<Values> {
        let dataset = &self.dataset;
        Ok(match self.element {
            Element::F16 => {
                Values::F32(slice::<Half>(dataset, rows)?.map(|value| value.0).collect())
            }
            Element::F32 => Values::F32(slice(dataset, rows)?.collect()),
            Element::F64 => Values::F64(slice(dataset, rows)?.collect()),
            Element::Integer {
                size: 1,
                signed: true,
            } => integers::<i8>(dataset, rows)?,
            Element::Integer {
                size: 2,
                signed: true,
            } => integers::<i16>(dataset, rows)?,
            Element::Integer {
                size: 4,
                signed: true,
            } => integers::<i32>(dataset, rows)?,
            Element::Integer {
                size: _,
                signed: true,
            } => integers::<i64>(dataset, rows)?,
            Element::Integer {
                size: 1,
                signed: false,
            } => integers::<u8>(dataset, rows)?,
            Element::Integer {
                size: 2,
                signed: false,
            } => integers::<u16>(dataset, rows)?,
            Element::Integer {
                size: 4,
                signed: false,
            } => integers::<u32>(dataset, rows)?,
            Element::Integer {
                size: _,
                signed: false,
            } => Values::Unsigned(slice(dataset, rows)?.collect()),
            Element::Flag => {
                Values::Flags(slice(dataset, rows)?.map(|flag: Flag| flag.0).collect())
            }
            Element::Text => {
                let text = |bytes: Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
                Values::Text(slice(dataset, rows)?.map(text).collect())
            }
            Element::TextElsewhere => {
                let text = |reference: Bytes| -> Hdf5Result<String> {
                    let bytes = dataset.resolve_vlen_reference_bytes(&reference.0, 1)?;
                    Ok(String::from_utf8_lossy(&bytes).into_owned())
                };
                let texts = slice(dataset, rows)?.map(text);
                Values::Text(texts.collect::<Hdf5Result<_>>()?)
            }
        })
    }
}

fn slice<T: H5Type>(dataset: &Dataset, rows: Range<u64>) -> Hdf5Result<impl Iterator<Item = T>> {
    let mut selection = SliceInfo::all(dataset.ndim());
    if let Some(first) = selection.selections.first_mut() {
        *first = SliceInfoElem::Slice {
            start: rows.start,
            end: rows.end,
            step: 1,
        };
    }
    Ok(dataset.read_slice::<T>(&selection)?.into_iter())
}

fn integers<T: H5Type + Into<i64>>(dataset: &Dataset, rows: Range<u64>) -> Hdf5Result<Values> {
    Ok(Values::Integers(
        slice::<T>(dataset, rows)?.map(Into::into).collect(),
    ))
}

/// A truth value: any byte that is not 0.
#[derive(Clone)]
struct Flag(bool);

impl H5Type for Flag {
    fn hdf5_type() -> Datatype {
        Bytes::hdf5_type()
    }

    fn from_bytes(bytes: &[u8], _: &Datatype) -> Hdf5Result<Self> {
        Ok(Flag(bytes.iter().any(|&byte| byte != 0)))
    }

    fn element_size(dtype: &Datatype) -> usize {
        Bytes::element_size(dtype)
    }
}

/// The bytes of one value, for what the library has no type.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl H5Type for Bytes {
    fn hdf5_type() -> Datatype {
        Datatype::Opaque {
            size: 1,
            tag: String::new(),
        }
    }

    fn from_bytes(bytes: &[u8], _: &Datatype) -> Hdf5Result<Self> {
        Ok(Bytes(bytes.to_vec()))
    }

    fn element_size(of: &Datatype) -> usize {
        dtype_element_size(of).unwrap_or(1)
    }
}

/// A half-precision number.
#[derive(Clone)]
struct Half(f32);

impl H5Type for Half {
    fn hdf5_type() -> Datatype {
        Datatype::Opaque {
            size: 2,
            tag: String::new(),
        }
    }

    fn from_bytes(bytes: &[u8], of: &Datatype) -> Hdf5Result<Self> {
        let &[first, second] = bytes else {
            return Err(Error::InvalidData(format!(
                "{} bytes, expected 2",
                bytes.len()
            )));
        };
        let big = matches!(
            of,
            Datatype::FloatingPoint {
                byte_order: hdf5_reader::ByteOrder::BigEndian,
                ..
            }
        );
        let bytes = if big {
            [second, first]
        } else {
            [first, second]
        };
        Ok(Half(f16::from_le_bytes(bytes).to_f32()))
    }

    fn element_size(_: &Datatype) -> usize {
        2
    }
}

/// The values of a column in a window.
enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Integers(Vec<i64>),
    Unsigned(Vec<u64>),
    Flags(Vec<bool>),
    Text(Vec<String>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::Integers(values) => values.len(),
            Values::Unsigned(values) => values.len(),
            Values::Flags(values) => values.len(),
            Values::Text(values) => values.len(),
        }
    }

    /// The cell of the values at `range`, which have the axes `shape`.
    fn cell(&self, shape: &[usize], range: Range<usize>) -> Option<Cell> {
        Some(match self {
            Values::F32(values) => {
                let number = |value: f32| f64::from(value);
                numeric(values.get(range)?, shape, number, |v| {
                    Cell::from_number(v.into())
                })
            }
            Values::F64(values) => numeric(values.get(range)?, shape, |v| v, Cell::from_number),
            Values::Integers(values) => numeric(
                values.get(range)?,
                shape,
                |v| v as f64,
                |v| Cell::Integer(v.into()),
            ),
            Values::Unsigned(values) => numeric(
                values.get(range)?,
                shape,
                |v| v as f64,
                |v| Cell::Integer(v.into()),
            ),
            Values::Flags(values) => {
                let number = |value| if value { 1.0 } else { 0.0 };
                numeric(values.get(range)?, shape, number, Cell::Flag)
            }
            Values::Text(values) => {
                let trimmed = |text: &String| text.trim_matches(padding).to_owned();
                match (shape, values.get(range)?) {
                    ([], [text]) => Cell::from_text(&trimmed(text)),
                    (_, texts) => Cell::Words(texts.iter().map(trimmed).collect()),
                }
            }
        })
    }
}

/// One value as it is, or an array of numbers.
fn numeric<T: Copy>(
    values: &[T],
    shape: &[usize],
    number: impl Fn(T) -> f64,
    alone: impl Fn(T) -> Cell,
) -> Cell {
    match (shape, values) {
        ([], &[value]) => alone(value),
        _ => array_cell(shape.to_vec(), values.iter().map(|&value| number(value))),
    }
}

/// A window of rows.
struct Window {
    columns: Vec<(Vec<usize>, usize, Values)>,
    rows: usize,
}

impl Window {
    fn read(path: &Path, columns: &[ColumnReader], rows: Range<u64>) -> Result<Window> {
        let count = (rows.end - rows.start) as usize;
        let read = |column: &ColumnReader| {
            let fail = |reason| container(path, reason);
            let values = column.read(rows.clone());
            let values = values.map_err(|error| fail(error.to_string()));
            let checked = values.and_then(|values| {
                let expected = count.saturating_mul(column.values);
                if values.len() == expected {
                    return Ok((column.shape.clone(), column.values, values));
                }
                Err(fail(format!(
                    "{} values, expected {expected}",
                    values.len()
                )))
            });
            checked.map_err(|mut error| {
                error.place = error.place.with_field(&column.name);
                error
            })
        };
        let columns = columns.iter().map(read).collect::<Result<_>>()?;
        Ok(Window {
            columns,
            rows: count,
        })
    }

    fn into_rows(window: Result<Window>) -> Box<dyn Iterator<Item = Result<Row>> + Send> {
        let window = match window {
            Ok(window) => window,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let rows = 0..window.rows;
        Box::new(rows.map(move |row| Ok(window.row(row))))
    }

    fn row(&self, row: usize) -> Row {
        let cells = self.columns.iter().map(|(shape, width, values)| {
            let cell = values.cell(shape, row * width..(row + 1) * width);
            cell.unwrap_or(Cell::Missing)
        });
        cells.collect()
    }
}
