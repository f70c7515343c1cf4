//! FITS binary tables, read in windows of rows so that memory does not grow with the file.

use std::ops::Range;
use std::vec;

use fits_well::FitsError;
use fits_well::image::UnsignedData;
use fits_well::table::{
    CharacterField, Column as FitsColumn, ColumnData, ColumnReader, ElementKind, Ragged,
    Table as Window,
};

use crate::error::{DataError, Problem, Result};
use crate::format::fits::{FitsFile, problem};
use crate::format::table::{Cell, Column, Row, Rows, Table, array_cell};

/// Bytes of rows held at a time.
const WINDOW_BYTES: usize = 8 << 20;
/// Rows held at a time.
const WINDOW_ROWS: usize = 1024;

/// The binary table in one HDU.
pub struct FitsTable {
    file: FitsFile,
    hdu: usize,
    columns: Vec<Column>,
    row_count: usize,
    row_len: usize,
}

impl FitsTable {
    /// The table in HDU `hdu` of `file`.
    ///
    /// Errors: no binary table there, a damaged description of its columns.
    pub fn open(file: FitsFile, hdu: usize) -> Result<Self> {
        let schema = match file.reader.hdu(hdu).and_then(|hdu| hdu.table_schema()) {
            Ok(schema) => schema,
            Err(error) => return Err(DataError::new(file.place(hdu), problem(error))),
        };
        let (row_count, row_len) = (schema.row_count(), schema.row_len());
        Ok(FitsTable {
            columns: file.columns(hdu),
            file,
            hdu,
            row_count,
            row_len,
        })
    }
}

impl Table for FitsTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn row_count(&self) -> Option<u64> {
        Some(self.row_count as u64)
    }

    fn rows(self: Box<Self>, wanted: &[usize], range: Range<u64>) -> Result<Rows> {
        if self.row_len == 0 || self.row_count == 0 {
            return Ok(Box::new(std::iter::empty()));
        }
        let row = |row: u64| usize::try_from(row).map_or(self.row_count, |r| r.min(self.row_count));
        let (next, end) = (row(range.start), row(range.end));
        let window = (WINDOW_BYTES / self.row_len).clamp(1, WINDOW_ROWS);
        Ok(Box::new(FitsRows {
            table: *self,
            wanted: wanted.to_vec(),
            window,
            next,
            end,
            ready: Vec::new().into_iter(),
        }))
    }
}

struct FitsRows {
    table: FitsTable,
    wanted: Vec<usize>,
    window: usize,
    next: usize,
    end: usize,
    ready: vec::IntoIter<Row>,
}

impl FitsRows {
    fn read_window(&mut self) -> Result<Vec<Row>> {
        let FitsTable {
            file, hdu, columns, ..
        } = &mut self.table;
        let end = (self.next + self.window).min(self.end);
        let range = std::mem::replace(&mut self.next, end)..end;
        let mut rows = vec![Row::with_capacity(self.wanted.len()); range.len()];
        let window = file.reader.read_table_rows(*hdu, range);
        let window = window.map_err(|error| DataError::new(file.place(*hdu), problem(error)))?;
        for &index in &self.wanted {
            let cells = column_cells(&window, index, rows.len()).map_err(|problem| {
                let name = columns.get(index).map(|column| column.name.clone());
                let place = file.place(*hdu).with_field(name.unwrap_or_default());
                DataError::new(place, problem)
            })?;
            for (row, cell) in rows.iter_mut().zip(cells) {
                row.push(cell);
            }
        }
        Ok(rows)
    }
}

impl Iterator for FitsRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.ready.next() {
            return Some(Ok(row));
        }
        if self.next >= self.end {
            return None;
        }
        match self.read_window() {
            Ok(rows) => {
                self.ready = rows.into_iter();
                self.ready.next().map(Ok)
            }
            Err(error) => {
                self.next = self.end;
                Some(Err(error))
            }
        }
    }
}

/// One column of a window of `count` rows.
fn column_cells(
    window: &Window,
    index: usize,
    count: usize,
) -> std::result::Result<Vec<Cell>, Problem> {
    let reader = window.column(index).map_err(problem)?;
    let column = reader.descriptor();
    let cells = match column.tform.element() {
        ElementKind::Logical | ElementKind::Character if column.tform.repeat() == 0 => {
            Ok(vec![Cell::Missing; count])
        }
        ElementKind::Bit | ElementKind::ComplexF32 | ElementKind::ComplexF64 => {
            let what = format!("columns of format {} are not read", column.tform);
            return Err(Problem::Values(what));
        }
        _ if column.tform.descriptor_width().is_some() => variable_cells(&reader),
        ElementKind::Character => text_cells(&reader, column),
        ElementKind::Logical => logical_cells(&reader, column),
        ElementKind::F32 | ElementKind::F64 => real_cells(&reader, column, count),
        ElementKind::U8 | ElementKind::I16 | ElementKind::I32 | ElementKind::I64 => {
            integer_cells(&reader, column, count)
        }
    };
    cells.map_err(problem)
}

