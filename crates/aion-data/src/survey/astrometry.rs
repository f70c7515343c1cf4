//! Which columns of a table say where an object is, how it moves, and when it was there.
//!
//! Gaia, and the tables that carry Gaia's columns along (Legacy Surveys, DESI fibre maps), name
//! them alike: `pmra` (with the factor cos dec) and `pmdec` in mas/yr, `ref_epoch` in Julian
//! years, 0 where there is none. The Multimodal Universe puts them into a struct `astrometry`.

use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Cell, Column, Row};
use crate::survey::{columns, units};

/// Columns of proper motion, in any case.
const MOTION: [&str; 2] = ["pmra", "pmdec"];
/// The column of the year of positions, in any case.
const EPOCH: &str = "ref_epoch";
/// The struct that may hold them.
const STRUCT: &str = "astrometry.";
/// Columns that only Gaia's third data release has, whose positions are those of [`GAIA_DR3`].
const ONLY_IN_DR3: [&str; 3] = ["bp_coefficients", "spectral_coefficients.coeff", "coeff"];
/// Reference epoch of Gaia DR3 (and EDR3), Julian year.
const GAIA_DR3: f64 = 2016.0;
/// Years outside are fill values.
const YEARS: std::ops::Range<f64> = 1800.0..2200.0;

/// What a row says of place and motion.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The identifier; the row's number where the table has none.
    pub id: String,
    /// Right ascension and declination, degrees; none where either is missing.
    pub position: Option<(f64, f64)>,
    /// Proper motion along right ascension (with cos dec) and declination, mas/yr.
    pub motion: Option<(f64, f64)>,
    /// Julian year of the position.
    pub epoch: Option<f64>,
}

/// Where a table keeps what [`Entry`] holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Astrometry {
    path: PathBuf,
    /// Columns to read, in this order.
    pub wanted: Vec<usize>,
    names: Vec<String>,
    id: usize,
    /// To degrees.
    to_degrees: [f64; 2],
    /// To mas/yr, where there are motions.
    to_mas: Option<[f64; 2]>,
    has_epoch: bool,
    known_epoch: Option<f64>,
}

impl Astrometry {
    /// Finds the columns of the table in the file at `path`.
    ///
    /// Errors: no columns of position; a unit that cannot be converted.
    pub fn of(path: &Path, columns: &[Column]) -> Result<Self> {
        let layout = columns::layout(columns, None);
        let alike = |name: &str| {
            columns
                .iter()
                .position(|column| column.name.eq_ignore_ascii_case(name))
        };
        let Some((ra, dec)) = layout.position else {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let what = format!(
                "columns of position (ra and dec, or the like) among {}",
                names.join(", ")
            );
            return Err(DataError::new(Place::file(path), Problem::Missing(what)));
        };
        let factor = |column: usize, unit: &str| {
            let found = columns.get(column);
            let factor = units::factor_to(unit, found.and_then(|column| column.unit.as_deref()));
            factor.map_err(|problem| {
                let name = found.map_or("", |column| column.name.as_str());
                DataError::new(Place::file(path).with_field(name), problem)
            })
        };
        let to_degrees = [factor(ra, "deg")?, factor(dec, "deg")?];
        let flat_or_nested = |name: &str| alike(name).or(alike(&format!("{STRUCT}{name}")));
        let motion = MOTION.map(flat_or_nested);
        let epoch = flat_or_nested(EPOCH);
        let to_mas = match motion {
            [Some(pmra), Some(pmdec)] => {
                Some([factor(pmra, "mas yr-1")?, factor(pmdec, "mas yr-1")?])
            }
            _ => None,
        };
        if let Some(epoch) = epoch {
            factor(epoch, "yr")?;
        }
        let only_in_dr3 = ONLY_IN_DR3.iter().any(|name| alike(name).is_some());
        let mut wanted = layout.id.clone();
        wanted.extend([ra, dec]);
        wanted.extend(motion.iter().flatten().filter(|_| to_mas.is_some()));
        wanted.extend(epoch);
        let name = |&index: &usize| columns.get(index).map(|column| column.name.clone());
        Ok(Astrometry {
            path: path.to_owned(),
            names: wanted.iter().filter_map(name).collect(),
            wanted,
            id: layout.id.len(),
            to_degrees,
            to_mas,
            has_epoch: epoch.is_some(),
            known_epoch: (only_in_dr3 && to_mas.is_some()).then_some(GAIA_DR3),
        })
    }

    /// Reads the cells of the columns [`Astrometry::wanted`] in row `number` (from 1).
    ///
    /// Errors: an identifier that is a real number; a coordinate that is no number.
    pub fn entry(&self, number: usize, row: &Row) -> Result<Entry> {
        let id = self
            .identifier(number, row)
            .map_err(|error| error.in_object(&format!("row {number}")))?;
        self.quantities(&id, row)
            .map_err(|error| error.in_object(&id))
    }

    fn identifier(&self, number: usize, row: &Row) -> Result<String> {
        let mut parts = Vec::with_capacity(self.id);
        for cell in 0..self.id {
            parts.push(self.named(cell, self.cell(row, cell).identifier())?);
        }
        let parts: Option<Vec<String>> = parts.into_iter().collect();
        Ok(match parts {
            Some(parts) if !parts.is_empty() => parts.join("-"),
            _ => number.to_string(),
        })
    }

    fn quantities(&self, id: &str, row: &Row) -> Result<Entry> {
        let pair = |cell: usize, [first, second]: [f64; 2]| -> Result<Option<(f64, f64)>> {
            let both = (self.number(row, cell)?, self.number(row, cell + 1)?);
            Ok(both.0.zip(both.1).map(|(a, b)| (a * first, b * second)))
        };
        let position = pair(self.id, self.to_degrees)?;
        let motion = match self.to_mas {
            Some(factors) => pair(self.id + 2, factors)?,
            None => None,
        };
        let epoch = match self.has_epoch {
            true => self.number(row, self.wanted.len() - 1)?,
            false => None,
        };
        Ok(Entry {
            id: id.to_owned(),
            position,
            motion,
            epoch: epoch
                .filter(|year| YEARS.contains(year))
                .or(self.known_epoch),
        })
    }

    fn cell<'a>(&self, row: &'a Row, cell: usize) -> &'a Cell {
        row.get(cell).unwrap_or(&Cell::Missing)
    }

    fn number(&self, row: &Row, cell: usize) -> Result<Option<f64>> {
        self.named(cell, self.cell(row, cell).number())
    }

    fn named<T>(&self, cell: usize, value: std::result::Result<T, String>) -> Result<T> {
        value.map_err(|reason| {
            let name = self.names.get(cell).map_or("", String::as_str);
            let place = Place::file(&self.path).with_field(name);
            DataError::new(place, Problem::Values(reason))
        })
    }
}
