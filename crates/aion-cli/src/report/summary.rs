//! One row an object: what the terminal's table, the page's table and the JSON file all show.

use std::collections::BTreeMap;

use aion_data::{Kind, ModalityId, num_tokens};
use serde::Serialize;

use crate::report::agreement::{Agreement, median};
use crate::report::names;
use crate::report::study::Study;

/// Neighbours listed.
const NEAREST: usize = 3;

/// One object.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its identifier.
    pub object: String,
    /// The surveys that measured it.
    pub survey: String,
    /// Whether it comes from the simulator.
    pub simulated: bool,
    /// Where its figures were published, for the bundled real ones.
    pub source: Option<String>,
    /// What a pipeline says that it is.
    pub class: Option<String>,
    /// What was measured, in words.
    pub measured: String,
    /// The same in few letters.
    #[serde(skip)]
    pub measured_shortly: String,
    /// Tokens of each modality.
    pub tokens: BTreeMap<&'static str, usize>,
    /// Tokens altogether.
    pub num_tokens: usize,
    /// Agreement of each reconstruction.
    pub reconstruction: BTreeMap<&'static str, Quality>,
    /// Share of the images' variance that is reconstructed.
    pub image_r2: Option<f64>,
    /// χ² a pixel of the spectra.
    pub spectrum_chi2: Option<f64>,
    /// Share of the spectra's variance that is reconstructed.
    pub spectrum_r2: Option<f64>,
    /// Median relative error of the numbers, coefficients left out.
    pub numbers_error: Option<f64>,
    /// Measured redshift.
    pub redshift_true: Option<f64>,
    /// Median, 16 and 84 % of the predicted one.
    pub redshift: Option<[f64; 3]>,
    /// The same from less: by what was shown.
    pub redshift_from: BTreeMap<String, [f64; 3]>,
    /// Nearest neighbours.
    pub nearest: Vec<Near>,
}

/// A neighbour.
#[derive(Debug, Clone, Serialize)]
pub struct Near {
    /// Its identifier.
    pub object: String,
    /// Its place among the rows.
    #[serde(skip)]
    pub place: usize,
    /// Cosine of the embeddings' angle.
    pub cosine: f64,
}

/// Agreement of one reconstruction.
#[derive(Debug, Clone, Serialize)]
pub struct Quality {
    values: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    r2: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chi2: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relative_error: Option<f64>,
}

impl From<&Agreement> for Quality {
    fn from(found: &Agreement) -> Self {
        Quality {
            values: found.values,
            r2: found.r2,
            chi2: found.chi2,
            relative_error: found.relative,
        }
    }
}

/// The rows of all studies; `sources` by object identifier.
pub fn rows(studies: &[Study], sources: &BTreeMap<String, String>) -> Vec<Row> {
    studies
        .iter()
        .map(|study| row(study, studies, sources))
        .collect()
}

fn row(study: &Study, all: &[Study], sources: &BTreeMap<String, String>) -> Row {
    let object = &study.object;
    let found = |kind: Kind, value: fn(&Agreement) -> Option<f64>| {
        let of_kind = study.agreement.iter().filter(|(id, _)| {
            // A redshift near 0 has no relative error.
            id.info().kind == kind && names::redshift() != Some(**id)
        });
        median(of_kind.filter_map(|(_, found)| value(found)).collect())
    };
    let class = object.flags.iter().find(|(name, _)| {
        ["class", "spectype", "type"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    });
    let interval = |found: &aion_model::Distribution| [found.median, found.q16, found.q84];
    let near = study
        .neighbours
        .iter()
        .take(NEAREST)
        .filter_map(|neighbour| {
            Some(Near {
                object: all.get(neighbour.object)?.object.id.clone(),
                place: neighbour.object,
                cosine: neighbour.cosine,
            })
        });
    Row {
        object: object.id.clone(),
        survey: names::surveys(object),
        simulated: object.simulated,
        source: sources.get(&object.id).cloned(),
        class: class.map(|(_, class)| class.clone()),
        measured: names::measured(object),
        measured_shortly: names::measured_shortly(object),
        tokens: study
            .tokens
            .iter()
            .map(|(id, tokens)| (id.key(), tokens.len()))
            .collect(),
        num_tokens: num_tokens(&study.tokens),
        reconstruction: by_key(&study.agreement),
        image_r2: found(Kind::Image, |found| found.r2),
        spectrum_chi2: found(Kind::Spectrum, |found| found.chi2),
        spectrum_r2: found(Kind::Spectrum, |found| found.r2),
        numbers_error: found(Kind::Scalar, |found| found.relative),
        redshift_true: study.redshift.truth,
        redshift: study.redshift.predicted().map(interval),
        redshift_from: study
            .redshift
            .stages
            .iter()
            .map(|(label, found)| ((*label).to_owned(), interval(found)))
            .collect(),
        nearest: near.collect(),
    }
}

fn by_key(found: &BTreeMap<ModalityId, Agreement>) -> BTreeMap<&'static str, Quality> {
    found
        .iter()
        .map(|(id, found)| (id.key(), found.into()))
        .collect()
}

/// `0.93`, or a dash; large values lose their decimals.
pub fn decimals(value: Option<f64>, digits: usize) -> String {
    let text = |value: f64| {
        let digits = if value.abs() < 100.0 { digits } else { 0 };
        let text = format!("{value:.digits$}");
        let is_zero = text.chars().all(|c| "-0.".contains(c));
        text.replace('-', if is_zero { "" } else { "\u{2212}" })
    };
    value.map_or_else(|| "–".to_owned(), text)
}

/// `0.12 %`, or a dash.
pub fn percent(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{:.1} %", 100.0 * value))
}

/// `0.31 (0.25–0.40)`, or a dash.
pub fn interval(value: Option<[f64; 3]>) -> String {
    let text = |[median, low, high]: [f64; 3]| format!("{median:.3} ({low:.3}–{high:.3})");
    value.map_or("–".to_owned(), text)
}
