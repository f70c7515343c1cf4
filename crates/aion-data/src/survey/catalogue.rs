//! Tables of scalars and coefficient vectors, one object a row, of any survey and container.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Cell, Column, Row, Table};
use crate::modality::{Kind, ModalityId};
use crate::observation::{Measurement, Object};
use crate::read_options::{Objects, ReadOptions};
use crate::survey::columns::{self, Field, From, Layout};
use crate::survey::sentinel::Quantity;
use crate::survey::units::{self, MAGNITUDE, NANOMAGGY};

/// The flag of an object of which columns held a number that stands for "no value": which columns,
/// and which numbers.
pub const SENTINELS: &str = "sentinels";

/// The objects of a table. A cell that is empty, null, NaN or a number that stands for "no value"
/// leaves its modality out (the latter is noted in the flag [`SENTINELS`]), and so does a Legacy
/// Survey flux that its companion columns declare unobserved.
///
/// Errors: no recognised column, a column that the map of the options names and the table lacks, or
/// a unit that cannot be converted (the table); a cell that is no number, an identifier that is a
/// real number, a number of coefficients that disagrees with them (the object).
pub fn read(path: &Path, table: Box<dyn Table>, options: &ReadOptions) -> Result<Objects> {
    let mut columns = table.columns().to_vec();
    let layout = layout(path, &mut columns, options)?;
    if !is_used(&layout, options) {
        return Err(unrecognised(path, &columns));
    }
    let plan = Plan::new(path, &columns, &layout)?;
    let range = options.range();
    let first = range.start as usize;
    let rows = table.rows(&plan.wanted, range)?;
    let objects = rows
        .enumerate()
        .map(move |(index, row)| row.and_then(|row| plan.object(first + index + 1, row)));
    Ok(Box::new(objects))
}

/// Whether a table with these columns is one of objects: it has what the map of the options names,
/// or a recognised column.
pub fn holds_objects(columns: &[Column], options: &ReadOptions) -> bool {
    match &options.columns {
        Some(map) => map.fits(columns),
        None => is_used(&columns::layout(columns, options.survey), options),
    }
}

/// Why a table is not one of objects.
pub fn not_objects(path: &Path, columns: &[Column], options: &ReadOptions) -> DataError {
    let mapped = options.columns.as_ref().and_then(|map| {
        let mut columns = columns.to_vec();
        map.layout(path, &mut columns, options.survey).err()
    });
    mapped.unwrap_or_else(|| unrecognised(path, columns))
}

fn is_used(layout: &Layout, options: &ReadOptions) -> bool {
    let positions_count = options.with_position && layout.position.is_some();
    !layout.fields.is_empty() || positions_count
}

fn unrecognised(path: &Path, columns: &[Column]) -> DataError {
    let found: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let not_taken = columns::not_taken(columns).map_or_else(String::new, |why| format!(" ({why})"));
    let what = format!(
        "no recognised column among {}{not_taken}; expected token keys or survey columns: {}, or a \
         column map (--columns)",
        found.join(", "),
        columns::expected()
    );
    DataError::new(Place::file(path), Problem::Unrecognised(what))
}

/// What is read of a table with these columns, perhaps nothing.
///
/// Errors: a unit that cannot be converted, a column that the map of the options names and the
/// table lacks.
pub(super) fn plan(path: &Path, columns: &[Column], options: &ReadOptions) -> Result<Plan> {
    let mut columns = columns.to_vec();
    let layout = layout(path, &mut columns, options)?;
    Plan::new(path, &columns, &layout)
}

fn layout(path: &Path, columns: &mut [Column], options: &ReadOptions) -> Result<Layout> {
    match &options.columns {
        Some(map) => map.layout(path, columns, options.survey),
        None => Ok(columns::layout(columns, options.survey)),
    }
}

/// Where each thing lies in a row of the wanted columns.
pub(super) struct Plan {
    path: PathBuf,
    /// The columns that a row must hold, in this order.
    pub(super) wanted: Vec<usize>,
    names: Vec<String>,
    id: Vec<usize>,
    position: Option<[Scaled; 2]>,
    fields: Vec<PlannedField>,
    flags: Vec<usize>,
    /// Cells that another one declares missing.
    masked: Vec<Masked>,
}

