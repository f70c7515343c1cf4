//! VOTable documents (IVOA VOTable 1.5), as TAP and DataLink services answer: the tables of a
//! document one after the other, their rows streamed in any of the three serialisations in XML
//! (TABLEDATA, BINARY, BINARY2). Rows in other files (`href`, FITS) are refused.

mod base64;
mod field;
mod rows;

use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Column, Rows, Table, shortened, within};
use field::Field;

/// The most bytes of one piece of a document: a tag, a cell, a comment.
const LONGEST_PIECE: usize = 64 << 20;

/// Bytes read at a time.
const BUFFER: usize = 1 << 18;

/// An open document, at one of its tables.
pub struct VoTable {
    document: Document,
    fields: Vec<Field>,
    columns: Vec<Column>,
    data: Data,
}

/// How the rows of the current table are written, from where the document stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// No rows.
    None,
    /// Elements.
    Text,
    /// Base64 of big-endian values; `masked` with a bit a column that says what is null (BINARY2).
    Binary { masked: bool },
}

impl VoTable {
    /// Opens a document; [`VoTable::next_table`] finds its tables.
    pub fn open(path: &Path, source: Box<dyn Read + Send>) -> Self {
        let source = Bounded {
            inner: BufReader::with_capacity(BUFFER, source),
            left: LONGEST_PIECE,
        };
        VoTable {
            document: Document {
                path: path.to_owned(),
                reader: Reader::from_reader(source),
                buffer: Vec::new(),
            },
            fields: Vec::new(),
            columns: Vec::new(),
            data: Data::None,
        }
    }

    /// Goes to the next table that has data; false when there is none.
    ///
    /// Errors: not a VOTable, damaged or truncated XML, a service's error message, a column or a
    /// stream that cannot be read.
    pub fn next_table(&mut self) -> Result<bool> {
        let at_start = self.columns.is_empty() && self.document.reader.buffer_position() == 0;
        if let Data::Binary { .. } = self.data {
            base64::skip(&mut self.document)?;
        }
        self.data = Data::None;
        if at_start {
            self.document.expect_root()?;
        }
        let mut in_field = false;
        let mut masked = false;
        loop {
            let path = &self.document.path;
            let event = next_event(path, &mut self.document.reader, &mut self.document.buffer)?;
            let (tag, empty) = match &event {
                Event::Start(tag) => (tag, false),
                Event::Empty(tag) => (tag, true),
                Event::End(tag) => {
                    in_field &= tag.local_name().as_ref() != "FIELD";
                    continue;
                }
                Event::Eof => return Ok(false),
                _ => continue,
            };
            match tag.local_name().as_ref() {
                "TABLE" => self.fields.clear(),
                "FIELD" => {
                    in_field = !empty;
                    let field = Field::new(|name| attribute(tag, name));
                    self.fields
                        .push(field.map_err(|error| error.in_file(path))?);
                }
                "VALUES" if in_field => {
                    if let (Some(field), Some(null)) =
                        (self.fields.last_mut(), attribute(tag, "null"))
                    {
                        field.set_null(&null);
                    }
                }
                "INFO" if is_error(tag) => {
                    return Err(self.document.service_error(empty));
                }
                "TABLEDATA" => {
                    self.data = if empty { Data::None } else { Data::Text };
                    return Ok(self.at_table());
                }
                "BINARY" => masked = false,
                "BINARY2" => masked = true,
                "STREAM" => {
                    refuse_other_streams(path, tag)?;
                    self.data = if empty {
                        Data::None
                    } else {
                        Data::Binary { masked }
                    };
                    return Ok(self.at_table());
                }
                "FITS" => {
                    return Err(damaged(
                        path,
                        "its rows are a FITS file; expected that file",
                    ));
                }
                _ => {}
            }
        }
    }

    fn at_table(&mut self) -> bool {
        let column = |field: &Field| Column {
            name: field.name.clone(),
            unit: field.unit.clone(),
        };
        self.columns = self.fields.iter().map(column).collect();
        true
    }
}

impl Table for VoTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn row_count(&self) -> Option<u64> {
        None
    }

    fn rows(self: Box<Self>, wanted: &[usize], range: Range<u64>) -> Result<Rows> {
        for field in wanted.iter().filter_map(|&index| self.fields.get(index)) {
            field.readable().map_err(|problem| {
                let place = Place::file(&self.document.path).with_field(&field.name);
                DataError::new(place, problem)
            })?;
        }
        let VoTable {
            document,
            fields,
            data,
            ..
        } = *self;
        Ok(match data {
            Data::None => Box::new(std::iter::empty()),
            Data::Text => {
                let rows = rows::TextRows::new(document, fields, wanted);
                Box::new(within(rows, range))
            }
            Data::Binary { masked } => {
                let rows = rows::BinaryRows::new(document, fields, wanted, masked);
                Box::new(within(rows, range))
            }
        })
    }
}

