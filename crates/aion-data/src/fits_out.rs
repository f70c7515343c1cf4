//! Binary tables of FITS: one row an object, text, numbers and vectors of numbers with units.
//!
//! Unlike Parquet, a FITS table says its length first and stores rows together, so all rows are at hand
//! when it is written.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::Path;

use fits_well::header::Header;
use fits_well::table::{Builder, ColumnData, WriteColumn};
use fits_well::{FitsError, FitsWriter};

use crate::atomic::NewFile;
use crate::error::{DataError, Place, Problem, Result};

/// Characters of a card of commentary.
const CARD: usize = 70;
/// The number where there is no token.
const ABSENT: i16 = -1;

/// A binary table being put together.
pub(crate) struct FitsTable {
    table: Builder,
}

impl FitsTable {
    /// A table without columns.
    pub fn new() -> Self {
        FitsTable {
            table: Builder::new(),
        }
    }

    /// Text, as wide as the longest entry; blank where there is none.
    pub fn text<'a>(
        &mut self,
        path: &Path,
        name: &str,
        values: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<()> {
        let values: Vec<String> = values
            .map(|value| ascii(value.unwrap_or_default()))
            .collect();
        let width = values.iter().map(String::len).max().unwrap_or(0).max(1);
        let column = WriteColumn::characters(name, &values, width);
        self.push(path, name, column)
    }

    /// Numbers in double precision, NaN where unknown.
    pub fn doubles(
        &mut self,
        path: &Path,
        (name, unit): (&str, Option<&str>),
        values: impl Iterator<Item = Option<f64>>,
    ) -> Result<()> {
        let values = values.map(|value| value.unwrap_or(f64::NAN)).collect();
        let column = WriteColumn::scalar(name, ColumnData::F64(values));
        let column = match unit {
            Some(unit) => column.with_unit(unit),
            None => column,
        };
        self.push(path, name, Ok(column))
    }

    /// Real numbers, `shape` a row, the last axis fastest.
    pub fn floats(
        &mut self,
        path: &Path,
        name: &str,
        (shape, values): (&[usize], Vec<f32>),
    ) -> Result<()> {
        let column = fixed(name, ColumnData::F32(values), shape);
        self.push(path, name, Ok(column))
    }

    /// Whole numbers, `shape` a row, -1 where there is none.
    pub fn integers(
        &mut self,
        path: &Path,
        name: &str,
        (shape, values): (&[usize], Vec<i64>),
    ) -> Result<()> {
        let column = fixed(name, ColumnData::I64(values), shape).with_null(-1);
        self.push(path, name, Ok(column))
    }

    /// Tokens, so many a row: 16-bit numbers, which hold every vocabulary without the offset of unsigned
    /// ones; null (-1) where a row has fewer.
    pub fn tokens<'a>(
        &mut self,
        path: &Path,
        name: &str,
        width: usize,
        rows: impl Iterator<Item = &'a [u16]>,
    ) -> Result<()> {
        let mut stored = Vec::new();
        for row in rows {
            let end = stored.len() + width;
            for token in row {
                stored.push(i16::try_from(*token).map_err(|_| {
                    let problem = format!("token {token}; a FITS table holds those below 32768");
                    let place = Place::file(path).with_field(name);
                    DataError::new(place, Problem::Values(problem))
                })?);
            }
            stored.resize(end, ABSENT);
        }
        let column = fixed(name, ColumnData::I16(stored), &[width]);
        self.push(path, name, Ok(column.with_null(i64::from(ABSENT))))
    }

    /// Writes the file: the table as the extension called `extension`, metadata as its history.
    pub fn write(
        self,
        path: &Path,
        extension: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<()> {
        let failed = |error: FitsError| refused(path, error);
        let mut header = Header::new();
        header.set("EXTNAME", extension).map_err(failed)?;
        for (key, value) in metadata {
            let text = ascii(&format!("{key} = {value}"));
            for part in text.as_bytes().chunks(CARD) {
                let part = String::from_utf8_lossy(part);
                // Blanks at the end of a card are lost; those at its beginning are not.
                header.push_commentary("HISTORY", &part).map_err(failed)?;
            }
        }
        let file = NewFile::create(path)?;
        let mut writer = FitsWriter::new(BufWriter::new(file.handle()?));
        writer
            .write_table(&self.table, Some(&header))
            .map_err(failed)?;
        writer
            .into_inner()
            .into_inner()
            .map_err(|error| crate::atomic::io_error(path, error.into_error()))?;
        file.finish()
    }

    fn push(
        &mut self,
        path: &Path,
        name: &str,
        column: std::result::Result<WriteColumn, FitsError>,
    ) -> Result<()> {
        let pushed = column.and_then(|column| self.table.push(column).map(|_| ()));
        pushed.map_err(|error| {
            let mut error = refused(path, error);
            error.place.field = Some(name.to_owned());
            error
        })
    }
}

/// A column of `shape` a row; FITS names the fastest axis first.
fn fixed(name: &str, data: ColumnData, shape: &[usize]) -> WriteColumn {
    let column = WriteColumn::fixed(name, data, shape.iter().product());
    match shape.len() {
        0 | 1 => column,
        _ => column.with_tdim(shape.iter().rev().copied().collect::<Vec<usize>>()),
    }
}

/// Text in the characters that FITS allows.
fn ascii(text: &str) -> String {
    let allowed = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().map(allowed).collect()
}

fn refused(path: &Path, error: FitsError) -> DataError {
    let problem = match error {
        FitsError::Io(error) => Problem::Io(error),
        other => Problem::Container {
            format: "FITS",
            reason: other.to_string(),
        },
    };
    DataError::new(Place::file(path), problem)
}
