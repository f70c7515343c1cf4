//! A table of objects, one row each, whatever container holds it.

use std::ops::Range;

use crate::error::Result;

/// A column as the container describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, as written.
    pub name: String,
    /// Its physical unit, where the container says it.
    pub unit: Option<String>,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Null, masked, NaN or empty.
    Missing,
    /// A whole number: identifiers stay exact.
    Integer(i128),
    /// A real number, never NaN.
    Number(f64),
    /// Anything written as text, numbers of a CSV file included.
    Text(String),
    /// True or false.
    Flag(bool),
    /// An array of numbers along one axis, NaN where a value is missing; truth values are 1 and 0.
    List(Vec<f64>),
    /// An array of numbers along several axes.
    Array(Array),
    /// Several texts.
    Words(Vec<String>),
    /// Bytes that are no text, such as a picture's.
    Bytes(Vec<u8>),
}

/// Numbers along several axes, as a cell holds them.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Axis lengths, slowest first. Where a container's lists are ragged, their product is not the
    /// number of values.
    pub shape: Vec<usize>,
    /// The values, last axis fastest, NaN where one is missing; truth values are 1 and 0.
    pub values: Vec<f32>,
}

/// The cell of an array with the axes `shape`.
pub fn array_cell(shape: Vec<usize>, values: impl Iterator<Item = f64>) -> Cell {
    if shape.len() < 2 {
        return Cell::List(values.collect());
    }
    let values = values.map(|value| value as f32).collect();
    Cell::Array(Array { shape, values })
}

/// The cells of one row, in the order asked for.
pub type Row = Vec<Cell>;

/// Rows in file order. An error stands for one row, or for all that follow when the container
/// cannot be read on.
pub type Rows = Box<dyn Iterator<Item = Result<Row>> + Send>;

/// An open table.
pub trait Table: Send {
    /// Its columns in file order.
    fn columns(&self) -> &[Column];

    /// The number of rows, where the container says it without being read.
    fn row_count(&self) -> Option<u64>;

    /// The cells of the columns with the indices `wanted`, row by row, of the rows in `range`
    /// (counted from 0; what lies beyond the end is left out).
    ///
    /// Errors: a column of a type that holds no numbers or text; a damaged container.
    fn rows(self: Box<Self>, wanted: &[usize], range: Range<u64>) -> Result<Rows>;
}

/// The items whose places lie in `range`, for containers that cannot go to a row.
pub fn within<T>(items: impl Iterator<Item = T>, range: Range<u64>) -> impl Iterator<Item = T> {
    let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    items
        .skip(count(range.start))
        .take(count(range.end.saturating_sub(range.start)))
}

/// Spellings of "no value" in text tables, lower case.
const MISSING: [&str; 7] = ["", "null", "nan", "na", "n/a", "none", "--"];

fn is_missing(text: &str) -> bool {
    text.len() <= 4
        && MISSING
            .iter()
            .any(|missing| missing.eq_ignore_ascii_case(text))
}

impl Cell {
    /// A real number, or [`Cell::Missing`] for NaN.
    pub fn from_number(value: f64) -> Cell {
        if value.is_nan() {
            Cell::Missing
        } else {
            Cell::Number(value)
        }
    }

    /// Text without the blanks around it, or [`Cell::Missing`] for a spelling of "no value".
    pub fn from_text(text: &str) -> Cell {
        let text = text.trim();
        if is_missing(text) {
            Cell::Missing
        } else {
            Cell::Text(text.to_owned())
        }
    }

    /// The cell as one number; `None` when it is missing. The error says what it is instead.
    pub fn number(&self) -> std::result::Result<Option<f64>, String> {
        match self {
            Cell::Missing => Ok(None),
            Cell::Integer(value) => Ok(Some(*value as f64)),
            Cell::Number(value) => Ok(Some(*value)),
            Cell::Text(text) => text
                .parse::<f64>()
                .map(Some)
                .map_err(|_| format!("`{}` is not a number", shortened(text))),
            Cell::List(values) => match values.as_slice() {
                [] => Ok(None),
                [value] => Ok(Some(*value).filter(|value| !value.is_nan())),
                _ => Err(format!("{} values, expected one", values.len())),
            },
            Cell::Flag(value) => Err(format!("`{value}` is not a number")),
            other => Err(format!("{}, expected one number", other.kind())),
        }
    }

