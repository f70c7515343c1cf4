//! What one file holds.

use std::collections::{BTreeMap, BTreeSet};

use aion_data::reader::ReadOptions;
use aion_data::reasons::Reasons;
use aion_data::{DataError, Measurement, ModalityId, Problem};
use serde::{Serialize, Serializer};

use crate::cmd::inspect::results;
use crate::input::{Accept, InputFile, Row, holds_tokens, read_file};
use crate::summary;

/// A file's content.
#[derive(Debug, Clone, Serialize)]
pub struct Contents {
    file: String,
    kind: &'static str,
    objects: usize,
    simulated: usize,
    with_position: usize,
    flags: BTreeSet<String>,
    #[serde(serialize_with = "values_only")]
    modalities: BTreeMap<ModalityId, ModalityContents>,
    /// Shapes by column, for results of this program.
    columns: BTreeMap<String, String>,
    /// What is wrong.
    pub problems: Reasons,
}

/// One modality in a file.
#[derive(Debug, Clone, Default, Serialize)]
struct ModalityContents {
    modality: &'static str,
    survey: &'static str,
    unit: &'static str,
    objects: usize,
    bands: Option<String>,
    shapes: BTreeSet<String>,
    /// Smallest and largest finite value.
    range: Option<(f32, f32)>,
    /// Numbers in all: pixels of all bands, points of a spectrum.
    values: usize,
    not_finite: usize,
    /// Values that the survey marks as bad, or gives no weight.
    masked: usize,
}

/// Reads a file to its end; `look` sees every row that is read.
///
/// # Errors
/// Whatever `look` returns.
pub fn read(
    file: &InputFile,
    options: &ReadOptions,
    mut look: impl FnMut(&Row) -> anyhow::Result<std::result::Result<(), DataError>>,
) -> anyhow::Result<Contents> {
    let kind = if holds_tokens(&file.path) {
        "tokens"
    } else {
        "observations"
    };
    let mut contents = Contents {
        file: file.path.display().to_string(),
        kind,
        objects: 0,
        simulated: 0,
        with_position: 0,
        flags: BTreeSet::new(),
        modalities: BTreeMap::new(),
        columns: BTreeMap::new(),
        problems: Reasons::default(),
    };
    let rows = match read_file(&file.path, options, Accept::Any) {
        Ok(rows) => rows,
        Err(error) => {
            contents.refuse(&error, file);
            return Ok(contents);
        }
    };
    for row in rows {
        let looked = match row {
            Ok(row) => {
                contents.add(&row);
                look(&row)?
            }
            Err(error) => Err(error),
        };
        if let Err(error) = looked {
            contents.problems.add(&error.in_file(&file.path));
        }
    }
    Ok(contents)
}

/// Files told apart one by one; more are summed up.
const FEW_FILES: usize = 5;

/// Prints contents for humans.
///
/// # Errors
/// Stdout cannot be written.
pub fn print(files: &[Contents]) -> anyhow::Result<()> {
    if files.len() <= FEW_FILES {
        return files.iter().try_for_each(Contents::print);
    }
    let kinds: BTreeSet<&'static str> = files.iter().map(|file| file.kind).collect();
    for kind in kinds {
        let mut alike = files.iter().filter(|file| file.kind == kind);
        if let Some(first) = alike.next() {
            let mut sum = first.clone();
            let mut count = 1;
            for file in alike {
                sum.merge(file);
                count += 1;
            }
            sum.file = summary::counted(count, "file");
            sum.print()?;
        }
    }
    Ok(())
}

/// The modalities without their numbers, which the rows themselves name.
fn values_only<S: Serializer>(
    modalities: &BTreeMap<ModalityId, ModalityContents>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(modalities.values())
}

impl Contents {
    /// A file that holds no objects: no problem where it is a result of this program, or where a
    /// directory lists it and it is no data.
    fn refuse(&mut self, error: &DataError, file: &InputFile) {
        if let Some((objects, columns)) = results::read(&file.path) {
            self.kind = "results";
            self.objects = objects;
            self.columns = columns;
        } else if file.listed && matches!(error.problem, Problem::Unrecognised(_)) {
            self.kind = "no data";
        } else {
            self.kind = "unreadable";
            self.problems.add(error);
        }
    }

    fn add(&mut self, row: &Row) {
        self.objects += 1;
        let (position, flags) = match row {
            Row::Observed(object) => {
                self.simulated += usize::from(object.simulated);
                (object.ra.zip(object.dec), &object.flags)
            }
            Row::Tokenized(tokens) => (tokens.ra.zip(tokens.dec), &tokens.flags),
        };
        self.with_position += usize::from(position.is_some());
        self.flags.extend(flags.keys().cloned());
        match row {
            Row::Observed(object) => {
                for (&id, measurement) in &object.measurements {
                    let entry = self.modalities.entry(id).or_default();
                    entry.describe(id, id.info().unit);
                    entry.add(measurement);
                }
            }
            Row::Tokenized(row) => {
                for (&id, tokens) in &row.tokens {
                    let numbers = tokens.iter().map(|token| f32::from(*token));
                    let entry = self.modalities.entry(id).or_default();
                    entry.describe(id, "");
                    entry.count(format!("{} tokens", tokens.len()), numbers);
                }
            }
        }
    }

    /// Objects that were read.
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// Whether measurements of a modality were read.
    pub fn observes(&self, id: ModalityId) -> bool {
        self.kind == "observations" && self.modalities.contains_key(&id)
    }