fn variable_cells(reader: &ColumnReader<'_>) -> std::result::Result<Vec<Cell>, FitsError> {
    if reader.descriptor().tform.element() == ElementKind::Character {
        let mut rows = Ragged::<ColumnData>::new(ColumnData::U8(Vec::new()), Vec::new());
        reader.vla_into(&mut rows)?;
        let bytes = rows.values().as_character().unwrap_or_default();
        let row = |row: usize| bytes.get(rows.range(row)).map_or(Cell::Missing, text);
        return Ok((0..rows.len()).map(row).collect());
    }
    let mut rows = Ragged::<Vec<f64>>::new(Vec::new(), Vec::new());
    reader.vla_physical_into(&mut rows)?;
    Ok(rows.iter().map(|row| Cell::List(row.to_vec())).collect())
}

fn text_cells(
    reader: &ColumnReader<'_>,
    column: &FitsColumn,
) -> std::result::Result<Vec<Cell>, FitsError> {
    let mut values = ColumnData::Character(Vec::new());
    reader.raw_into(&mut values)?;
    let bytes = values.as_character().unwrap_or_default();
    let rows = bytes.chunks(column.tform.repeat());
    let shape = axes(column)?;
    let (Some(&width), true) = (shape.last(), shape.len() > 1) else {
        return Ok(rows.map(text).collect());
    };
    let word = |field: &[u8]| text(field).label().unwrap_or_default();
    Ok(rows
        .map(|row| Cell::Words(row.chunks(width.max(1)).map(word).collect()))
        .collect())
}

fn text(field: &[u8]) -> Cell {
    Cell::from_text(&String::from_utf8_lossy(
        CharacterField::new(field).members(),
    ))
}

fn logical_cells(
    reader: &ColumnReader<'_>,
    column: &FitsColumn,
) -> std::result::Result<Vec<Cell>, FitsError> {
    let mut values = ColumnData::Logical(Vec::new());
    reader.raw_into(&mut values)?;
    let shape = axes(column)?;
    let number = |value: &Option<bool>| value.map_or(f64::NAN, |v| if v { 1.0 } else { 0.0 });
    let flag = |row: &[Option<bool>]| match row {
        [Some(value)] => Cell::Flag(*value),
        [None] => Cell::Missing,
        _ => array_cell(shape.clone(), row.iter().map(number)),
    };
    let values = values.as_logical().unwrap_or_default();
    Ok(values.chunks(column.tform.repeat()).map(flag).collect())
}

fn real_cells(
    reader: &ColumnReader<'_>,
    column: &FitsColumn,
    count: usize,
) -> std::result::Result<Vec<Cell>, FitsError> {
    let mut values: Vec<f64> = Vec::new();
    reader.physical_into(&mut values)?;
    Ok(match column.tform.repeat() {
        0 => vec![Cell::Missing; count],
        1 => values.into_iter().map(Cell::from_number).collect(),
        repeat => {
            let shape = axes(column)?;
            let rows = values.chunks(repeat);
            rows.map(|row| array_cell(shape.clone(), row.iter().copied()))
                .collect()
        }
    })
}

/// The axes of a cell, slowest first: those that `TDIM` states, or one.
fn axes(column: &FitsColumn) -> std::result::Result<Vec<usize>, FitsError> {
    let repeat = column.tform.repeat();
    let stated = column.tdim()?.unwrap_or_default();
    let product = stated
        .iter()
        .try_fold(1, |n: usize, &axis| n.checked_mul(axis));
    Ok(match product {
        Some(product) if product == repeat && !stated.is_empty() => {
            stated.iter().rev().copied().collect()
        }
        _ => vec![repeat],
    })
}

