//! The page's card of one object: its figures, tokens, predictions and neighbours.

use std::fmt::Write;

use aion_data::{Measurement, ModalityId};
use aion_model::Distribution;
use anyhow::Result;

use crate::report::agreement::Agreement;
use crate::report::chart::BLUE;
use crate::report::figures::{Drawing, Figure, Figures};
use crate::report::html::{escape, figure, origin_mark, table};
use crate::report::names;
use crate::report::picture::Picture;
use crate::report::spectrum_figure;
use crate::report::stretch::colours;
use crate::report::study::{Answer, Study};
use crate::report::summary::{Row, decimals, interval};

/// The card of the object at a place.
///
/// # Errors
/// A picture cannot be encoded or drawn.
pub fn card(place: usize, study: &Study, row: &Row, figures: &Figures) -> Result<String> {
    let mut html = String::new();
    let of_object = |figure: &&Figure| figure.object == Some(place);
    let about = [
        &figures.images,
        &figures.spectra,
        &figures.predicted,
        &figures.posteriors,
    ];
    for figure in about.into_iter().flatten().filter(of_object) {
        html += &figure.html()?;
    }
    html += &facts(row);
    html += "<h4>Measured, tokenised, reconstructed</h4>\n";
    html += &measured(study);
    html += &absent(study)?;
    let mut head = format!(
        "<b>{}</b> {}",
        escape(&row.object),
        origin_mark(row.simulated)
    );
    for part in [row.class.as_deref(), Some(&row.survey), Some(&row.measured)] {
        // Writing to a string cannot fail.
        let _ = write!(
            head,
            " <span class=\"quiet\">{}</span>",
            escape(part.unwrap_or_default())
        );
    }
    Ok(format!(
        "<details class=\"card\" id=\"object-{place}\"><summary>{head}</summary>\n{html}</details>\n"
    ))
}

fn facts(row: &Row) -> String {
    let near: Vec<String> = row
        .nearest
        .iter()
        .map(|near| {
            let name = escape(&near.object);
            format!(
                "<a href=\"#object-{}\">{name}</a> ({:.3})",
                near.place, near.cosine
            )
        })
        .collect();
    let mut html = format!(
        "<p>{} tokens. Redshift: predicted {}, true {}. Nearest: {}.",
        row.num_tokens,
        interval(row.redshift),
        decimals(row.redshift_true, 4),
        near.join(", "),
    );
    if let Some(source) = &row.source {
        html += &format!(" Source: {}.", escape(source));
    }
    html + "</p>\n"
}

/// What was measured: tokens, reconstruction, and the prediction without it.
fn measured(study: &Study) -> String {
    let rows: Vec<Vec<String>> = study
        .tokens
        .iter()
        .map(|(id, tokens)| {
            let observed = study.object.get(*id);
            let value = |measurement: Option<&Measurement>| match measurement {
                Some(Measurement::Scalar(value)) => names::number(f64::from(*value)),
                _ => String::new(),
            };
            let agreement = study.agreement.get(id).map(in_words).unwrap_or_default();
            let withheld = match study.withheld.get(id) {
                Some(Answer::Number(found)) => number(found),
                _ => String::new(),
            };
            vec![
                escape(&names::modality(*id)),
                escape(id.info().unit),
                tokens.len().to_string(),
                value(observed),
                value(study.restored.get(id)),
                agreement,
                withheld,
            ]
        })
        .collect();
    let headings = [
        "modality",
        "unit",
        "tokens",
        "observed",
        "reconstructed",
        "agreement",
        "from the other numbers",
    ];
    table(&headings, &rows)
}

fn in_words(found: &Agreement) -> String {
    let parts = [
        found
            .chi2
            .map(|chi2| format!("χ²/n = {}", decimals(Some(chi2), 2))),
        found.r2.map(|r2| format!("R² = {}", decimals(Some(r2), 3))),
        found
            .relative
            .map(|relative| format!("{:.2} %", 100.0 * relative)),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

fn number(found: &Distribution) -> String {
    let [median, low, high] = [found.median, found.q16, found.q84].map(names::number);
    format!("{median} ({low} … {high})")
}

/// What was not measured.
fn absent(study: &Study) -> Result<String> {
    if study.absent.is_empty() {
        return Ok(String::new());
    }
    let mut numbers: Vec<Vec<String>> = Vec::new();
    let mut drawings = String::new();
    for (&id, answer) in &study.absent {
        match answer {
            Answer::Number(found) => numbers.push(vec![
                escape(&names::modality(id)),
                escape(id.info().unit),
                number(found),
            ]),
            Answer::Measured(found) => {
                if let Some(drawing) = drawing(id, found)? {
                    let name = escape(&names::modality(id));
                    drawings += &figure(&drawing.html()?, &format!("{name}, predicted"));
                }
            }
        }
    }
    let mut html = String::from("<details><summary>Not measured, predicted</summary>\n");
    html += &format!("<div class=\"small\">{drawings}</div>\n");
    if !numbers.is_empty() {
        html += &table(&["modality", "unit", "predicted (16 … 84 %)"], &numbers);
    }
    Ok(html + "</details>\n")
}

fn drawing(id: ModalityId, found: &Measurement) -> Result<Option<Drawing>> {
    Ok(match found {
        Measurement::Image(image) => colours(image).map(Drawing::Picture),
        Measurement::Spectrum(spectrum) => {
            spectrum_figure::alone("", spectrum, BLUE)?.map(Drawing::Svg)
        }
        Measurement::ScalarField(map) => {
            let grey = |value: &f32| [(value.clamp(0.0, 1.0) * 255.0) as u8; 3];
            let pixels = map.field.iter().map(grey).collect();
            Some(Drawing::Picture(Picture::new(
                map.width, map.height, pixels,
            )))
        }
        Measurement::Coefficients(values) => {
            spectrum_figure::series(&names::modality(id), values, BLUE)?.map(Drawing::Svg)
        }
        Measurement::Scalar(_) | Measurement::Catalog(_) => None,
    })
}
