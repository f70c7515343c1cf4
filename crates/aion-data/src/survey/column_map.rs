//! Column maps: a TOML file that says what the columns of a table mean, where their names do not.
//!
//! ```toml
//! object_id = "TARGETID"                      # or several: ["RELEASE", "BRICKID", "OBJID"]
//! ra = { column = "RA", unit = "deg" }
//! dec = "DEC"
//! flags = ["MASKBITS", "ZWARN"]
//! tok_flux_g = { column = "FLUX_G", unit = "nanomaggy" }
//! tok_flux_r = { column = "mag_r", from = "abmag" }
//! tok_flux_z = { column = "dered_flux_z", extinction = { column = "EBV", coefficient = 1.211 } }
//! ```
//!
//! A map that names a modality decides about all of them: no other column becomes one. Identifier,
//! position and flags are recognised as ever where it does not name them. A unit in the map is that
//! of a column whose file gives none; it cannot contradict the file's. `from = "abmag"` makes a
//! Legacy Survey flux of an AB magnitude, `from = "flux"` a magnitude of a flux; `extinction` undoes
//! a correction for Galactic extinction of `coefficient` times its column, in magnitudes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::Column;
use crate::modality::{ModalityId, Survey};
use crate::survey::columns::{self, Field, From, Layout};
use crate::survey::units::{self, MAGNITUDE, NANOMAGGY};

/// A map from columns to what they mean.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnMap {
    path: PathBuf,
    object_id: Vec<String>,
    position: Option<[Source; 2]>,
    flags: Option<Vec<String>>,
    fields: Vec<(ModalityId, Source)>,
}

/// Where the values of a modality come from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    column: String,
    unit: Option<String>,
    from: Option<From>,
    extinction: Option<Extinction>,
}

/// A correction to undo: magnitudes are `coefficient` times the column.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extinction {
    column: String,
    #[serde(default = "one")]
    coefficient: f64,
}

fn one() -> f64 {
    1.0
}

impl ColumnMap {
    /// Reads the map at `path`.
    ///
    /// Errors name the file and the key: unreadable, no TOML, an unknown key, a value of the wrong
    /// type, a modality that no column holds, a conversion that does not lead to its modality.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| DataError::new(Place::file(path), error.into()))?;
        Self::parse(path, &text)
    }

    /// [`ColumnMap::open`] on text that was read from `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let problem = Problem::Container {
                format: "TOML",
                reason: error.to_string().trim_end().to_owned(),
            };
            DataError::new(Place::file(path), problem)
        })?;
        let mut map = ColumnMap {
            path: path.to_owned(),
            object_id: Vec::new(),
            position: None,
            flags: None,
            fields: Vec::new(),
        };
        let (mut ra, mut dec) = (None, None);
        for (key, value) in table {
            let refuse = |problem| DataError::new(Place::file(path).with_field(&key), problem);
            let values = |reason| refuse(Problem::Values(reason));
            match key.as_str() {
                "object_id" => map.object_id = names(value).map_err(values)?,
                "flags" => map.flags = Some(names(value).map_err(values)?),
                "ra" => ra = Some(plain_source(value).map_err(values)?),
                "dec" => dec = Some(plain_source(value).map_err(values)?),
                key => {
                    let id = ModalityId::from_key(key)
                        .ok_or_else(|| refuse(Problem::UnknownModality(key.to_owned())))?;
                    let source = source(value).and_then(|source| checked(id, source));
                    map.fields.push((id, source.map_err(values)?));
                }
            }
        }
        map.position = match (ra, dec) {
            (None, None) => None,
            (Some(ra), Some(dec)) => Some([ra, dec]),
            (Some(_), None) => return Err(map.refuse("dec", Problem::Missing("beside ra".into()))),
            (None, Some(_)) => return Err(map.refuse("ra", Problem::Missing("beside dec".into()))),
        };
        // The registry's order, whatever the file's.
        map.fields.sort_by_key(|(id, _)| *id);
        Ok(map)
    }

    /// Whether a table has every column that the map names.
    pub(super) fn fits(&self, columns: &[Column]) -> bool {
        self.names().all(|name| find(columns, name).is_some())
    }

    /// The layout of a table, whose columns get the units that the map gives them.
    ///
    /// Errors name file and column: a column of the map that the table lacks, a unit that
    /// contradicts the file's, a quantity that is not what the model takes.
    pub(super) fn layout(
        &self,
        path: &Path,
        columns: &mut [Column],
        survey: Option<Survey>,
    ) -> Result<Layout> {
        let refuse =
            |column: &str, problem| DataError::new(Place::file(path).with_field(column), problem);
        let index = |columns: &[Column], name: &str| {
            find(columns, name).ok_or_else(|| {
                let found: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                let what = format!(
                    "column, which {} names; the table has {}",
                    self.path.display(),
                    found.join(", ")
                );
                refuse(name, Problem::Missing(what))
            })
        };
        let place = |columns: &mut [Column], source: &Source| -> Result<usize> {
            let at = index(columns, &source.column)?;
            let Some((column, unit)) = columns.get_mut(at).zip(source.unit.as_ref()) else {
                return Ok(at);
            };
            match column
                .unit
                .as_deref()
                .filter(|unit| !unit.trim().is_empty())
            {
                Some(own) if !units::same(own, unit) => {
                    let what = format!(
                        "the file's unit is `{own}`, that of {} is `{unit}`",
                        self.path.display()
                    );
                    Err(refuse(&source.column, Problem::Values(what)))
                }
                _ => {
                    column.unit = Some(unit.clone());
                    Ok(at)
                }
            }
        };
        let mut layout = columns::layout(columns, survey);
        if !self.object_id.is_empty() {
            let parts = self.object_id.iter().map(|name| index(columns, name));
            layout.id = parts.collect::<Result<_>>()?;
        }
        if let Some([ra, dec]) = &self.position {
            layout.position = Some((place(columns, ra)?, place(columns, dec)?));
        }
        if let Some(flags) = &self.flags {
            let flags = flags.iter().map(|name| index(columns, name));
            layout.flags = flags.collect::<Result<_>>()?;
        }
        if self.fields.is_empty() {
            return Ok(layout);
        }
        layout.fields.clear();
        for (id, source) in &self.fields {
            let of = id.info().survey;
            if survey.is_some_and(|survey| ![survey, Survey::Any].contains(&of)) {
                let what = format!("`{id}` is of survey {of}, which is not the one asked for");
                return Err(self.refuse(id.key(), Problem::Values(what)));
            }
            if let Some(reason) = columns::refusal(*id, &source.column)
                && (source.extinction.is_none() || !columns::is_dereddened(&source.column))
            {
                return Err(refuse(&source.column, Problem::Values(reason.into())));
            }
            let column = place(columns, source)?;
            let extinction = source.extinction.as_ref();
            let extinction = extinction.map(|extinction| {
                Ok((index(columns, &extinction.column)?, extinction.coefficient))
            });
            layout.fields.push(Field {
                from: source.from,
                extinction: extinction.transpose()?,
                ..columns::field(*id, column, columns)
            });
        }
        Ok(layout)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let positions = self.position.iter().flatten();
        let sources = positions.chain(self.fields.iter().map(|(_, source)| source));
        let columns = sources.flat_map(|source| {
            let extinction = source.extinction.as_ref();
            [
                Some(&source.column),
                extinction.map(|extinction| &extinction.column),
            ]
        });
        let names = self.object_id.iter().chain(self.flags.iter().flatten());
        names.chain(columns.flatten()).map(String::as_str)
    }

    fn refuse(&self, key: &str, problem: Problem) -> DataError {
        DataError::new(Place::file(&self.path).with_field(key), problem)
    }
}