/// Integers stay exact unless the column is scaled.
fn integer_cells(
    reader: &ColumnReader<'_>,
    column: &FitsColumn,
    count: usize,
) -> std::result::Result<Vec<Cell>, FitsError> {
    let exact = column.tscale()? == 1.0 && column.tform.repeat() == 1;
    let mut unsigned = UnsignedData::U64(Vec::new());
    if exact && reader.unsigned_into(&mut unsigned)? {
        return Ok(match unsigned {
            UnsignedData::I8(values) => whole(&values, None),
            UnsignedData::U16(values) => whole(&values, None),
            UnsignedData::U32(values) => whole(&values, None),
            UnsignedData::U64(values) => whole(&values, None),
        });
    }
    if !exact || column.tzero()? != 0.0 {
        return real_cells(reader, column, count);
    }
    let null = column.tnull()?.map(i128::from);
    let mut values = ColumnData::U8(Vec::new());
    reader.raw_into(&mut values)?;
    Ok(match values {
        ColumnData::U8(values) => whole(&values, null),
        ColumnData::I16(values) => whole(&values, null),
        ColumnData::I32(values) => whole(&values, null),
        ColumnData::I64(values) => whole(&values, null),
        _ => vec![Cell::Missing; count],
    })
}

fn whole<T: Copy + Into<i128>>(values: &[T], null: Option<i128>) -> Vec<Cell> {
    let cell = |value: i128| match null {
        Some(null) if null == value => Cell::Missing,
        _ => Cell::Integer(value),
    };
    values.iter().map(|&value| cell(value.into())).collect()
}

/// The named cells of one row of a table; a column that is absent, or a row past the end, is
/// missing.
///
/// Errors: no binary table there, damaged data, a column that is no number or text.
pub fn named_cells(file: &mut FitsFile, hdu: usize, row: usize, names: &[&str]) -> Result<Row> {
    let columns = file.columns(hdu);
    let index = |name: &&str| {
        columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    };
    let indices: Vec<Option<usize>> = names.iter().map(index).collect();
    cells_of_row(file, hdu, row, &indices)
}

/// The cells of one row of a table in the columns with these indices, missing for none.
///
/// Errors: as for [`named_cells`].
pub fn cells_of_row(
    file: &mut FitsFile,
    hdu: usize,
    row: usize,
    wanted: &[Option<usize>],
) -> Result<Row> {
    let count = table_len(file, hdu)?;
    if row >= count {
        return Ok(vec![Cell::Missing; wanted.len()]);
    }
    let window = file.reader.read_table_rows(hdu, row..row + 1);
    let window = window.map_err(|error| DataError::new(file.place(hdu), problem(error)))?;
    let cell = |index: &Option<usize>| {
        let Some(index) = *index else {
            return Ok(Cell::Missing);
        };
        let mut cells = column_cells(&window, index, 1)?;
        Ok(cells.pop().unwrap_or(Cell::Missing))
    };
    let cells: std::result::Result<Row, Problem> = wanted.iter().map(cell).collect();
    cells.map_err(|problem| DataError::new(file.place(hdu), problem))
}

/// A column of whole numbers, of all rows; `None` when the table has no such column.
///
/// Errors: no binary table there, damaged data, a value that is no whole number.
pub fn whole_numbers(file: &mut FitsFile, hdu: usize, name: &str) -> Result<Option<Vec<i64>>> {
    let columns = file.columns(hdu);
    let same = |column: &Column| column.name.eq_ignore_ascii_case(name);
    let Some(index) = columns.iter().position(same) else {
        return Ok(None);
    };
    let count = table_len(file, hdu)?;
    let place = file.place_in(hdu, name);
    let mut numbers = Vec::new();
    for start in (0..count).step_by(WINDOW_ROWS) {
        let rows = start..(start + WINDOW_ROWS).min(count);
        let len = rows.len();
        let window = file.reader.read_table_rows(hdu, rows);
        let cells = window.map_err(problem);
        let cells = cells.and_then(|window| column_cells(&window, index, len));
        for cell in cells.map_err(|problem| DataError::new(place.clone(), problem))? {
            let number = match cell {
                Cell::Integer(value) => i64::try_from(value).ok(),
                _ => None,
            };
            let problem = || Problem::Values(format!("{cell:?}, expected a whole number"));
            let wrong = || DataError::new(place.clone(), problem());
            numbers.push(number.ok_or_else(wrong)?);
        }
    }
    Ok(Some(numbers))
}

/// The number of rows of a table.
fn table_len(file: &FitsFile, hdu: usize) -> Result<usize> {
    let schema = file.reader.hdu(hdu).and_then(|hdu| hdu.table_schema());
    let schema = schema.map_err(|error| DataError::new(file.place(hdu), problem(error)))?;
    Ok(schema.row_count())
}
