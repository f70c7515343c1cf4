//! Tables of the Multimodal Universe, one object a row: version 1 in HDF5 (`image_array`,
//! `spectrum_flux`, `coeff`), version 1.5 in HATS Parquet (structs `image`, `spectrum`,
//! `spectral_coefficients`), the FITS tables of AION's tutorials (`desi_spectrum_flux`), and pairs of
//! such tables, a side at a time. One mapping reads them all: containers differ in how they spell a
//! column, surveys in what their masks and warnings mean.
//!
//! Images: a mask is true where a pixel is good, one for all bands or one a band; bad pixels get an
//! inverse variance of 0. Spectra: a mask is true where a pixel is bad; the ends that SDSS spectra
//! are padded with, at wavelengths below 0, are cut off. A redshift counts as measured where the
//! survey does not warn of it, else it is a flag.

mod image;
mod names;
mod segments;
mod sources;
mod spectrum;

use std::path::{Path, PathBuf};

use image::ImageColumns;
use names::Columns;
use segments::SegmentColumn;
use sources::SourceColumns;
use spectrum::SpectrumColumns;

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::{Cell, Column, Row, Table};
use crate::modality::{Kind, ModalityId, Survey};
use crate::observation::{Measurement, Object};
use crate::read_options::{Objects, ReadOptions};
use crate::survey::catalogue::{self, Plan};
use crate::survey::universe_columns::{COEFFICIENTS, SIMULATED};

/// The redshift's modality and column.
const REDSHIFT: &str = "Z";
/// The warnings of SDSS and DESI about their redshifts: 0 where there is none.
const SDSS_WARNING: &str = "ZWARNING";
const DESI_WARNING: &str = "ZWARN";
/// What a warning says that was published as true or false only.
const GOOD: &str = "0";
const BAD: &str = "!=0";
/// Columns of value-added catalogues (PROVABGS, Galaxy10) that travel as flags.
const LABELS: [&str; 8] = [
    "LOG_MSTAR",
    "PROVABGS_LOGMSTAR_BF",
    names::PROVABGS_REDSHIFT,
    "Z_MW",
    "TAGE_MW",
    "AVG_SFR",
    "ans",
    "gz10_label",
];

/// Whether a table has columns that only the Multimodal Universe names so.
pub fn recognises(columns: &[Column]) -> bool {
    let columns = Columns::new(columns);
    columns.prefixes().iter().any(|prefix| {
        let label = || {
            LABELS
                .iter()
                .any(|label| columns.at(prefix, label).is_some())
        };
        ImageColumns::find(&columns, prefix).is_some()
            || SpectrumColumns::find(&columns, prefix).is_some()
            || SourceColumns::find(&columns, prefix).is_some()
            || SegmentColumn::find(&columns, prefix).is_some()
            || coefficients(&columns, prefix).is_some()
            || label()
    })
}

/// The objects of a table; [`ReadOptions::survey`] says whose an image or a spectrum is where the
/// table does not, and leaves out what that survey does not measure.
///
/// Errors: what [`catalogue::read`] refuses of scalars (the table); arrays that are missing, of
/// another shape or length than those beside them, bands that are unknown, another pixel scale than
/// the survey's unless [`ReadOptions::any_pixel_scale`] allows it, a spectrum whose survey
/// is not known (the object).
pub fn read(path: &Path, table: Box<dyn Table>, options: &ReadOptions) -> Result<Objects> {
    let columns = Columns::new(table.columns());
    // A map of columns names them as they are written.
    let named = match options.columns {
        Some(_) => table.columns().to_vec(),
        None => columns.renamed(),
    };
    let scalars = catalogue::plan(path, &named, options)?;
    let universe = Universe::new(path, &columns, scalars, options);
    let range = options.range();
    let first = usize::try_from(range.start).unwrap_or(usize::MAX);
    let rows = table.rows(&universe.wanted, range)?;
    let objects = rows.enumerate().map(move |(index, row)| {
        let number = first.saturating_add(index).saturating_add(1);
        row.and_then(|row| universe.object(number, row))
    });
    Ok(Box::new(objects))
}

/// The column of both XP arms of Gaia, the blue one's coefficients first.
fn coefficients(columns: &Columns<'_>, prefix: &str) -> Option<usize> {
    let nested = columns.field(prefix, "spectral_coefficients", COEFFICIENTS);
    nested.or_else(|| columns.at(prefix, COEFFICIENTS))
}

