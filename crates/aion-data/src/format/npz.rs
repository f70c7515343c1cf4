//! NumPy archives (`.npz`): a zip file of arrays, each with a header that is a Python literal
//! (NumPy enhancement proposal 1). Arrays of numbers, booleans and text are read; records and
//! pickled objects are listed but refused.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Cell, Column, Row, Rows, Table, within};

/// The longest array header, bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// An open archive: the headers of its arrays; values are read on request.
pub struct NpzFile {
    path: PathBuf,
    archive: ZipArchive<File>,
    entries: Vec<Entry>,
}

/// One array of the archive.
struct Entry {
    column: Column,
    index: usize,
    header: Header,
}

/// What an array's header says.
#[derive(Debug, Clone, PartialEq)]
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
    /// Bytes before the values.
    length: usize,
}

/// The values of an array in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Axis lengths, slowest first; empty for a single value.
    pub shape: Vec<usize>,
    /// One cell a value.
    pub cells: Vec<Cell>,
}

impl Array {
    /// All values as numbers, missing ones as NaN. The error says what a value is instead.
    pub fn numbers(&self) -> std::result::Result<Vec<f32>, String> {
        let number = |cell: &Cell| Ok(cell.number()?.map_or(f32::NAN, |value| value as f32));
        self.cells.iter().map(number).collect()
    }
}

impl NpzFile {
    /// Opens the archive and reads the header of every array.
    ///
    /// Errors: not a zip file, a member that is no array, a damaged header.
    pub fn open(path: &Path) -> Result<Self> {
        let file =
            File::open(path).map_err(|error| DataError::new(Place::file(path), error.into()))?;
        let mut archive =
            ZipArchive::new(file).map_err(|error| container(path, error.to_string()))?;
        let mut entries = Vec::new();
        for index in 0..archive.len() {
            let mut member = archive
                .by_index(index)
                .map_err(|error| container(path, error.to_string()))?;
            let name = member
                .name()
                .map_err(|error| container(path, error.to_string()))?;
            let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
                continue;
            };
            let header = read_header(&mut member)
                .map_err(|reason| container(path, format!("array {name}: {reason}")))?;
            entries.push(Entry {
                column: Column { name, unit: None },
                index,
                header,
            });
        }
        if entries.is_empty() {
            return Err(container(path, "the zip file holds no arrays".into()));
        }
        Ok(NpzFile {
            path: path.to_owned(),
            archive,
            entries,
        })
    }

    /// The shape of the array called `name`, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.column.name == name)?;
        Some(&entry.header.shape)
    }

    /// The names of all arrays.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.column.name.as_str())
    }

    /// Reads the array called `name`; `None` when there is none.
    ///
    /// Errors: a type other than numbers, booleans and text; a truncated or damaged member.
    pub fn array(&mut self, name: &str) -> Result<Option<Array>> {
        let Some(entry) = self.entries.iter().find(|entry| entry.column.name == name) else {
            return Ok(None);
        };
        let (index, header) = (entry.index, entry.header.clone());
        let values = read_values(&mut self.archive, index, &header);
        let array = values.map_err(|reason| {
            let place = Place::file(&self.path).with_field(name);
            DataError::new(place, damaged(reason))
        })?;
        Ok(Some(array))
    }

    /// The archive as a table: every array whose first axis is the rows is a column.
    pub fn into_table(mut self) -> NpzTable {
        self.entries
            .retain(|entry| matches!(entry.header.shape.len(), 1 | 2));
        let columns = self.entries.iter().map(|entry| entry.column.clone());
        NpzTable {
            columns: columns.collect(),
            file: self,
        }
    }
}

/// An archive read as a table with one array a column.
pub struct NpzTable {
    file: NpzFile,
    columns: Vec<Column>,
}

impl Table for NpzTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn row_count(&self) -> Option<u64> {
        None
    }

    fn rows(mut self: Box<Self>, wanted: &[usize], range: Range<u64>) -> Result<Rows> {
        let mut arrays: Vec<Array> = Vec::new();
        for name in wanted.iter().filter_map(|&index| self.columns.get(index)) {
            let array = self.file.array(&name.name)?;
            let Some(array) = array else { continue };
            if let Some(first) = arrays.first()
                && first.shape.first() != array.shape.first()
            {
                let what = format!("rows disagree: {:?} and {:?}", first.shape, array.shape);
                let place = Place::file(&self.file.path).with_field(&name.name);
                return Err(DataError::new(place, Problem::Mismatch(what)));
            }
            arrays.push(array);
        }
        // Rows of no values are no rows, however many the shape declares.
        let empty = arrays.iter().any(|array| array.cells.is_empty());
        let count = arrays
            .first()
            .and_then(|array| array.shape.first().copied());
        let count = count.filter(|_| !empty);
        let row =
            move |row: usize| -> Row { arrays.iter().map(|array| cell(array, row)).collect() };
        let numbers = within(0..count.unwrap_or(0), range);
        Ok(Box::new(numbers.map(row).map(Ok)))
    }
}

/// The cell of one row: the value itself, or the list along the second axis.
fn cell(array: &Array, row: usize) -> Cell {
    let width = match array.shape.as_slice() {
        [_, width] => *width,
        _ => return array.cells.get(row).cloned().unwrap_or(Cell::Missing),
    };
    let cells = array.cells.get(row * width..(row + 1) * width);
    let number = |cell: &Cell| cell.number().ok().flatten().unwrap_or(f64::NAN);
    Cell::List(cells.unwrap_or_default().iter().map(number).collect())
}

fn damaged(reason: String) -> Problem {
    Problem::Container {
        format: "npz",
        reason,
    }
}

fn container(path: &Path, reason: String) -> DataError {
    DataError::new(Place::file(path), damaged(reason))
}