/// A cell that is missing where the one beside it is true: Astropy writes the masks of Parquet
/// files as columns of their own (`FLUX_R.mask`).
struct Masked {
    cell: usize,
    mask: usize,
}

/// A cell, and the factor to the unit wanted.
#[derive(Clone, Copy)]
struct Scaled {
    cell: usize,
    factor: f64,
}

struct PlannedField {
    id: ModalityId,
    cell: usize,
    conversion: Conversion,
    quantity: Quantity,
    /// Magnitudes of extinction to put back: a cell and what it is multiplied by.
    extinction: Option<(usize, f64)>,
    observed: Vec<usize>,
    length: Option<usize>,
}

/// From a column's numbers to the modality's.
#[derive(Clone, Copy)]
enum Conversion {
    /// Times a factor.
    Linear(f64),
    /// From AB magnitudes to nanomaggies.
    FromMagnitude,
    /// To AB magnitudes, from what times a factor are nanomaggies.
    ToMagnitude(f64),
}

/// AB magnitude of one nanomaggy.
const ZEROPOINT: f64 = 22.5;

impl PlannedField {
    /// The modality's number; `None` where it has none, as the magnitude of a negative flux.
    fn converted(&self, value: f64, extinction: f64) -> Option<f64> {
        let dimmed = 10f64.powf(-0.4 * extinction);
        let value = match self.conversion {
            Conversion::Linear(factor) if self.id.info().unit == MAGNITUDE => {
                value * factor + extinction
            }
            Conversion::Linear(factor) => value * factor * dimmed,
            Conversion::FromMagnitude => 10f64.powf(-0.4 * (value - ZEROPOINT)) * dimmed,
            Conversion::ToMagnitude(factor) => ZEROPOINT - 2.5 * (value * factor * dimmed).log10(),
        };
        value.is_finite().then_some(value)
    }
}

impl Plan {
    pub(super) fn new(path: &Path, columns: &[Column], layout: &Layout) -> Result<Self> {
        let mut wanted: Vec<usize> = Vec::new();
        let mut cell = |column: usize| -> usize {
            let known = wanted.iter().position(|&other| other == column);
            known.unwrap_or_else(|| {
                wanted.push(column);
                wanted.len() - 1
            })
        };
        let unit = |column: usize| columns.get(column)?.unit.as_deref();
        let refuse = |column: usize, problem| {
            let name = columns.get(column).map(|column| column.name.clone());
            let place = Place::file(path).with_field(name.unwrap_or_default());
            DataError::new(place, problem)
        };
        let mut fields = Vec::new();
        for field in &layout.fields {
            refuse_repeated(columns, field.column)
                .map_err(|problem| refuse(field.column, problem))?;
            let conversion = conversion(field, unit(field.column))
                .map_err(|problem| refuse(field.column, problem))?;
            let extinction = field.extinction;
            if let Some((column, _)) = extinction {
                units::factor_to(MAGNITUDE, unit(column))
                    .map_err(|problem| refuse(column, problem))?;
            }
            fields.push(PlannedField {
                id: field.id,
                cell: cell(field.column),
                conversion,
                quantity: match field.from {
                    Some(From::AbMag) => Quantity::Magnitude,
                    Some(From::Flux) => Quantity::Signed,
                    None => Quantity::of(field.id.info()),
                },
                extinction: extinction.map(|(column, coefficient)| (cell(column), coefficient)),
                observed: field.observed.iter().map(|&column| cell(column)).collect(),
                length: field.length.map(&mut cell),
            });
        }
        let mut angle = |column: usize| -> Result<Scaled> {
            let factor = units::factor_to_degrees(unit(column))
                .map_err(|problem| refuse(column, problem))?;
            let cell = cell(column);
            Ok(Scaled { cell, factor })
        };
        let position = match layout.position {
            Some((ra, dec)) => Some([angle(ra)?, angle(dec)?]),
            None => None,
        };
        let id = layout.id.iter().map(|&column| cell(column)).collect();
        let flags = layout.flags.iter().map(|&column| cell(column)).collect();
        let masked = add_masks(columns, &mut wanted);
        Ok(Plan {
            path: path.to_owned(),
            id,
            position,
            fields,
            flags,
            masked,
            names: wanted
                .iter()
                .filter_map(|&column| Some(columns.get(column)?.name.clone()))
                .collect(),
            wanted,
        })
    }