/// Which columns of a table are read, and what they are. Columns are places among those wanted.
struct Universe {
    path: PathBuf,
    wanted: Vec<usize>,
    names: Vec<String>,
    scalars: Plan,
    images: Vec<ImageColumns>,
    spectra: Vec<SpectrumColumns>,
    sources: Vec<SourceColumns>,
    segments: Vec<SegmentColumn>,
    coefficients: Vec<usize>,
    labels: Vec<(&'static str, usize)>,
    warnings: Vec<(&'static str, usize)>,
    /// The redshift that counts, and the warning that goes with it.
    redshift: Option<(usize, (&'static str, usize))>,
    simulated: Option<usize>,
}

impl Universe {
    fn new(path: &Path, columns: &Columns<'_>, scalars: Plan, options: &ReadOptions) -> Universe {
        let survey = options.survey;
        let mut universe = Universe {
            path: path.to_owned(),
            wanted: scalars.wanted.clone(),
            names: Vec::new(),
            scalars,
            images: Vec::new(),
            spectra: Vec::new(),
            sources: Vec::new(),
            segments: Vec::new(),
            coefficients: Vec::new(),
            labels: Vec::new(),
            warnings: Vec::new(),
            redshift: None,
            simulated: None,
        };
        let measured = |kind| survey.is_none_or(|s| ModalityId::of_kind(kind, s).is_some());
        for prefix in columns.prefixes() {
            if let Some(found) =
                ImageColumns::find(columns, prefix).filter(|_| measured(Kind::Image))
            {
                let found = found
                    .with_options(options)
                    .moved(|column| universe.place(column));
                universe.images.push(found);
            }
            let found = SpectrumColumns::find(columns, prefix);
            if let Some(found) = found.filter(|_| measured(Kind::Spectrum)) {
                let found = found
                    .with_survey(survey)
                    .moved(|column| universe.place(column));
                universe.spectra.push(found);
            }
            let found = SourceColumns::find(columns, prefix);
            if let Some(found) = found.filter(|_| measured(Kind::Catalog)) {
                let found = found.moved(|column| universe.place(column));
                universe.sources.push(found);
            }
            let found = SegmentColumn::find(columns, prefix);
            if let Some(found) = found.filter(|_| measured(Kind::ScalarField)) {
                let found = found.moved(|column| universe.place(column));
                universe.segments.push(found);
            }
            let found = coefficients(columns, prefix);
            if let Some(column) = found.filter(|_| measured(Kind::Coefficients)) {
                let place = universe.place(column);
                universe.coefficients.push(place);
            }
            for label in LABELS {
                if let Some(column) = columns.at(prefix, label) {
                    let place = universe.place(column);
                    universe.labels.push((label, place));
                }
            }
        }
        for name in [SDSS_WARNING, DESI_WARNING] {
            if let Some(column) = columns.renamed_to(name) {
                let place = universe.place(column);
                universe.warnings.push((name, place));
            }
        }
        universe.redshift = columns.renamed_to(REDSHIFT).and_then(|value| {
            let prefix = columns.prefix(value);
            let names = [SDSS_WARNING, DESI_WARNING];
            let mut warnings = names
                .iter()
                .map(|name| Some((*name, columns.at(prefix, name)?)));
            let (name, warning) = warnings.find_map(|found| found)?;
            Some((universe.place(value), (name, universe.place(warning))))
        });
        universe.simulated = columns
            .renamed_to(SIMULATED)
            .map(|column| universe.place(column));
        let name = |&column: &usize| columns.name(column).to_owned();
        universe.names = universe.wanted.iter().map(name).collect();
        universe
    }

    /// The place of a column among those wanted.
    fn place(&mut self, column: usize) -> usize {
        let known = self.wanted.iter().position(|&other| other == column);
        known.unwrap_or_else(|| {
            self.wanted.push(column);
            self.wanted.len() - 1
        })
    }

    fn object(&self, number: usize, row: Row) -> Result<Object> {
        let scalars = row.iter().take(self.scalars.wanted.len()).cloned();
        let mut object = self.scalars.object(number, scalars.collect())?;
        object.id = names::plain(&object.id).to_owned();
        let mut row = Cells {
            universe: self,
            cells: row,
        };
        match self.measure(&mut row, &mut object) {
            Ok(()) => Ok(object),
            Err(error) => Err(error.in_object(&object.id)),
        }
    }

    fn measure(&self, row: &mut Cells<'_>, object: &mut Object) -> Result<()> {
        self.judge_redshift(row, object);
        for &(name, place) in &self.warnings {
            if let Some(label) = self.warning_label(name, row.cell(place)) {
                object.flags.insert(name.to_owned(), label);
            }
        }
        for &(name, place) in &self.labels {
            let label = match row.cell(place) {
                Cell::List(values) => match values.as_slice() {
                    &[value] => Cell::from_number(value).label(),
                    _ => None,
                },
                other => other.label(),
            };
            if let Some(label) = label {
                object.flags.insert(name.to_owned(), label);
            }
        }
        if let Some(place) = self.simulated {
            object.simulated |= matches!(row.cell(place), Cell::Flag(true));
        }
        for columns in &self.images {
            if let Some((id, image)) = columns.read(row)? {
                object.measurements.insert(id, Measurement::Image(image));
            }
        }
        for columns in &self.spectra {
            if let Some((id, spectrum)) = columns.read(row)? {
                object
                    .measurements
                    .insert(id, Measurement::Spectrum(spectrum));
            }
        }
        for columns in &self.sources {
            if let Some((id, sources)) = columns.read(row)? {
                object
                    .measurements
                    .insert(id, Measurement::Catalog(sources));
            }
        }
        for column in &self.segments {
            if let Some((id, map)) = column.read(row)? {
                object
                    .measurements
                    .insert(id, Measurement::ScalarField(map));
            }
        }
        for &place in &self.coefficients {
            self.add_coefficients(row, place, object)?;
        }
        Ok(())
    }

    /// Makes a flag of a redshift with its warning, and of one that its survey warns of nothing else.
    fn judge_redshift(&self, row: &Cells<'_>, object: &mut Object) {
        let Some((value, (name, warning))) = self.redshift else {
            return;
        };
        if let Some(label) = row.cell(value).label() {
            object.flags.insert(REDSHIFT.to_owned(), label);
        }
        let warning = self.warning_label(name, row.cell(warning));
        let doubtful = warning.is_some_and(|label| label != GOOD);
        if let Some(id) = ModalityId::from_codec(REDSHIFT, Survey::Any).filter(|_| doubtful) {
            object.measurements.remove(&id);
        }
    }

    /// A warning in the survey's sense, 0 where there is none. Version 1 has the surveys' numbers.
    /// What its loading scripts publish is true or false, and of DESI true where there is *no*
    /// warning.
    fn warning_label(&self, name: &str, cell: &Cell) -> Option<String> {
        let inverted = name == DESI_WARNING;
        match cell {
            Cell::Flag(value) if *value == inverted => Some(GOOD.to_owned()),
            Cell::Flag(_) => Some(BAD.to_owned()),
            other => other.label(),
        }
    }

    fn add_coefficients(
        &self,
        row: &mut Cells<'_>,
        place: usize,
        object: &mut Object,
    ) -> Result<()> {
        let Some(values) = row.list(place)? else {
            return Ok(());
        };
        let arms = ModalityId::all().filter(|id| id.info().kind == Kind::Coefficients);
        let arms: Vec<ModalityId> = arms.collect();
        let expected = arms.iter().map(|id| id.info().num_tokens()).sum::<usize>();
        if values.len() != expected {
            let found = format!("({})", values.len());
            let expected = format!("({expected}), the coefficients of both arms");
            return Err(row.refuse(place, Problem::Shape { found, expected }));
        }
        let mut rest = values.as_slice();
        for id in arms {
            let (arm, after) = rest.split_at(id.info().num_tokens());
            rest = after;
            if arm.iter().any(|value| !value.is_nan()) {
                let measurement = Measurement::Coefficients(arm.to_vec());
                object.measurements.insert(id, measurement);
            }
        }
        Ok(())
    }
}

/// A row of the wanted columns.
struct Cells<'a> {
    universe: &'a Universe,
    cells: Row,
}

impl Cells<'_> {
    fn cell(&self, place: usize) -> &Cell {
        self.cells.get(place).unwrap_or(&Cell::Missing)
    }

    /// Takes a cell out of the row.
    fn take(&mut self, place: usize) -> Cell {
        let cell = self.cells.get_mut(place);
        cell.map_or(Cell::Missing, |cell| std::mem::replace(cell, Cell::Missing))
    }

    /// Takes an array with its axes out of the row; `None` where there is none.
    fn array(&mut self, place: usize) -> Result<Option<(Vec<usize>, Vec<f32>)>> {
        match self.take(place) {
            Cell::Missing => Ok(None),
            Cell::List(values) if values.is_empty() => Ok(None),
            Cell::List(values) => {
                let values = values.iter().map(|&value| value as f32);
                let values: Vec<f32> = values.collect();
                Ok(Some((vec![values.len()], values)))
            }
            Cell::Array(array) if array.values.is_empty() => Ok(None),
            Cell::Array(array) => {
                let pixels = array
                    .shape
                    .iter()
                    .try_fold(1, |n: usize, &axis| n.checked_mul(axis));
                if pixels == Some(array.values.len()) {
                    return Ok(Some((array.shape, array.values)));
                }
                let problem = Problem::Shape {
                    found: format!("{} values", array.values.len()),
                    expected: format!("{:?}", array.shape),
                };
                Err(self.refuse(place, problem))
            }
            other => {
                let found = other.label().unwrap_or_else(|| "something else".into());
                let what = format!("expected an array of numbers, found {found}");
                Err(self.refuse(place, Problem::Values(what)))
            }
        }
    }

    /// Takes an array along one axis, or along one and others of length 1, out of the row.
    fn list(&mut self, place: usize) -> Result<Option<Vec<f32>>> {
        let Some((shape, values)) = self.array(place)? else {
            return Ok(None);
        };
        if shape.iter().filter(|&&axis| axis != 1).count() < 2 {
            return Ok(Some(values));
        }
        let problem = Problem::Shape {
            found: format!("{shape:?}"),
            expected: "one axis".into(),
        };
        Err(self.refuse(place, problem))
    }

    /// Refuses what is in a column.
    fn refuse(&self, place: usize, problem: Problem) -> DataError {
        let name = self.universe.names.get(place).cloned();
        let place = Place::file(&self.universe.path).with_field(name.unwrap_or_default());
        DataError::new(place, problem)
    }

    /// Refuses an array whose length is not that of the arrays beside it.
    fn expect_length(&self, place: usize, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        let problem = Problem::Shape {
            found: format!("({found})"),
            expected: format!("({expected})"),
        };
        Err(self.refuse(place, problem))
    }
}