/// The XML and where it comes from.
struct Document {
    path: PathBuf,
    reader: Reader<Bounded>,
    buffer: Vec<u8>,
}

impl Document {
    /// The next piece of XML.
    fn event(&mut self) -> Result<Event<'_>> {
        next_event(&self.path, &mut self.reader, &mut self.buffer)
    }

    fn expect_root(&mut self) -> Result<()> {
        loop {
            let root = match self.event()? {
                Event::Start(tag) | Event::Empty(tag) => tag.local_name().as_ref().to_owned(),
                Event::Eof => return Err(self.truncated()),
                _ => continue,
            };
            if root == "VOTABLE" {
                return Ok(());
            }
            let what = format!("XML with root `{}`; expected a VOTable", shortened(&root));
            let place = Place::file(&self.path);
            return Err(DataError::new(place, Problem::Unrecognised(what)));
        }
    }

    /// What stands behind the rows: the service may say only there that it failed.
    ///
    /// Errors: it did, or the document ends before its RESOURCE does.
    fn finish(&mut self) -> Result<()> {
        loop {
            let failed = match self.event()? {
                Event::End(tag) if tag.local_name().as_ref() == "RESOURCE" => return Ok(()),
                Event::Start(tag) if is_error(&tag) => Some(false),
                Event::Empty(tag) if is_error(&tag) => Some(true),
                Event::Eof => return Err(self.truncated()),
                _ => None,
            };
            if let Some(empty) = failed {
                return Err(self.service_error(empty));
            }
        }
    }

    /// The message in the INFO element just opened, as an error.
    fn service_error(&mut self, empty: bool) -> DataError {
        let mut message = String::new();
        while !empty && message.len() < 1000 {
            match self.event() {
                Ok(Event::Text(text)) => message.push_str(&text),
                Ok(Event::CData(text)) => message.push_str(&text),
                Ok(Event::GeneralRef(_) | Event::Comment(_)) => {}
                _ => break,
            }
        }
        let reason = format!("the service answered with an error: {}", message.trim());
        damaged(&self.path, reason)
    }

    fn truncated(&self) -> DataError {
        damaged(&self.path, "it ends in the middle")
    }
}

fn next_event<'b>(
    path: &Path,
    reader: &mut Reader<Bounded>,
    buffer: &'b mut Vec<u8>,
) -> Result<Event<'b>> {
    buffer.clear();
    reader.get_mut().left = LONGEST_PIECE;
    reader
        .read_event_into(buffer)
        .map_err(|error| damaged(path, error.to_string()))
}

fn damaged(path: &Path, reason: impl Into<String>) -> DataError {
    let problem = Problem::Container {
        format: "VOTable",
        reason: reason.into(),
    };
    DataError::new(Place::file(path), problem)
}

/// The value of an attribute; `None` when it is absent or cannot be unescaped.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok().flatten()?;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.trim().to_owned())
}

fn is_error(tag: &BytesStart<'_>) -> bool {
    let is = |name: &str, value: &str| {
        attribute(tag, name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    tag.local_name().as_ref() == "INFO" && is("name", "QUERY_STATUS") && is("value", "ERROR")
}

fn refuse_other_streams(path: &Path, tag: &BytesStart<'_>) -> Result<()> {
    if let Some(href) = attribute(tag, "href") {
        let reason = format!("its rows are elsewhere: {}", shortened(&href));
        return Err(damaged(path, reason));
    }
    match attribute(tag, "encoding").as_deref() {
        Some("base64") => Ok(()),
        other => {
            let encoding = other.unwrap_or("none");
            let reason = format!("the encoding of its rows is {encoding}, expected base64");
            Err(damaged(path, reason))
        }
    }
}

/// A source that refuses to go on when one piece of XML grows beyond all measure, since the parser
/// holds a piece as a whole.
struct Bounded {
    inner: BufReader<Box<dyn Read + Send>>,
    left: usize,
}

impl std::io::Read for Bounded {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(out)
    }
}

impl std::io::BufRead for Bounded {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.left == 0 {
            return Err(std::io::Error::other("a tag or cell of more than 64 MiB"));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.inner.consume(count);
    }
}