/// The column called `name`; in another case where only one is.
fn find(columns: &[Column], name: &str) -> Option<usize> {
    let exact = columns.iter().position(|column| column.name == name);
    exact.or_else(|| {
        let alike = |column: &Column| column.name.eq_ignore_ascii_case(name);
        let mut matches = (0..columns.len()).filter(|&at| columns.get(at).is_some_and(alike));
        matches.next().filter(|_| matches.next().is_none())
    })
}

fn names(value: Value) -> std::result::Result<Vec<String>, String> {
    let wrong = || "expected the name of a column or a list of names".to_owned();
    match value {
        Value::String(name) => Ok(vec![name]),
        Value::Array(names) => names
            .into_iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        _ => Err(wrong()),
    }
}

fn source(value: Value) -> std::result::Result<Source, String> {
    match value {
        Value::String(column) => Ok(Source {
            column,
            unit: None,
            from: None,
            extinction: None,
        }),
        Value::Table(_) => value
            .try_into()
            .map_err(|error: toml::de::Error| error.message().to_owned()),
        _ => Err("expected the name of a column or { column = .., unit = .. }".into()),
    }
}

fn plain_source(value: Value) -> std::result::Result<Source, String> {
    let source = source(value)?;
    match source.from.is_some() || source.extinction.is_some() {
        true => Err("a position is not converted with `from` or `extinction`".into()),
        false => Ok(source),
    }
}

/// Refuses conversions that do not lead to the modality.
fn checked(id: ModalityId, source: Source) -> std::result::Result<Source, String> {
    let info = id.info();
    if !info.is_number() {
        return Err("no column of a table holds it; expected a scalar or coefficients".into());
    }
    let is_flux = info.unit == NANOMAGGY;
    let is_magnitude = info.unit == MAGNITUDE && info.codec.ends_with("_mag");
    match source.from {
        Some(From::AbMag) if !is_flux => {
            return Err("from = \"abmag\" makes a flux in nanomaggies, which it is not".into());
        }
        Some(From::AbMag) if source.unit.is_some() => {
            return Err("from = \"abmag\" says the unit already".into());
        }
        Some(From::Flux) if !is_magnitude => {
            return Err("from = \"flux\" makes a magnitude, which it is not".into());
        }
        _ => {}
    }
    match &source.extinction {
        Some(_) if !is_flux && !is_magnitude => {
            Err("extinction belongs to fluxes and magnitudes, which it is not".into())
        }
        Some(extinction)
            if !extinction.coefficient.is_finite() || extinction.coefficient <= 0.0 =>
        {
            Err(format!(
                "the coefficient is {}, expected more than 0",
                extinction.coefficient
            ))
        }
        _ => Ok(source),
    }
}
