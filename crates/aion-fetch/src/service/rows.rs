//! Tables as services answer them in CSV.

use csv::{ReaderBuilder, StringRecord};

use crate::error::FetchError;

/// A table in memory; its cells are text as it came.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Column names.
    pub names: Vec<String>,
    /// Rows.
    pub rows: Vec<StringRecord>,
}

impl Rows {
    /// Parses CSV whose comments begin with `#`; SkyServer's first line is one.
    ///
    /// # Errors
    /// [`FetchError::Unexpected`] where it is no table with the columns `required`, in any case.
    pub fn parse(text: &str, required: &[&str]) -> Result<Self, FetchError> {
        let unexpected =
            |what: String| FetchError::Unexpected(format!("asked for a table: {what}"));
        let mut reader = ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        let header = reader
            .headers()
            .map_err(|error| unexpected(error.to_string()))?;
        let names: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        let rows: Result<Vec<StringRecord>, csv::Error> = reader.records().collect();
        let rows = Rows {
            names,
            rows: rows.map_err(|error| unexpected(error.to_string()))?,
        };
        for name in required {
            if rows.column(name).is_none() {
                let found: String = rows.names.join(", ").chars().take(200).collect();
                return Err(unexpected(format!(
                    "column {name} is missing among {found}"
                )));
            }
        }
        Ok(rows)
    }

    /// The index of a column, in any case.
    pub fn column(&self, name: &str) -> Option<usize> {
        let same = |found: &String| found.eq_ignore_ascii_case(name);
        self.names.iter().position(same)
    }

    /// A cell of a row, without the blanks around it; empty where there is none.
    pub fn cell<'a>(&self, row: &'a StringRecord, name: &str) -> &'a str {
        let cell = self.column(name).and_then(|column| row.get(column));
        cell.unwrap_or_default().trim()
    }

    /// A cell that must be a whole number.
    ///
    /// # Errors
    /// [`FetchError::Unexpected`] where it is none.
    pub fn whole(&self, row: &StringRecord, name: &str) -> Result<u64, FetchError> {
        let cell = self.cell(row, name);
        cell.parse().map_err(|_| {
            FetchError::Unexpected(format!(
                "asked for a table: {name} is `{cell}`, no whole number"
            ))
        })
    }
}
