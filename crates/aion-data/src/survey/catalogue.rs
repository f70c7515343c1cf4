//! Tables of scalars and coefficient vectors, one object a row, of any survey and container.

use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Cell, Column, Row, Table};
use crate::modality::{Kind, ModalityId};
use crate::observation::{Measurement, Object};
use crate::reader::{Objects, ReadOptions};
use crate::survey::columns::{self, Layout};
use crate::survey::units;

/// The objects of a table. A cell that is empty, null or NaN leaves its modality out, and so does
/// a Legacy Survey flux that its companion columns declare unobserved.
///
/// Errors: no recognised column, or a unit that cannot be converted (the table); a cell that is no
/// number, an identifier that is a real number (the object).
pub fn read(path: &Path, table: Box<dyn Table>, options: &ReadOptions) -> Result<Objects> {
    let layout = columns::layout(table.columns(), options.survey);
    let positions_count = options.with_position && layout.position.is_some();
    if layout.fields.is_empty() && !positions_count {
        let found: Vec<&str> = table
            .columns()
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        let what = format!(
            "no recognised column among {}; expected token keys or survey columns: {}",
            found.join(", "),
            columns::expected()
        );
        return Err(DataError::new(
            Place::file(path),
            Problem::Unrecognised(what),
        ));
    }
    let plan = Plan::new(path, table.columns(), &layout)?;
    let range = options.range();
    let first = range.start as usize;
    let rows = table.rows(&plan.wanted, range)?;
    let objects = rows
        .enumerate()
        .map(move |(index, row)| row.and_then(|row| plan.object(first + index + 1, &row)));
    Ok(Box::new(objects))
}

/// Where each thing lies in a row of the wanted columns.
struct Plan {
    path: PathBuf,
    wanted: Vec<usize>,
    names: Vec<String>,
    id: Vec<usize>,
    position: Option<[Scaled; 2]>,
    fields: Vec<PlannedField>,
    flags: Vec<usize>,
}

/// A cell, and the factor to the unit wanted.
#[derive(Clone, Copy)]
struct Scaled {
    cell: usize,
    factor: f64,
}

struct PlannedField {
    id: ModalityId,
    value: Scaled,
    observed: Vec<usize>,
}

impl Plan {
    fn new(path: &Path, columns: &[Column], layout: &Layout) -> Result<Self> {
        let mut wanted: Vec<usize> = Vec::new();
        let mut cell = |column: usize| -> usize {
            let known = wanted.iter().position(|&other| other == column);
            known.unwrap_or_else(|| {
                wanted.push(column);
                wanted.len() - 1
            })
        };
        let unit = |column: usize| {
            columns
                .get(column)
                .and_then(|column| column.unit.as_deref())
        };
        let refuse = |column: usize| {
            let name = columns.get(column).map(|column| column.name.clone());
            let place = Place::file(path).with_field(name.unwrap_or_default());
            move |problem| DataError::new(place, problem)
        };
        let mut fields = Vec::new();
        for field in &layout.fields {
            let factor = units::factor(field.id.info(), unit(field.column));
            let factor = factor.map_err(refuse(field.column))?;
            fields.push(PlannedField {
                id: field.id,
                value: Scaled {
                    cell: cell(field.column),
                    factor,
                },
                observed: field.observed.iter().map(|&column| cell(column)).collect(),
            });
        }
        let mut angle = |column: usize| -> Result<Scaled> {
            let factor = units::factor_to_degrees(unit(column)).map_err(refuse(column))?;
            Ok(Scaled {
                cell: cell(column),
                factor,
            })
        };
        let position = match layout.position {
            Some((ra, dec)) => Some([angle(ra)?, angle(dec)?]),
            None => None,
        };
        Ok(Plan {
            path: path.to_owned(),
            id: layout.id.iter().map(|&column| cell(column)).collect(),
            position,
            fields,
            flags: layout.flags.iter().map(|&column| cell(column)).collect(),
            names: wanted
                .iter()
                .filter_map(|&column| Some(columns.get(column)?.name.clone()))
                .collect(),
            wanted,
        })
    }

    fn object(&self, number: usize, row: &Row) -> Result<Object> {
        let row = RowView { plan: self, row };
        let id = row.identifier(number)?;
        self.measured(&row, &id)
            .map_err(|error| error.in_object(&id))
    }

    fn measured(&self, row: &RowView<'_>, id: &str) -> Result<Object> {
        let mut object = Object::named(id);
        if let Some([ra, dec]) = self.position {
            object.ra = row.number(ra)?;
            object.dec = row.number(dec)?;
        }
        for field in &self.fields {
            if let Some(measurement) = row.measurement(field)? {
                object.measurements.insert(field.id, measurement);
            }
        }
        for &cell in &self.flags {
            if let Some(label) = row.cell(cell).label() {
                object.flags.insert(row.name(cell).to_owned(), label);
            }
        }
        Ok(object)
    }
}

/// A row with the names of its cells.
struct RowView<'a> {
    plan: &'a Plan,
    row: &'a Row,
}

impl RowView<'_> {
    fn cell(&self, cell: usize) -> &Cell {
        self.row.get(cell).unwrap_or(&Cell::Missing)
    }

    fn name(&self, cell: usize) -> &str {
        self.plan.names.get(cell).map_or("", String::as_str)
    }

    fn parsed<T>(&self, cell: usize, value: std::result::Result<T, String>) -> Result<T> {
        value.map_err(|reason| {
            let place = Place::file(&self.plan.path).with_field(self.name(cell));
            DataError::new(place, Problem::Values(reason))
        })
    }

    /// The identifier, or the row's number where there is none.
    fn identifier(&self, number: usize) -> Result<String> {
        let mut parts = Vec::new();
        for &cell in &self.plan.id {
            let part = self.parsed(cell, self.cell(cell).identifier());
            parts.push(part.map_err(|error| error.in_object(&format!("row {number}")))?);
        }
        let parts: Option<Vec<String>> = parts.into_iter().collect();
        Ok(match parts {
            Some(parts) if !parts.is_empty() => parts.join("-"),
            _ => number.to_string(),
        })
    }

    fn number(&self, value: Scaled) -> Result<Option<f64>> {
        let number = self.parsed(value.cell, self.cell(value.cell).number())?;
        Ok(number
            .filter(|number| !number.is_nan())
            .map(|number| number * value.factor))
    }

    /// Whether a companion column says that a zero is no measurement.
    fn unobserved(&self, field: &PlannedField) -> Result<bool> {
        for &cell in &field.observed {
            if self.parsed(cell, self.cell(cell).number())? == Some(0.0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn measurement(&self, field: &PlannedField) -> Result<Option<Measurement>> {
        if field.id.info().kind == Kind::Scalar {
            let number = self.number(field.value)?;
            if number == Some(0.0) && self.unobserved(field)? {
                return Ok(None);
            }
            return Ok(number.map(|number| Measurement::Scalar(number as f32)));
        }
        let cell = field.value.cell;
        let values = self
            .parsed(cell, self.cell(cell).list())?
            .unwrap_or_default();
        if values.iter().all(|value| value.is_nan()) {
            return Ok(None);
        }
        let values = values
            .iter()
            .map(|value| (value * field.value.factor) as f32);
        Ok(Some(Measurement::Coefficients(values.collect())))
    }
}
