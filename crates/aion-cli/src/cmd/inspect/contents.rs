//! What one file holds.

use std::collections::{BTreeMap, BTreeSet};

use aion_data::reader::ReadOptions;
use aion_data::{DataError, Measurement, ModalityId, Problem, Survey};
use serde::Serialize;

use crate::input::{Accept, InputFile, Row, holds_tokens, read_file};
use crate::summary;

/// A file's content.
#[derive(Debug, Serialize)]
pub struct Contents {
    file: String,
    kind: &'static str,
    objects: usize,
    simulated: usize,
    with_position: usize,
    flags: BTreeSet<String>,
    modalities: Vec<ModalityContents>,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
}

/// One modality in a file.
#[derive(Debug, Serialize)]
struct ModalityContents {
    modality: &'static str,
    survey: &'static str,
    unit: &'static str,
    objects: usize,
    bands: Option<String>,
    shapes: BTreeSet<String>,
    /// Smallest and largest finite value.
    range: Option<(f32, f32)>,
    not_finite: usize,
}

/// Reads a file to its end.
pub fn read(file: &InputFile, survey: Option<Survey>) -> Contents {
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
        modalities: Vec::new(),
        problems: Vec::new(),
    };
    let options = ReadOptions {
        survey,
        ..ReadOptions::default()
    };
    let rows = match read_file(&file.path, &options, Accept::Any) {
        Ok(rows) => rows,
        Err(error) => {
            contents.refuse(&error, file.listed);
            return contents;
        }
    };
    let mut modalities = BTreeMap::new();
    for row in rows {
        match row {
            Ok(row) => contents.add(row, &mut modalities),
            Err(error) => contents.problems.push(error.to_string()),
        }
    }
    contents.modalities = modalities.into_values().collect();
    contents
}

impl Contents {
    /// A file that cannot be used: no problem where a directory lists it and it is no data.
    fn refuse(&mut self, error: &DataError, listed: bool) {
        if listed && matches!(error.problem, Problem::Unrecognised(_)) {
            self.kind = "no data";
        } else {
            self.kind = "unreadable";
            self.problems.push(error.to_string());
        }
    }

    fn add(&mut self, row: Row, modalities: &mut BTreeMap<ModalityId, ModalityContents>) {
        self.objects += 1;
        let (position, flags) = match &row {
            Row::Observed(object) => {
                self.simulated += usize::from(object.simulated);
                (object.ra.zip(object.dec), &object.flags)
            }
            Row::Tokenized(tokens) => (tokens.ra.zip(tokens.dec), &tokens.flags),
        };
        self.with_position += usize::from(position.is_some());
        self.flags.extend(flags.keys().cloned());
        match &row {
            Row::Observed(object) => {
                for (&id, measurement) in &object.measurements {
                    of(id, modalities).add(measurement);
                }
            }
            Row::Tokenized(row) => {
                for (&id, tokens) in &row.tokens {
                    let numbers = tokens.iter().map(|token| f32::from(*token));
                    let entry = of(id, modalities);
                    entry.count(format!("{} tokens", tokens.len()), numbers);
                }
            }
        }
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
            let heading = ["modality", "objects", "shape", "range", "not finite", "unit"];
            let mut rows = vec![heading.map(str::to_owned).to_vec()];
            rows.extend(self.modalities.iter().map(ModalityContents::cells));
            summary::print_table(&rows)?;
        }
        for problem in &self.problems {
            summary::print_text(&format!("problem: {problem}"))?;
        }
        Ok(())
    }
}

fn of(
    id: ModalityId,
    modalities: &mut BTreeMap<ModalityId, ModalityContents>,
) -> &mut ModalityContents {
    let info = id.info();
    modalities.entry(id).or_insert_with(|| ModalityContents {
        modality: info.key,
        survey: info.survey.name(),
        unit: info.unit,
        objects: 0,
        bands: None,
        shapes: BTreeSet::new(),
        range: None,
        not_finite: 0,
    })
}

impl ModalityContents {
    fn add(&mut self, measurement: &Measurement) {
        match measurement {
            Measurement::Image(image) => {
                self.bands = Some(image.bands.join(","));
                let shape = format!("{}x{}x{}", image.bands.len(), image.height, image.width);
                self.count(shape, image.flux.iter().copied());
            }
            Measurement::Spectrum(spectrum) => {
                let wavelength = &spectrum.wavelength;
                let ends = wavelength.first().zip(wavelength.last());
                let (low, high) = ends.map_or((0.0, 0.0), |(low, high)| (*low, *high));
                let shape = format!("{} px, {low:.0}-{high:.0} Angstrom", wavelength.len());
                self.count(shape, spectrum.flux.iter().copied());
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
        let range = self.range.map(|(low, high)| format!("{low:.4} .. {high:.4}"));
        vec![
            self.modality.to_owned(),
            self.objects.to_string(),
            format!("{}{}", shapes.join("; "), bands.unwrap_or_default()),
            range.unwrap_or_default(),
            self.not_finite.to_string(),
            self.unit.to_owned(),
        ]
    }
}