fn read_header(member: &mut impl Read) -> std::result::Result<Header, String> {
    let mut start = [0u8; 8];
    let unreadable = |error: std::io::Error| format!("no header: {error}");
    member.read_exact(&mut start).map_err(unreadable)?;
    let [magic @ .., major, _minor] = start;
    if &magic != b"\x93NUMPY" {
        return Err("not a NumPy array".into());
    }
    let wide = major > 1;
    let mut size = [0u8; 4];
    let digits = if wide { 4 } else { 2 };
    member.read_exact(&mut size[..digits]).map_err(unreadable)?;
    let length = u32::from_le_bytes(size) as usize;
    if length > LONGEST_HEADER {
        return Err(format!("a header of {length} bytes"));
    }
    let mut text = vec![0u8; length];
    member.read_exact(&mut text).map_err(unreadable)?;
    let text = String::from_utf8_lossy(&text);
    let literal = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start());
    let descr = literal("'descr':").ok_or("no descr in the header")?;
    let shape = literal("'shape':").ok_or("no shape in the header")?;
    let order = literal("'fortran_order':").ok_or("no fortran_order in the header")?;
    Ok(Header {
        descr: quoted(descr).unwrap_or_else(|| "record".into()),
        fortran: order.starts_with("True"),
        shape: tuple(shape).ok_or("no shape in the header")?,
        length: 8 + digits + length,
    })
}

/// The Python string at the start of `text`.
fn quoted(text: &str) -> Option<String> {
    let (value, _) = text.strip_prefix('\'')?.split_once('\'')?;
    Some(value.to_owned())
}

/// The Python tuple of lengths at the start of `text`.
fn tuple(text: &str) -> Option<Vec<usize>> {
    let (inner, _) = text.strip_prefix('(')?.split_once(')')?;
    inner
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect()
}

fn read_values(
    archive: &mut ZipArchive<File>,
    index: usize,
    header: &Header,
) -> std::result::Result<Array, String> {
    let (decode, width) = decoder(&header.descr)?;
    let size = header
        .shape
        .iter()
        .try_fold(width, |size, &axis| size.checked_mul(axis))
        .ok_or("the shape is too large")?;
    let mut member = archive.by_index(index).map_err(|error| error.to_string())?;
    // A lying header costs no more memory than the member really holds.
    let mut bytes = Vec::new();
    let wanted = (header.length as u64).saturating_add(size as u64);
    let read = member.by_ref().take(wanted).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    let values = bytes.get(header.length..).unwrap_or_default();
    if values.len() < size {
        return Err(format!("{} bytes of values, expected {size}", values.len()));
    }
    let cells: Vec<Cell> = values.chunks_exact(width).map(decode).collect();
    Ok(Array {
        cells: if header.fortran {
            in_c_order(&header.shape, cells)
        } else {
            cells
        },
        shape: header.shape.clone(),
    })
}

/// Values stored with the first axis fastest, reordered to the last axis fastest.
fn in_c_order(shape: &[usize], cells: Vec<Cell>) -> Vec<Cell> {
    let stored = |position: usize| {
        let mut rest = position;
        let mut offset = 0;
        let mut stride = cells.len();
        for &axis in shape.iter().rev() {
            stride /= axis;
            offset += (rest % axis) * stride;
            rest /= axis;
        }
        offset
    };
    (0..cells.len())
        .map(|position| cells[stored(position)].clone())
        .collect()
}

type Decode = Box<dyn Fn(&[u8]) -> Cell>;

/// How to read one value of the type `descr`, and its width in bytes.
fn decoder(descr: &str) -> std::result::Result<(Decode, usize), String> {
    let unsupported = || format!("arrays of type {descr} are not read");
    let mut letters = descr.chars();
    let (order, kind) = (letters.next(), letters.next());
    let count: usize = letters.as_str().parse().map_err(|_| unsupported())?;
    let big = order == Some('>');
    let word = move |bytes: &[u8]| -> [u8; 8] {
        let mut word = [0u8; 8];
        for (to, from) in word.iter_mut().zip(bytes) {
            *to = *from;
        }
        if big && let Some(used) = word.get_mut(..bytes.len()) {
            used.reverse();
        }
        word
    };
    let decode: Decode = match (kind, count) {
        (Some('f'), 4) => Box::new(move |bytes| {
            let bits = u64::from_le_bytes(word(bytes)) as u32;
            Cell::from_number(f32::from_bits(bits).into())
        }),
        (Some('f'), 8) => Box::new(move |bytes| Cell::from_number(f64::from_le_bytes(word(bytes)))),
        (Some('u'), 1 | 2 | 4 | 8) => {
            Box::new(move |bytes| Cell::Integer(u64::from_le_bytes(word(bytes)).into()))
        }
        (Some('i'), 1 | 2 | 4 | 8) => {
            let unused = 64 - 8 * count as u32;
            Box::new(move |bytes| {
                let value = i64::from_le_bytes(word(bytes)) << unused >> unused;
                Cell::Integer(value.into())
            })
        }
        (Some('b'), 1) => Box::new(|bytes| Cell::Integer((bytes != [0]).into())),
        (Some('S'), 1..) => Box::new(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            Cell::from_text(text.trim_end_matches('\0'))
        }),
        (Some('U'), 1..) => {
            let letter = move |bytes: &[u8]| char::from_u32(u64::from_le_bytes(word(bytes)) as u32);
            Box::new(move |bytes| {
                let text: String = bytes.chunks_exact(4).filter_map(letter).collect();
                Cell::from_text(text.trim_end_matches('\0'))
            })
        }
        _ => return Err(unsupported()),
    };
    let width = if kind == Some('U') {
        count.checked_mul(4).ok_or_else(unsupported)?
    } else {
        count
    };
    Ok((decode, width))
}
