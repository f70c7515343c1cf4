//! The range report of a run: how much of the input the codecs could not express.

use std::collections::BTreeMap;
use std::path::Path;

use aion_codec::{Coverage, RangeReport};
use aion_data::ModalityId;
use serde::{Deserialize, Serialize};

/// Counts over all objects, and the objects that have something out of range.
#[derive(Debug, Default)]
pub struct Ranges {
    totals: BTreeMap<ModalityId, Total>,
    /// Only kept where asked for, since it grows with the input.
    objects: Option<Vec<ObjectRange>>,
}

/// Counts of one modality.
#[derive(Debug, Default)]
struct Total {
    objects: usize,
    coverage: Coverage,
    /// The object with the largest fraction outside.
    worst: Option<(f64, String)>,
}

/// A modality's counts, for machines.
#[derive(Debug, Clone, Serialize)]
pub struct ModalityRange {
    modality: &'static str,
    objects: usize,
    values: usize,
    outside: usize,
    not_finite: usize,
    fraction_outside: f64,
}

/// One modality of one object that has something out of range or not finite.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectRange {
    file: String,
    object: String,
    modality: &'static str,
    values: usize,
    outside: usize,
    not_finite: usize,
}

/// A modality's counts as they are recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedRange {
    objects: usize,
    values: usize,
    outside: usize,
    not_finite: usize,
    worst: Option<(f64, String)>,
}

impl Ranges {
    /// No counts yet; `by_object` keeps the counts of objects too.
    pub fn new(by_object: bool) -> Self {
        Ranges {
            totals: BTreeMap::new(),
            objects: by_object.then(Vec::new),
        }
    }

    /// Adds an object's counts.
    pub fn add(&mut self, file: &Path, object: &str, report: &RangeReport) {
        for (&modality, &coverage) in report {
            let total = self.totals.entry(modality).or_default();
            total.objects += 1;
            total.coverage.add(coverage);
            let fraction = coverage.fraction_outside();
            let worst = total.worst.as_ref().map_or(0.0, |(worst, _)| *worst);
            if fraction > worst {
                total.worst = Some((fraction, object.to_owned()));
            }
            if let Some(objects) = &mut self.objects
                && coverage.outside + coverage.not_finite > 0
            {
                objects.push(ObjectRange {
                    file: file.display().to_string(),
                    object: object.to_owned(),
                    modality: modality.key(),
                    values: coverage.values,
                    outside: coverage.outside,
                    not_finite: coverage.not_finite,
                });
            }
        }
    }

    /// The counts of all objects together, for a record.
    pub fn saved(&self) -> BTreeMap<String, SavedRange> {
        let save = |(modality, total): (&ModalityId, &Total)| {
            let range = SavedRange {
                objects: total.objects,
                values: total.coverage.values,
                outside: total.coverage.outside,
                not_finite: total.coverage.not_finite,
                worst: total.worst.clone(),
            };
            (modality.key().to_owned(), range)
        };
        self.totals.iter().map(save).collect()
    }

    /// Adds counts that were saved. Keys that are no modality cannot be in a record of ours.
    pub fn add_saved(&mut self, saved: BTreeMap<String, SavedRange>) {
        for (key, range) in saved {
            let Some(modality) = ModalityId::from_key(&key) else {
                continue;
            };
            let total = self.totals.entry(modality).or_default();
            total.objects += range.objects;
            total.coverage.add(Coverage {
                values: range.values,
                outside: range.outside,
                not_finite: range.not_finite,
            });
            let fraction = |worst: &Option<(f64, String)>| worst.as_ref().map_or(0.0, |w| w.0);
            if fraction(&range.worst) > fraction(&total.worst) {
                total.worst = range.worst;
            }
        }
    }

    /// Counts by modality in registry order.
    pub fn by_modality(&self) -> Vec<ModalityRange> {
        let row = |(modality, total): (&ModalityId, &Total)| ModalityRange {
            modality: modality.key(),
            objects: total.objects,
            values: total.coverage.values,
            outside: total.coverage.outside,
            not_finite: total.coverage.not_finite,
            fraction_outside: total.coverage.fraction_outside(),
        };
        self.totals.iter().map(row).collect()
    }

    /// Objects with something out of range or not finite; empty unless they were asked for.
    pub fn by_object(&self) -> &[ObjectRange] {
        self.objects.as_deref().unwrap_or_default()
    }

    /// The table for humans; `None` where nothing was encoded.
    pub fn table(&self) -> Option<Vec<Vec<String>>> {
        if self.totals.is_empty() {
            return None;
        }
        let heading = [
            "modality",
            "objects",
            "values",
            "outside",
            "not finite",
            "worst object",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for (modality, total) in &self.totals {
            let worst = total.worst.as_ref();
            rows.push(vec![
                modality.key().to_owned(),
                total.objects.to_string(),
                total.coverage.values.to_string(),
                percent(total.coverage.fraction_outside()),
                total.coverage.not_finite.to_string(),
                worst.map_or_else(String::new, |(f, id)| format!("{id} ({})", percent(*f))),
            ]);
        }
        Some(rows)
    }
}

fn percent(fraction: f64) -> String {
    match fraction {
        0.0 => "0".to_owned(),
        small if small < 1e-4 => "< 0.01 %".to_owned(),
        other => format!("{:.2} %", 100.0 * other),
    }
}
