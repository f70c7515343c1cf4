//! Tables as text, streamed: CSV, TSV and ECSV. Plain tables take their delimiter (comma, tab,
//! semicolon, blank) from the line of column names; ECSV says it, with units, in its header.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::error::{DataError, Place, Problem, Result};
use crate::format::ecsv::{self, Described};
use crate::format::table::{Cell, Column, Row, Rows, Table, shortened, within};

/// The longest line of column names or comments, bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// Bytes read at a time.
const BUFFER: usize = 1 << 18;

/// An open text table.
pub struct CsvTable {
    columns: Vec<Column>,
    records: Records,
}

impl CsvTable {
    /// Reads the comments and the column names from `source`.
    ///
    /// Errors: no line of names; a header that cannot be read or names other columns.
    pub fn open(path: &Path, source: Box<dyn Read + Send>) -> Result<Self> {
        let mut lines = BufReader::with_capacity(BUFFER, source);
        let Beginning { names, yaml } = Beginning::read(path, &mut lines)?;
        let header = match &yaml {
            Some(yaml) => Some(ecsv::parse(yaml).map_err(|reason| container(path, reason))?),
            None => None,
        };
        let delimiter = match &header {
            Some(header) => header.delimiter,
            None => delimiter_of(&names),
        };
        let source: Box<dyn Read + Send> = Box::new(Cursor::new(names.into_bytes()).chain(lines));
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .comment(Some(b'#'))
            .flexible(true)
            .buffer_capacity(BUFFER)
            .from_reader(source);
        let names = reader
            .headers()
            .map_err(|error| container(path, error.to_string()))?;
        let names: Vec<&str> = names.iter().map(str::trim).collect();
        let described = header.map_or_else(Vec::new, |header| header.columns);
        match described.as_slice() {
            [] => refuse_no_names(path, &names, delimiter)?,
            described => refuse_other_names(path, &names, described)?,
        }
        let unit = |index: usize| described.get(index)?.unit.clone();
        let columns = names.iter().enumerate().map(|(index, name)| Column {
            name: (*name).to_owned(),
            unit: unit(index),
        });
        let columns: Vec<Column> = columns.collect();
        let records = Records {
            path: path.to_owned(),
            width: columns.len(),
            blanks_count: delimiter == b' ' && described.is_empty(),
            wanted: Vec::new(),
            record: StringRecord::new(),
            number: 0,
            ended: false,
            reader,
        };
        Ok(CsvTable { columns, records })
    }
}

impl Table for CsvTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn row_count(&self) -> Option<u64> {
        None
    }

    fn rows(self: Box<Self>, wanted: &[usize], range: Range<u64>) -> Result<Rows> {
        let mut records = self.records;
        records.wanted = wanted.to_vec();
        Ok(Box::new(within(records, range)))
    }
}

/// The lines above the rows.
struct Beginning {
    /// The line of column names.
    names: String,
    /// The comments of an ECSV file, without their marks.
    yaml: Option<String>,
}

impl Beginning {
    fn read(path: &Path, lines: &mut impl BufRead) -> Result<Self> {
        let mut yaml = None;
        let mut first = true;
        loop {
            let line = read_line(path, lines)?;
            let line = match first {
                true => line.trim_start_matches('\u{feff}'),
                false => &line,
            };
            let Some(comment) = line.strip_prefix('#') else {
                if line.trim().is_empty() {
                    return Err(DataError::new(Place::file(path), Problem::Empty));
                }
                let names = line.to_owned();
                return Ok(Beginning { names, yaml });
            };
            if first && ecsv::is_mark(line) {
                yaml = Some(String::new());
            } else if let Some(yaml) = &mut yaml {
                yaml.push_str(comment.strip_prefix(' ').unwrap_or(comment));
                if yaml.len() > ecsv::LONGEST_HEADER {
                    return Err(container(path, "the header is too long".into()));
                }
            }
            first = false;
        }
    }
}

