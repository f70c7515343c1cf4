//! The table on the terminal, as wide as it is.

use std::fmt::Write;

use crate::report::names::origin;
use crate::report::summary::{Row, decimals, interval, percent};

/// Width where the output is no terminal.
const PLAIN_WIDTH: usize = 150;
/// Between columns.
const SPACE: usize = 2;

/// A column: heading, least width it can be shortened to, and its turn to be left out when the
/// terminal is narrow (0: never).
struct Column {
    heading: &'static str,
    least: usize,
    leave_out: u8,
    right: bool,
    cell: fn(&Row) -> String,
}

const COLUMNS: [Column; 11] = [
    column("object", 18, 0, false, |row| row.object.clone()),
    column("origin", 9, 0, false, |row| {
        origin(row.simulated).to_owned()
    }),
    column("survey", 8, 3, false, |row| row.survey.clone()),
    column("measured", 12, 2, false, |row| row.measured_shortly.clone()),
    column("tokens", 6, 5, true, |row| row.num_tokens.to_string()),
    column("img R²", 6, 7, true, |row| decimals(row.image_r2, 2)),
    column("spec χ²", 7, 6, true, |row| {
        decimals(row.spectrum_chi2, 2)
    }),
    column("numbers", 7, 1, true, |row| percent(row.numbers_error)),
    column("z (16–84 %)", 19, 0, false, |row| interval(row.redshift)),
    column("z true", 6, 0, true, |row| decimals(row.redshift_true, 3)),
    column("nearest", 16, 4, false, |row| {
        row.nearest
            .first()
            .map_or_else(|| "–".to_owned(), |near| near.object.clone())
    }),
];

const fn column(
    heading: &'static str,
    least: usize,
    leave_out: u8,
    right: bool,
    cell: fn(&Row) -> String,
) -> Column {
    Column {
        heading,
        least,
        leave_out,
        right,
        cell,
    }
}

/// Columns of the terminal.
pub fn width() -> usize {
    let size = terminal_size::terminal_size();
    size.map_or(PLAIN_WIDTH, |(width, _)| usize::from(width.0).max(60))
}

/// The rows as a table of at most `width` columns, unless no column can be left out any more.
pub fn table(rows: &[Row], width: usize) -> String {
    let mut columns: Vec<&Column> = COLUMNS.iter().collect();
    let natural = |column: &Column| {
        let cells = rows.iter().map(|row| (column.cell)(row).chars().count());
        cells
            .chain([column.heading.chars().count()])
            .max()
            .unwrap_or_default()
    };
    let least = |columns: &[&Column]| -> usize {
        let each = columns
            .iter()
            .map(|c| natural(c).min(c.least.max(c.heading.chars().count())));
        each.sum::<usize>() + SPACE * columns.len().saturating_sub(1)
    };
    while least(&columns) > width {
        let first = columns
            .iter()
            .filter(|c| c.leave_out > 0)
            .map(|c| c.leave_out)
            .min();
        let Some(first) = first else {
            break;
        };
        columns.retain(|column| column.leave_out != first);
    }
    let mut widths: Vec<usize> = columns.iter().map(|column| natural(column)).collect();
    shrink(&mut widths, &columns, width);
    let mut text = String::new();
    let headings: Vec<String> = columns.iter().map(|c| c.heading.to_owned()).collect();
    push_line(&mut text, &headings, &widths, &columns);
    let total = widths.iter().sum::<usize>() + SPACE * widths.len().saturating_sub(1);
    text.push_str(&"─".repeat(total));
    text.push('\n');
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|column| (column.cell)(row)).collect();
        push_line(&mut text, &cells, &widths, &columns);
    }
    text
}

/// Takes from the widest column that can give, until the line fits; first from those that may be left
/// out.
fn shrink(widths: &mut [usize], columns: &[&Column], width: usize) {
    let spaces = SPACE * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + spaces > width {
        let can_give = |i: &usize| {
            let heading = columns[*i].heading.chars().count();
            widths[*i] > columns[*i].least.max(heading)
        };
        let turn = |i: &usize| (columns[*i].leave_out > 0, widths[*i]);
        let Some(widest) = (0..widths.len()).filter(can_give).max_by_key(turn) else {
            return;
        };
        widths[widest] -= 1;
    }
}

fn push_line(text: &mut String, cells: &[String], widths: &[usize], columns: &[&Column]) {
    let mut line = String::new();
    for ((cell, width), column) in cells.iter().zip(widths).zip(columns) {
        let cell = shortened(cell, *width);
        // Writing to a string cannot fail.
        let _ = if column.right {
            write!(line, "{cell:>width$}  ")
        } else {
            write!(line, "{cell:<width$}  ")
        };
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The text with its middle left out, since identifiers differ at their ends.
pub fn shortened(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (head, tail) = (kept / 2, kept - kept / 2);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

/// A paragraph in lines of at most `width` columns.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn row(object: &str, simulated: bool) -> Row {
        Row {
            object: object.to_owned(),
            survey: "Legacy + DESI".to_owned(),
            simulated,
            source: None,
            class: None,
            measured: "image, spectrum, segmap, catalogue, 13 numbers".to_owned(),
            measured_shortly: "img spec seg cat 13 num".to_owned(),
            tokens: BTreeMap::new(),
            num_tokens: 1024,
            reconstruction: BTreeMap::new(),
            image_r2: Some(0.9),
            spectrum_chi2: None,
            spectrum_r2: None,
            numbers_error: Some(0.012),
            redshift_true: Some(0.25),
            redshift: Some([0.3, 0.2, 0.4]),
            redshift_from: BTreeMap::new(),
            nearest: Vec::new(),
        }
    }

    #[test]
    fn the_table_fits_the_terminal() {
        let rows = [
            row("sim-galaxy-20260401-00000017", true),
            row("39633345008634465", false),
        ];
        for width in [60, 70, 80, 100, 140, 300] {
            let table = table(&rows, width);
            let longest = table.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{width}: {longest:?}\n{table}");
            assert_eq!(table.lines().count(), 4);
            assert!(table.contains("simulated") && table.contains("0.300 (0.200–0.400)"));
        }
        assert!(table(&rows, 300).contains("seg cat 13"));
    }

    #[test]
    fn paragraphs_are_wrapped() {
        assert_eq!(wrapped("one two  three", 7), "one two\nthree");
        assert_eq!(shortened("abcdefgh", 5), "ab…gh");
    }
}
