//! The rows of a VOTable, one at a time.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

use super::base64::Bytes;
use super::field::Field;
use super::{Document, damaged};
use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Cell, Row};

/// Which cells of a row are wanted, and where they go.
struct Wanted {
    fields: Vec<Field>,
    /// By column: its places in the row that is handed on.
    places: Vec<Vec<usize>>,
    width: usize,
}

impl Wanted {
    fn new(fields: Vec<Field>, wanted: &[usize]) -> Self {
        let mut places = vec![Vec::new(); fields.len()];
        for (place, &column) in wanted.iter().enumerate() {
            if let Some(places) = places.get_mut(column) {
                places.push(place);
            }
        }
        Wanted {
            fields,
            places,
            width: wanted.len(),
        }
    }

    fn contains(&self, column: usize) -> bool {
        self.places
            .get(column)
            .is_some_and(|places| !places.is_empty())
    }

    fn put(&self, row: &mut Row, column: usize, cell: Cell) {
        let places = self.places.get(column).map_or(&[][..], Vec::as_slice);
        let Some((&first, others)) = places.split_first() else {
            return;
        };
        for &place in others {
            if let Some(to) = row.get_mut(place) {
                *to = cell.clone();
            }
        }
        if let Some(to) = row.get_mut(first) {
            *to = cell;
        }
    }
}

/// Rows of TABLEDATA.
pub(super) struct TextRows {
    document: Document,
    wanted: Wanted,
    text: String,
    number: usize,
    ended: bool,
}

/// What a row or a document can be: bad by itself, or at its end.
enum Bad {
    /// This row; the next one can be read.
    Row(DataError),
    /// The document.
    All(DataError),
}

impl From<DataError> for Bad {
    fn from(error: DataError) -> Self {
        Bad::All(error)
    }
}

impl TextRows {
    pub fn new(document: Document, fields: Vec<Field>, wanted: &[usize]) -> Self {
        TextRows {
            document,
            wanted: Wanted::new(fields, wanted),
            text: String::new(),
            number: 0,
            ended: false,
        }
    }

    /// The next row; `None` behind the last one.
    fn read(&mut self) -> std::result::Result<Option<Row>, Bad> {
        loop {
            match self.document.event()? {
                Event::Start(tag) if tag.local_name().as_ref() == "TR" => break,
                Event::Empty(tag) if tag.local_name().as_ref() == "TR" => {
                    self.number += 1;
                    return Err(self.width_error(0));
                }
                Event::End(_) => {
                    self.document.finish()?;
                    return Ok(None);
                }
                Event::Eof => return Err(self.document.truncated().into()),
                _ => {}
            }
        }
        self.number += 1;
        let mut row = vec![Cell::Missing; self.wanted.width];
        let mut column = 0;
        let mut bad = None;
        loop {
            let start = match self.document.event()? {
                Event::Start(tag) if tag.local_name().as_ref() == "TD" => true,
                Event::Empty(tag) if tag.local_name().as_ref() == "TD" => false,
                Event::Start(_) | Event::Empty(_) => {
                    let reason = "a row holds elements other than TD";
                    return Err(damaged(&self.document.path, reason).into());
                }
                Event::End(_) => break,
                Event::Eof => return Err(self.document.truncated().into()),
                _ => continue,
            };
            if start {
                self.read_text()?;
                if let Some(field) = self.wanted.fields.get(column)
                    && self.wanted.contains(column)
                {
                    match field.read_text(&self.text) {
                        Ok(cell) => self.wanted.put(&mut row, column, cell),
                        Err(reason) => {
                            let place = self.place().with_field(&field.name);
                            let error = DataError::new(place, Problem::Values(reason));
                            bad.get_or_insert(error);
                        }
                    }
                }
            }
            column += 1;
        }
        if column != self.wanted.fields.len() {
            return Err(self.width_error(column));
        }
        bad.map_or(Ok(Some(row)), |error| Err(Bad::Row(error)))
    }