fn read_line(path: &Path, lines: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    lines
        .take(LONGEST_LINE)
        .read_line(&mut line)
        .map_err(|error| container(path, error.to_string()))?;
    if line.len() as u64 == LONGEST_LINE {
        return Err(container(path, "no end of the first line".into()));
    }
    Ok(line)
}

fn delimiter_of(names: &str) -> u8 {
    let names = names.trim_end();
    *b",\t; "
        .iter()
        .find(|&&delimiter| names.contains(char::from(delimiter)))
        .unwrap_or(&b',')
}

/// Refuses a plain table whose first line is a row, or whose names are aligned with blanks: its
/// rows could shift without a sign.
fn refuse_no_names(path: &Path, names: &[&str], delimiter: u8) -> Result<()> {
    let number = |name: &&&str| name.starts_with(|c: char| !c.is_alphabetic() && c != '_');
    let number = |name: &&&str| number(name) && name.parse::<f64>().is_ok();
    if let Some(number) = names.iter().find(number) {
        let what = format!("a line of column names: the first line holds the number {number}");
        return Err(DataError::new(Place::file(path), Problem::Missing(what)));
    }
    if delimiter == b' ' && names.iter().any(|name| name.is_empty()) {
        let what = "column names are separated by several blanks; expected commas, tabs or \
                    single blanks";
        return Err(DataError::new(
            Place::file(path),
            Problem::Unrecognised(what.into()),
        ));
    }
    Ok(())
}

/// Refuses an ECSV table whose line of names disagrees with its header.
fn refuse_other_names(path: &Path, names: &[&str], described: &[Described]) -> Result<()> {
    let described: Vec<&str> = described
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    if described == names {
        return Ok(());
    }
    let pairs = described.iter().zip(names);
    let differs = pairs
        .into_iter()
        .find(|(described, name)| described != name);
    let what = match differs {
        Some((described, name)) => {
            format!(
                "the header describes column `{}` where the table has `{}`",
                shortened(described),
                shortened(name)
            )
        }
        None => format!(
            "the header describes {} columns, the table has {}",
            described.len(),
            names.len()
        ),
    };
    Err(DataError::new(Place::file(path), Problem::Mismatch(what)))
}

/// The rows of a table, each read into the same record.
struct Records {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    record: StringRecord,
    wanted: Vec<usize>,
    /// Cells of a row.
    width: usize,
    /// Whether an empty cell is a second blank rather than a missing value.
    blanks_count: bool,
    number: usize,
    ended: bool,
}

impl Records {
    fn row(&self) -> Result<Row> {
        let mismatch = |what: String| {
            let place = Place::file(&self.path).with_object(format!("row {}", self.number));
            DataError::new(place, Problem::Mismatch(what))
        };
        if self.record.len() != self.width {
            let what = format!("{} cells, expected {}", self.record.len(), self.width);
            return Err(mismatch(what));
        }
        if self.blanks_count && self.record.iter().any(str::is_empty) {
            let what = "several blanks between cells, expected one (or commas or tabs)";
            return Err(mismatch(what.into()));
        }
        Ok(self.wanted.iter().map(|&index| self.cell(index)).collect())
    }

    /// A cell; truth values are written small, as other containers give them.
    fn cell(&self, index: usize) -> Cell {
        match self.record.get(index).unwrap_or_default() {
            "True" | "TRUE" => Cell::Text("true".to_owned()),
            "False" | "FALSE" => Cell::Text("false".to_owned()),
            text => Cell::from_text(text),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.reader.read_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => {
                self.number += 1;
                Some(self.row())
            }
            Err(error) => {
                self.number += 1;
                self.ended = error.is_io_error();
                let error = container(&self.path, error.to_string());
                Some(Err(error.in_object(&format!("row {}", self.number))))
            }
        }
    }
}

fn container(path: &Path, reason: String) -> DataError {
    let problem = Problem::Container {
        format: "CSV",
        reason,
    };
    DataError::new(Place::file(path), problem)
}