    /// Adds another file's content.
    fn merge(&mut self, other: &Contents) {
        self.objects += other.objects;
        self.simulated += other.simulated;
        self.with_position += other.with_position;
        self.flags.extend(other.flags.iter().cloned());
        for (id, modality) in &other.modalities {
            let entry = self.modalities.entry(*id).or_default();
            entry.merge(modality);
        }
        self.problems.merge(&other.problems);
    }

    /// Prints the content for humans.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn print(&self) -> anyhow::Result<()> {
        let objects = summary::counted(self.objects, "object");
        let mut line = format!("{}: {}, {objects}", self.file, self.kind);
        if self.simulated > 0 {
            line.push_str(&format!(", {} simulated", self.simulated));
        }
        if self.with_position > 0 {
            line.push_str(&format!(", {} with position", self.with_position));
        }
        if !self.flags.is_empty() {
            let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
            line.push_str(&format!(", flags {}", flags.join(", ")));
        }
        summary::print_text(&line)?;
        if !self.modalities.is_empty() {
            let heading = [
                "modality",
                "objects",
                "shape",
                "range",
                "not finite",
                "masked",
                "unit",
            ];
            let mut rows = vec![heading.map(str::to_owned).to_vec()];
            rows.extend(self.modalities.values().map(ModalityContents::cells));
            summary::print_table(&rows)?;
        }
        for (column, shape) in &self.columns {
            summary::print_text(&format!("  {column}  {shape}"))?;
        }
        for reason in self.problems.list() {
            summary::print_text(&reason.line())?;
        }
        Ok(())
    }
}

impl ModalityContents {
    fn describe(&mut self, id: ModalityId, unit: &'static str) {
        self.modality = id.key();
        self.survey = id.info().survey.name();
        self.unit = unit;
    }

    fn merge(&mut self, other: &ModalityContents) {
        let own = std::mem::replace(self, other.clone());
        self.objects += own.objects;
        self.values += own.values;
        self.not_finite += own.not_finite;
        self.masked += own.masked;
        self.shapes.extend(own.shapes);
        self.bands = self.bands.take().or(own.bands);
        self.range = match (self.range, own.range) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (range, other) => range.or(other),
        };
    }

    fn add(&mut self, measurement: &Measurement) {
        match measurement {
            Measurement::Image(image) => {
                self.bands = Some(image.bands.join(","));
                let shape = format!("{}x{}x{}", image.bands.len(), image.height, image.width);
                self.count(shape, image.flux.iter().copied());
                let ivar = image.ivar.iter().flatten();
                self.masked += ivar.filter(|ivar| is_weightless(**ivar)).count();
            }
            Measurement::Spectrum(spectrum) => {
                let wavelength = &spectrum.wavelength;
                let ends = wavelength.first().zip(wavelength.last());
                let (low, high) = ends.map_or((0.0, 0.0), |(low, high)| (*low, *high));
                let shape = format!("{} px, {low:.0}-{high:.0} Angstrom", wavelength.len());
                self.count(shape, spectrum.flux.iter().copied());
                let points = spectrum.mask.iter().zip(&spectrum.ivar);
                self.masked += points
                    .filter(|(bad, ivar)| **bad || is_weightless(**ivar))
                    .count();
            }
            Measurement::Scalar(value) => self.count("1".to_owned(), [*value].into_iter()),
            Measurement::Coefficients(values) => {
                self.count(values.len().to_string(), values.iter().copied());
            }
            Measurement::Catalog(sources) => {
                let radii = sources.iter().map(|source| source.shape_r);
                self.count(format!("{} sources", sources.len()), radii);
            }
            Measurement::ScalarField(map) => {
                let shape = format!("{}x{}", map.height, map.width);
                self.count(shape, map.field.iter().copied());
            }
        }
    }

    fn count(&mut self, shape: String, values: impl Iterator<Item = f32>) {
        self.objects += 1;
        self.shapes.insert(shape);
        for value in values {
            self.values += 1;
            if !value.is_finite() {
                self.not_finite += 1;
                continue;
            }
            let (low, high) = self.range.unwrap_or((value, value));
            self.range = Some((low.min(value), high.max(value)));
        }
    }

    fn cells(&self) -> Vec<String> {
        let mut shapes: Vec<&str> = self.shapes.iter().take(2).map(String::as_str).collect();
        if self.shapes.len() > shapes.len() {
            shapes.push("...");
        }
        let bands = self.bands.as_ref().map(|bands| format!(" {bands}"));
        let range = self
            .range
            .map(|(low, high)| format!("{low:.4} .. {high:.4}"));
        vec![
            self.modality.to_owned(),
            self.objects.to_string(),
            format!("{}{}", shapes.join("; "), bands.unwrap_or_default()),
            range.unwrap_or_default(),
            share(self.not_finite, self.values),
            share(self.masked, self.values),
            self.unit.to_owned(),
        ]
    }
}

/// A part of a whole in percent; 0 where it is nothing at all.
fn share(part: usize, whole: usize) -> String {
    match part {
        0 => "0".to_owned(),
        part => format!("{:.2} %", 100.0 * part as f64 / whole.max(1) as f64),
    }
}

/// Whether an inverse variance says that there is no measurement.
fn is_weightless(ivar: f32) -> bool {
    ivar.is_nan() || ivar <= 0.0
}