    /// The cell as an array of numbers; `None` when it is missing or empty. Text such as
    /// `(1.0, 2.0)` or `[1.0, 2.0]` is read. The error says what it is instead.
    pub fn list(&self) -> std::result::Result<Option<Vec<f64>>, String> {
        match self {
            Cell::Text(text) => parse_list(text),
            Cell::List(values) if values.is_empty() => Ok(None),
            Cell::List(values) => Ok(Some(values.clone())),
            other => Ok(other.number()?.map(|value| vec![value])),
        }
    }

    /// The cell as an identifier; `None` when it is missing. Real numbers are refused, because
    /// they round long identifiers; so is text that was written from one (`5.85e+18`, `12.0`).
    pub fn identifier(&self) -> std::result::Result<Option<String>, String> {
        match self {
            Cell::Missing => Ok(None),
            Cell::Integer(value) => Ok(Some(value.to_string())),
            Cell::Text(text) if !is_real(text) => Ok(Some(text.clone())),
            Cell::Text(_) | Cell::Number(_) | Cell::List(_) => {
                Err("identifiers are integers or text, not real numbers".into())
            }
            other => Err(format!(
                "identifiers are integers or text, not {}",
                other.kind()
            )),
        }
    }

    /// Whether the cell holds more than one value, or bytes.
    pub fn is_array(&self) -> bool {
        matches!(
            self,
            Cell::List(_) | Cell::Array(_) | Cell::Words(_) | Cell::Bytes(_)
        )
    }

    /// What the cell holds, for messages.
    fn kind(&self) -> String {
        match self {
            Cell::Missing => "no value".into(),
            Cell::Integer(_) | Cell::Number(_) => "a number".into(),
            Cell::Flag(_) => "true or false".into(),
            Cell::Text(text) => format!("`{}`", shortened(text)),
            Cell::List(values) => format!("{} numbers", values.len()),
            Cell::Array(array) => format!("an array of shape {:?}", array.shape),
            Cell::Words(words) => format!("{} texts", words.len()),
            Cell::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }

    /// The cell as text to carry along; `None` when it is missing.
    pub fn label(&self) -> Option<String> {
        match self {
            Cell::Missing | Cell::List(_) | Cell::Array(_) | Cell::Words(_) | Cell::Bytes(_) => {
                None
            }
            Cell::Flag(value) => Some(value.to_string()),
            Cell::Integer(value) => Some(value.to_string()),
            // Single precision keeps the digits that it was written with.
            Cell::Number(value) if f64::from(*value as f32) == *value => {
                Some((*value as f32).to_string())
            }
            Cell::Number(value) => Some(value.to_string()),
            Cell::Text(text) => Some(text.clone()),
        }
    }
}

fn parse_list(text: &str) -> std::result::Result<Option<Vec<f64>>, String> {
    let inner = text.trim_matches(|c: char| "()[]{}".contains(c) || c.is_whitespace());
    if inner.is_empty() {
        return Ok(None);
    }
    let separator = |c: char| c == ',' || c.is_whitespace();
    let values: std::result::Result<Vec<f64>, String> = inner
        .split(separator)
        .filter(|part| !part.is_empty())
        .map(|part| match part.parse() {
            Ok(value) => Ok(value),
            Err(_) if is_missing(part) => Ok(f64::NAN),
            Err(_) => Err(format!("`{}` is not a number", shortened(part))),
        })
        .collect();
    values.map(Some)
}

/// Whether text is a number with a decimal point or a signed exponent.
fn is_real(text: &str) -> bool {
    let marked = text.contains('.') || text.contains("e+") || text.contains("E+");
    marked && text.parse::<f64>().is_ok()
}

/// The text as it fits into a message.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
