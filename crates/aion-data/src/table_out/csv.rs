//! Tables as comma-separated values: numbers and text only.

use std::io::BufWriter;
use std::path::Path;

use super::{Column, OBJECT_ID, Values, width};
use crate::atomic::{io_error, write_atomically};
use crate::error::{DataError, Place, Problem, Result};

pub(super) fn write(path: &Path, ids: &[String], columns: &[Column]) -> Result<()> {
    for column in columns {
        require_single(path, column)?;
    }
    let failed = |error: csv::Error| io_error(path, error.into());
    write_atomically(path, |file| {
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let names = columns.iter().map(|column| column.name.as_str());
        writer
            .write_record(std::iter::once(OBJECT_ID).chain(names))
            .map_err(failed)?;
        for (row, id) in ids.iter().enumerate() {
            let cells = columns.iter().map(|column| cell(&column.values, row));
            let record = std::iter::once(id.clone()).chain(cells);
            writer.write_record(record).map_err(failed)?;
        }
        writer.flush().map_err(|error| io_error(path, error))
    })
}

fn require_single(path: &Path, column: &Column) -> Result<()> {
    let single = match &column.values {
        Values::F32 { shape, .. } | Values::I64 { shape, .. } => width(shape) == 1,
        Values::F64(_) | Values::Cells(_) | Values::Text(_) => true,
        Values::Ragged { .. } => false,
    };
    if single {
        return Ok(());
    }
    let problem = "a CSV file holds one number a cell; write arrays to .parquet or .safetensors";
    let place = Place::file(path).with_field(&column.name);
    Err(DataError::new(
        place,
        Problem::Unrecognised(problem.to_owned()),
    ))
}

/// One cell; empty where there is no value.
fn cell(values: &Values, row: usize) -> String {
    let text = match values {
        Values::F32 { data, .. } => data.get(row).map(f32::to_string),
        Values::I64 { data, .. } => data.get(row).map(i64::to_string),
        Values::F64(values) => values.get(row).copied().flatten().map(|v| v.to_string()),
        Values::Cells(values) => values.get(row).copied().flatten().map(|v| v.to_string()),
        Values::Text(values) => values.get(row).cloned().flatten(),
        Values::Ragged { .. } => None,
    };
    text.unwrap_or_default()
}
