//! Tables in FITS.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Column, DEC, Floats, OBJECT_ID, RA, Values};
use crate::error::{DataError, Place, Problem, Result};
use crate::fits_out::FitsTable;

pub(super) fn write(
    path: &Path,
    ids: &[String],
    columns: &[Column],
    metadata: &BTreeMap<String, String>,
    floats: Floats,
) -> Result<()> {
    if floats != Floats::F32 {
        let problem = "FITS has no real numbers of 16 bits; write them to .parquet or .safetensors";
        let problem = Problem::Unrecognised(problem.to_owned());
        return Err(DataError::new(Place::file(path), problem));
    }
    let mut table = FitsTable::new();
    table.text(path, OBJECT_ID, ids.iter().map(|id| Some(id.as_str())))?;
    for column in columns {
        let name = column.name.as_str();
        match &column.values {
            Values::F32 { shape, data } => table.floats(path, name, (shape, data.clone()))?,
            Values::I64 { shape, data } => table.integers(path, name, (shape, data.clone()))?,
            Values::F64(values) => {
                let unit = [RA, DEC].contains(&name).then_some("deg");
                table.doubles(path, (name, unit), values.iter().copied())?;
            }
            Values::Cells(values) => {
                let values = values.iter().map(|value| value.unwrap_or(-1));
                table.integers(path, name, (&[], values.collect()))?;
            }
            Values::Text(values) => {
                table.text(path, name, values.iter().map(Option::as_deref))?;
            }
            Values::Ragged { width, rows } => {
                let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
                let mut data = Vec::with_capacity(longest * rows.len());
                for row in rows {
                    let end = data.len() + longest;
                    data.extend_from_slice(row);
                    data.resize(end, f32::NAN);
                }
                let shape = [longest / (*width).max(1), *width];
                table.floats(path, name, (&shape, data))?;
            }
        }
    }
    table.write(path, "RESULTS", metadata)
}
