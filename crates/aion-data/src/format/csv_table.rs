//! Tables as text: CSV, and ECSV with its units in a commented header (Astropy APE 6). The
//! delimiter (comma, tab, semicolon, space) is taken from the line of column names.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Cell, Column, Row, Rows, Table, within};

/// The longest line of column names or comments, bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// An open text table.
pub struct CsvTable {
    path: PathBuf,
    columns: Vec<Column>,
    records: csv::Reader<Box<dyn Read + Send>>,
}

impl CsvTable {
    /// Reads the comments and the column names from `source`.
    ///
    /// Errors: no line of names, a name that is no text.
    pub fn open(path: &Path, source: Box<dyn Read + Send>) -> Result<Self> {
        let mut lines = BufReader::new(source);
        let mut comments = String::new();
        let names = loop {
            let line = read_line(path, &mut lines)?;
            match line.strip_prefix('#') {
                Some(comment) => comments.push_str(comment),
                None => break line,
            }
        };
        if names.trim().is_empty() {
            return Err(DataError::new(Place::file(path), Problem::Empty));
        }
        let delimiter = delimiter_of(&names);
        let source: Box<dyn Read + Send> = Box::new(Cursor::new(names.into_bytes()).chain(lines));
        let mut records = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .comment(Some(b'#'))
            .flexible(true)
            .from_reader(source);
        let header = records
            .headers()
            .map_err(|error| container(path, error.to_string()))?;
        let units = declared_units(&comments);
        let columns = header
            .iter()
            .map(|name| Column {
                name: name.trim().to_owned(),
                unit: units.get(name.trim()).cloned(),
            })
            .collect();
        Ok(CsvTable {
            path: path.to_owned(),
            columns,
            records,
        })
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
        let CsvTable {
            path,
            columns,
            records,
        } = *self;
        let wanted = wanted.to_vec();
        let mut damaged = false;
        let rows = records
            .into_records()
            .enumerate()
            .map_while(move |(index, record)| {
                if damaged {
                    return None;
                }
                damaged = record.as_ref().is_err_and(csv::Error::is_io_error);
                let row = record.map_err(|error| container(&path, error.to_string()));
                let row = row.and_then(|record| cells(&path, &columns, &wanted, &record));
                Some(row.map_err(|error| error.in_object(&format!("row {}", index + 1))))
            });
        Ok(Box::new(within(rows, range)))
    }
}

fn cells(path: &Path, columns: &[Column], wanted: &[usize], record: &StringRecord) -> Result<Row> {
    if record.len() != columns.len() {
        let what = format!("{} cells, expected {}", record.len(), columns.len());
        return Err(DataError::new(Place::file(path), Problem::Mismatch(what)));
    }
    let cell = |&index: &usize| Cell::from_text(record.get(index).unwrap_or_default());
    Ok(wanted.iter().map(cell).collect())
}

fn container(path: &Path, reason: String) -> DataError {
    let problem = Problem::Container {
        format: "CSV",
        reason,
    };
    DataError::new(Place::file(path), problem)
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

/// Units by column name from the YAML that Astropy writes: `- {name: ra, unit: deg, ...}`.
pub(super) fn declared_units(yaml: &str) -> BTreeMap<String, String> {
    let field = |entry: &str, key: &str| -> Option<String> {
        let (_, rest) = entry.split_once(key)?;
        let value = rest.split([',', '}']).next()?.trim();
        Some(value.trim_matches(['\'', '"']).to_owned())
    };
    yaml.split("- {")
        .skip(1)
        .filter_map(|entry| Some((field(entry, "name:")?, field(entry, "unit:")?)))
        .collect()
}