    /// The object in row `number`, counted from 1.
    pub(super) fn object(&self, number: usize, mut row: Row) -> Result<Object> {
        for masked in &self.masked {
            let is_true = |cell: &Cell| cell.label().is_some_and(|label| label == "true");
            if row.get(masked.mask).is_some_and(is_true)
                && let Some(cell) = row.get_mut(masked.cell)
            {
                *cell = Cell::Missing;
            }
        }
        let row = RowView { plan: self, row };
        let id = row.identifier(number)?;
        let mut object = Object::named(id);
        match row.measure(&mut object) {
            Ok(()) => Ok(object),
            Err(error) => Err(error.in_object(&object.id)),
        }
    }
}

/// Adds the columns that mask the wanted ones.
fn add_masks(columns: &[Column], wanted: &mut Vec<usize>) -> Vec<Masked> {
    let mut masked = Vec::new();
    for cell in 0..wanted.len() {
        let column = wanted.get(cell).and_then(|&column| columns.get(column));
        let Some(name) = column.map(|column| format!("{}.mask", column.name)) else {
            continue;
        };
        if let Some(column) = columns.iter().position(|column| column.name == name) {
            wanted.push(column);
            let mask = wanted.len() - 1;
            masked.push(Masked { cell, mask });
        }
    }
    masked
}

/// Refuses a column whose name another one bears too: which one is meant is not known.
fn refuse_repeated(columns: &[Column], column: usize) -> std::result::Result<(), Problem> {
    let name = columns.get(column).map(|column| &column.name);
    let bearers = columns.iter().filter(|column| Some(&column.name) == name);
    match bearers.count() {
        0 | 1 => Ok(()),
        count => Err(Problem::Mismatch(format!("{count} columns have this name"))),
    }
}

fn conversion(field: &Field, unit: Option<&str>) -> std::result::Result<Conversion, Problem> {
    Ok(match field.from {
        None => Conversion::Linear(units::factor(field.id.info(), unit)?),
        Some(From::AbMag) => {
            let factor = units::factor_to(MAGNITUDE, unit)?;
            if factor != 1.0 {
                let what = "from = \"abmag\" takes magnitudes as they are, not in parts";
                return Err(Problem::Values(what.into()));
            }
            Conversion::FromMagnitude
        }
        Some(From::Flux) => {
            let unit = unit.filter(|unit| !unit.trim().is_empty());
            let unit = unit.ok_or_else(|| {
                Problem::Missing("unit of the flux; expected nJy, nanomaggy, ... in the map".into())
            })?;
            Conversion::ToMagnitude(units::factor_to(NANOMAGGY, Some(unit))?)
        }
    })
}

/// A row with the plan of its cells.
struct RowView<'a> {
    plan: &'a Plan,
    row: Row,
}

