//! What a command prints when it is done: JSON for machines, tables for humans.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::problems::Problems;
use crate::ranges::Ranges;

/// The end of a command that wrote a file.
#[derive(Debug)]
pub struct Summary<'a> {
    /// What was written.
    pub output: &'a Path,
    /// Objects in it.
    pub objects: usize,
    /// Objects left out.
    pub problems: &'a Problems,
    /// Values out of range, where observations were encoded.
    pub ranges: Option<&'a Ranges>,
    /// What else is to be said, for machines.
    pub more: Map<String, Value>,
}

impl Summary<'_> {
    /// Prints to stdout, and the list of objects left out to stderr.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        self.problems.print();
        if json {
            return print_json(&self.json());
        }
        let skipped = match self.problems.list().len() {
            0 => String::new(),
            count => format!(", {count} left out"),
        };
        let objects = counted(self.objects, "object");
        let line = format!("{}: {objects}{skipped}", self.output.display());
        print_text(&line)?;
        match self.ranges.and_then(Ranges::table) {
            Some(rows) => print_table(&rows),
            None => Ok(()),
        }
    }

    fn json(&self) -> Value {
        let mut all = Map::new();
        all.insert("output".into(), json!(self.output.display().to_string()));
        all.insert("objects".into(), json!(self.objects));
        all.insert("skipped".into(), json!(self.problems.list()));
        if let Some(ranges) = self.ranges {
            all.insert("ranges".into(), json!(ranges.by_modality()));
            all.insert("out_of_range".into(), json!(ranges.by_object()));
        }
        all.extend(self.more.clone());
        Value::Object(all)
    }
}

/// A number with its noun.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Prints a value to stdout.
///
/// # Errors
/// Stdout cannot be written.
pub fn print_json(value: &Value) -> anyhow::Result<()> {
    print_text(&serde_json::to_string_pretty(value)?)
}

/// Prints lines to stdout.
///
/// # Errors
/// Stdout cannot be written.
pub fn print_text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Prints rows, the first being headings, with aligned columns.
///
/// # Errors
/// Stdout cannot be written.
pub fn print_table(rows: &[Vec<String>]) -> anyhow::Result<()> {
    print_text(&aligned(rows))
}

/// Rows with columns as wide as their widest cell; numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let column = |index: usize| rows.iter().filter_map(move |row| row.get(index));
    let width = |index: usize| column(index).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|index| width(index).unwrap_or(0))
        .collect();
    let starts_with_digit = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit());
    let numeric: Vec<bool> = (0..columns)
        .map(|index| column(index).skip(1).all(starts_with_digit))
        .collect();
    let cell = |index: usize, cell: &String| {
        let space = " ".repeat(widths[index].saturating_sub(cell.chars().count()));
        if numeric[index] {
            format!("{space}{cell}")
        } else {
            format!("{cell}{space}")
        }
    };
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().enumerate().map(|(i, c)| cell(i, c)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let lines: Vec<String> = rows.iter().map(line).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["key", "n"], ["tok_z", "1"], ["a", "25"]];
        let rows: Vec<Vec<String>> = rows.map(|r| r.map(str::to_owned).to_vec()).to_vec();
        assert_eq!(aligned(&rows), "key     n\ntok_z   1\na      25");
    }
}
