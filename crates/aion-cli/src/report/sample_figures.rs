//! Figures of all objects together: predicted over true values, nearest neighbours.

use aion_data::{Measurement, ModalityId, Survey};
use anyhow::Result;

use crate::report::chart::{BLUE, RED, TEAL, VIOLET};
use crate::report::figures::{Drawing, Figure};
use crate::report::html::escape;
use crate::report::names::origin;
use crate::report::object_figures::of_object;
use crate::report::picture::Picture;
use crate::report::scatter_figure::{Group, Point, scatter};
use crate::report::stretch::colours;
use crate::report::study::{Answer, Study};

/// Objects that get a row of neighbours.
const NEIGHBOUR_ROWS: usize = 4;
/// Neighbours in a row.
const NEIGHBOURS: usize = 5;

/// Predicted over true values: redshifts, magnitudes, XP coefficients.
///
/// # Errors
/// A chart cannot be drawn.
pub fn scatters(studies: &[Study]) -> Result<Vec<Figure>> {
    let redshifts = |simulated: bool| -> Vec<Point> {
        let wanted = studies
            .iter()
            .filter(|study| study.object.simulated == simulated);
        let point = |study: &Study| {
            let found = study.redshift.predicted()?;
            Some(Point {
                truth: study.redshift.truth?,
                predicted: found.median,
                interval: Some((found.q16, found.q84)),
                simulated,
            })
        };
        wanted.filter_map(point).collect()
    };
    let group = |name, colour, points| Group {
        name,
        colour,
        points,
    };
    let redshift = [
        group("real", TEAL, redshifts(false)),
        group("simulated", VIOLET, redshifts(true)),
    ];
    let magnitude = [
        group("Legacy", TEAL, magnitudes(studies, Survey::LegacySurvey)),
        group("HSC", BLUE, magnitudes(studies, Survey::Hsc)),
        group("Gaia", RED, magnitudes(studies, Survey::Gaia)),
    ];
    let coefficient = [
        group("BP", BLUE, coefficients(studies, "bp_coefficients")),
        group("RP", RED, coefficients(studies, "rp_coefficients")),
    ];
    let drawn = [
        (
            "redshifts",
            "redshift",
            &redshift[..],
            "Redshift from everything but the redshift: median, and the interval from 16 to 84 %",
        ),
        (
            "magnitudes",
            "magnitude",
            &magnitude[..],
            "Each flux from the object's other numbers, as magnitude (Gaia's in the Vega system)",
        ),
        (
            "xp-coefficients",
            "asinh(XP coefficient)",
            &coefficient[..],
            "Gaia XP: the coefficients of one arm from those of the other and from photometry",
        ),
    ];
    let mut figures = Vec::new();
    for (name, quantity, groups, caption) in drawn {
        if let Some(svg) = scatter(quantity, groups)? {
            figures.push(Figure {
                object: None,
                name: name.to_owned(),
                caption: caption.to_owned(),
                drawing: Drawing::Svg(svg),
            });
        }
    }
    Ok(figures)
}

/// A flux or magnitude of a survey as magnitude; `None` of what is no brightness or not positive.
fn magnitude(id: ModalityId, value: f64) -> Option<f64> {
    let info = id.info();
    let zeropoint = match (info.unit, info.codec) {
        ("mag", codec) if codec.ends_with("_cmodel_mag") => return Some(value),
        ("nanomaggy", _) => 22.5,
        // Vega zero points of Gaia DR3.
        (_, "phot_g_mean_flux") => 25.6874,
        (_, "phot_bp_mean_flux") => 25.3385,
        (_, "phot_rp_mean_flux") => 24.7479,
        _ => return None,
    };
    (value > 0.0).then(|| zeropoint - 2.5 * value.log10())
}

fn magnitudes(studies: &[Study], survey: Survey) -> Vec<Point> {
    let of_study = |study: &Study| -> Vec<Point> {
        let answers = study
            .withheld
            .iter()
            .filter(|(id, _)| id.info().survey == survey);
        let point = |(&id, answer): (&ModalityId, &Answer)| {
            let Answer::Number(found) = answer else {
                return None;
            };
            let ends = magnitude(id, found.q16).zip(magnitude(id, found.q84));
            Some(Point {
                truth: magnitude(id, f64::from(study.object.scalar(id)?))?,
                predicted: magnitude(id, found.median)?,
                interval: ends.map(|(a, b)| (a.min(b), a.max(b))),
                simulated: study.object.simulated,
            })
        };
        answers.filter_map(point).collect()
    };
    studies.iter().flat_map(of_study).collect()
}

fn coefficients(studies: &[Study], codec: &str) -> Vec<Point> {
    let of_study = |study: &Study| -> Vec<Point> {
        let id = ModalityId::from_codec(codec, Survey::Gaia);
        let found = id.and_then(|id| Some((study.object.get(id)?, study.withheld.get(&id)?)));
        let Some((
            Measurement::Coefficients(truth),
            Answer::Measured(Measurement::Coefficients(found)),
        )) = found
        else {
            return Vec::new();
        };
        let point = |(truth, predicted): (&f32, &f32)| Point {
            truth: f64::from(*truth).asinh(),
            predicted: f64::from(*predicted).asinh(),
            interval: None,
            simulated: study.object.simulated,
        };
        truth.iter().zip(found).map(point).collect()
    };
    studies.iter().flat_map(of_study).collect()
}

fn first_image(study: &Study) -> Option<Picture> {
    study
        .object
        .measurements
        .values()
        .find_map(|measurement| match measurement {
            Measurement::Image(image) => colours(image),
            _ => None,
        })
}

/// Objects with images, each beside those of its neighbours that have one.
pub fn neighbour_rows(studies: &[Study]) -> Vec<Figure> {
    let rows = studies.iter().enumerate().filter_map(|(place, study)| {
        let mut pictures = vec![first_image(study)?];
        let mut names = Vec::new();
        for neighbour in &study.neighbours {
            let other = studies.get(neighbour.object)?;
            if let Some(picture) = first_image(other) {
                pictures.push(picture);
                names.push(format!(
                    "{} ({}, {:.3})",
                    escape(&other.object.id),
                    origin(other.object.simulated),
                    neighbour.cosine
                ));
            }
            if names.len() == NEIGHBOURS {
                break;
            }
        }
        if names.is_empty() {
            return None;
        }
        let strip = Picture::strip(&pictures.iter().collect::<Vec<&Picture>>());
        let caption = format!(
            "and its nearest neighbours with images: {}",
            names.join(", ")
        );
        Some(of_object(
            place,
            study,
            "neighbours",
            caption,
            Drawing::Picture(strip),
        ))
    });
    rows.take(NEIGHBOUR_ROWS).collect()
}