    /// Reads the text of the cell just opened.
    fn read_text(&mut self) -> Result<()> {
        self.text.clear();
        loop {
            match self.document.event()? {
                Event::Text(text) => self.text.push_str(&text),
                Event::CData(text) => self.text.push_str(&text),
                Event::GeneralRef(reference) => match character(&reference) {
                    Some(resolved) => self.text.push_str(&resolved),
                    None => {
                        let reason = "a cell holds an entity that is not defined";
                        return Err(damaged(&self.document.path, reason));
                    }
                },
                Event::End(_) => return Ok(()),
                Event::Eof => return Err(self.document.truncated()),
                Event::Start(_) | Event::Empty(_) => {
                    return Err(damaged(&self.document.path, "a cell holds elements"));
                }
                _ => {}
            }
        }
    }

    fn place(&self) -> Place {
        Place::file(&self.document.path).with_object(format!("row {}", self.number))
    }

    fn width_error(&self, found: usize) -> Bad {
        let what = format!("{found} cells, expected {}", self.wanted.fields.len());
        Bad::Row(DataError::new(self.place(), Problem::Mismatch(what)))
    }
}

/// What a reference such as `&lt;` or `&#65;` stands for.
fn character(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Some(character.to_string()),
        Ok(None) => resolve_predefined_entity(reference).map(str::to_owned),
        Err(_) => None,
    }
}

impl Iterator for TextRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.read() {
            Ok(Some(row)) => Some(Ok(row)),
            Err(Bad::Row(error)) => Some(Err(error)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(Bad::All(error)) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

/// Rows of BINARY and BINARY2.
pub(super) struct BinaryRows {
    document: Document,
    wanted: Wanted,
    bytes: Bytes,
    /// The bits that say which cells are null, in BINARY2.
    nulls: Option<Vec<u8>>,
    ended: bool,
}

impl BinaryRows {
    pub fn new(document: Document, fields: Vec<Field>, wanted: &[usize], masked: bool) -> Self {
        BinaryRows {
            document,
            nulls: masked.then(|| vec![0; fields.len().div_ceil(8)]),
            wanted: Wanted::new(fields, wanted),
            bytes: Bytes::default(),
            ended: false,
        }
    }

    /// The next row; `None` behind the last one. After an error the rest cannot be read.
    fn read(&mut self) -> Result<Option<Row>> {
        let BinaryRows {
            document,
            wanted,
            bytes,
            nulls,
            ..
        } = self;
        if wanted.fields.is_empty() || bytes.at_end(document)? {
            document.finish()?;
            return Ok(None);
        }
        if let Some(nulls) = nulls {
            let count = nulls.len();
            nulls.copy_from_slice(bytes.take(document, count)?);
        }
        let before = bytes.used();
        let mut row = vec![Cell::Missing; wanted.width];
        for (column, field) in wanted.fields.iter().enumerate() {
            let length = match field.is_variable() {
                true => length(document, bytes)?,
                false => 1,
            };
            let Some(count) = field.num_bytes(length) else {
                return Err(damaged(&document.path, "a cell without end"));
            };
            let bits = nulls.as_ref().and_then(|nulls| nulls.get(column / 8));
            let null = bits.is_some_and(|bits| bits & (0x80 >> (column % 8)) != 0);
            if null || !wanted.contains(column) {
                bytes.skip(document, count)?;
            } else {
                let cell = field.read_bytes(bytes.take(document, count)?);
                wanted.put(&mut row, column, cell);
            }
        }
        if nulls.is_none() && bytes.used() == before {
            return Err(damaged(&document.path, "rows of no bytes"));
        }
        Ok(Some(row))
    }
}

/// The length that begins a variable cell.
fn length(document: &mut Document, bytes: &mut Bytes) -> Result<usize> {
    let mut length = [0; 4];
    length.copy_from_slice(bytes.take(document, 4)?);
    usize::try_from(i32::from_be_bytes(length))
        .map_err(|_| damaged(&document.path, "a cell of negative length"))
}

impl Iterator for BinaryRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}