impl RowView<'_> {
    fn cell(&self, cell: usize) -> &Cell {
        self.row.get(cell).unwrap_or(&Cell::Missing)
    }

    fn name(&self, cell: usize) -> &str {
        self.plan.names.get(cell).map_or("", String::as_str)
    }

    fn refuse(&self, cell: usize, problem: Problem) -> DataError {
        let place = Place::file(&self.plan.path).with_field(self.name(cell));
        DataError::new(place, problem)
    }

    fn parsed<T>(&self, cell: usize, value: std::result::Result<T, String>) -> Result<T> {
        value.map_err(|reason| self.refuse(cell, Problem::Values(reason)))
    }

    /// The identifier, or the row's number where there is none.
    fn identifier(&self, number: usize) -> Result<String> {
        let mut id = String::new();
        for (place, &cell) in self.plan.id.iter().enumerate() {
            let part = self.parsed(cell, self.cell(cell).identifier());
            let part = part.map_err(|error| error.in_object(&format!("row {number}")))?;
            match part {
                None => return Ok(number.to_string()),
                Some(part) if place == 0 => id = part,
                Some(part) => {
                    id.push('-');
                    id.push_str(&part);
                }
            }
        }
        match id.is_empty() {
            true => Ok(number.to_string()),
            false => Ok(id),
        }
    }

    fn measure(&self, object: &mut Object) -> Result<()> {
        if let Some([ra, dec]) = self.plan.position {
            object.ra = self.number(ra.cell)?.map(|number| number * ra.factor);
            object.dec = self.number(dec.cell)?.map(|number| number * dec.factor);
        }
        let plan = self.plan;
        let mut sentinels = String::new();
        for field in &plan.fields {
            let measurement = match field.id.info().kind {
                Kind::Scalar => self.scalar(field, &mut sentinels)?,
                _ => self.coefficients(field)?,
            };
            if let Some(measurement) = measurement {
                object.measurements.insert(field.id, measurement);
            }
        }
        for &cell in &plan.flags {
            if let Some(label) = self.cell(cell).label() {
                object.flags.insert(self.name(cell).to_owned(), label);
            }
        }
        if !sentinels.is_empty() {
            object.flags.insert(SENTINELS.to_owned(), sentinels);
        }
        Ok(())
    }

    fn number(&self, cell: usize) -> Result<Option<f64>> {
        let number = self.parsed(cell, self.cell(cell).number())?;
        Ok(number.filter(|number| !number.is_nan()))
    }

    /// The number of a cell, unless it stands for "no value", which is noted.
    fn measured(
        &self,
        cell: usize,
        quantity: Quantity,
        sentinels: &mut String,
    ) -> Result<Option<f64>> {
        let Some(number) = self.number(cell)? else {
            return Ok(None);
        };
        if !quantity.is_missing(number) {
            return Ok(Some(number));
        }
        if !sentinels.is_empty() {
            sentinels.push(' ');
        }
        sentinels.push_str(&format!("{}={number}", self.name(cell)));
        Ok(None)
    }

    /// Whether a companion column says that a zero is no measurement.
    fn unobserved(&self, field: &PlannedField) -> Result<bool> {
        for &cell in &field.observed {
            if self.number(cell)? == Some(0.0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn scalar(&self, field: &PlannedField, sentinels: &mut String) -> Result<Option<Measurement>> {
        let Some(number) = self.measured(field.cell, field.quantity, sentinels)? else {
            return Ok(None);
        };
        if number == 0.0 && self.unobserved(field)? {
            return Ok(None);
        }
        let extinction = match field.extinction {
            None => 0.0,
            Some((cell, coefficient)) => {
                let Some(value) = self.measured(cell, Quantity::Shape, sentinels)? else {
                    return Ok(None);
                };
                value * coefficient
            }
        };
        let value = field.converted(number, extinction);
        Ok(value.map(|value| Measurement::Scalar(value as f32)))
    }

    fn coefficients(&self, field: &PlannedField) -> Result<Option<Measurement>> {
        let factor = match field.conversion {
            Conversion::Linear(factor) => factor,
            Conversion::FromMagnitude | Conversion::ToMagnitude(_) => 1.0,
        };
        let values = match self.cell(field.cell) {
            Cell::List(values) => Cow::Borrowed(values.as_slice()),
            other => Cow::Owned(self.parsed(field.cell, other.list())?.unwrap_or_default()),
        };
        if values.iter().all(|value| value.is_nan()) {
            return Ok(None);
        }
        if let Some(cell) = field.length
            && let Some(length) = self.number(cell)?
            && length != values.len() as f64
        {
            let what = format!("{length}, but there are {} coefficients", values.len());
            return Err(self.refuse(cell, Problem::Mismatch(what)));
        }
        let values = values.iter().map(|value| (value * factor) as f32);
        Ok(Some(Measurement::Coefficients(values.collect())))
    }
}
