//! Figures of the report on a trained model.

use aion_train::model_report::statistics::PIT_BINS;
use aion_train::model_report::{CrossEntropy, ModelReport, RedshiftReport, SampleReport};
use anyhow::Result;
use plotters::prelude::*;

use crate::report::chart::{self, Axes, BLUE, INK, RED, TEAL, VIOLET};
use crate::report::dot_chart::{self, AXIS, Axis, ROW};
use crate::report::names::origin;
use crate::report::scatter_figure::{Group, Point, scatter};

const WIDTH: u32 = 760;
/// Room for token keys, pixels.
const NAMES: u32 = 120;
const PIT_SIZE: (u32, u32) = (520, 320);
const COLOURS: [RGBColor; 4] = [TEAL, RED, BLUE, VIOLET];

/// All figures by their names.
///
/// # Errors
/// A chart cannot be drawn.
pub fn draw(report: &ModelReport) -> Result<Vec<(String, String)>> {
    let mut figures = Vec::new();
    for sample in &report.samples {
        let name = format!("cross-entropy-{}", origin(sample.simulated));
        figures.push((name, cross_entropy(sample)?));
    }
    // Reports on the same galaxies, with more and more shown, are neighbours.
    let is_same =
        |a: &RedshiftReport, b: &RedshiftReport| (a.survey, a.simulated) == (b.survey, b.simulated);
    for reports in report.redshifts.chunk_by(is_same) {
        let Some(first) = reports.first() else {
            continue;
        };
        let name = format!("{}-{}", first.survey, origin(first.simulated));
        if let Some(svg) = redshifts(reports)? {
            figures.push((format!("redshift-{name}"), svg));
        }
        figures.push((format!("pit-{name}"), pit(reports)?));
    }
    Ok(figures)
}

/// A row for each modality: the unigram, and what the model makes of less and of more.
fn cross_entropy(sample: &SampleReport) -> Result<String> {
    let rows = &sample.cross_entropy;
    let names: Vec<&str> = rows.iter().map(|row| row.modality).collect();
    let column = |nats: fn(&CrossEntropy) -> f64| rows.iter().map(nats).collect::<Vec<f64>>();
    let columns = [
        ("unigram", INK, column(|row| row.unigram.nats)),
        ("numbers", TEAL, column(|row| row.numbers.nats)),
        ("all others", RED, column(|row| row.all)),
    ];
    let legend = columns.each_ref().map(|(name, colour, _)| (*name, *colour));
    let most = columns.iter().flat_map(|(_, _, values)| values).copied();
    let axis = Axis {
        x: 0.0..1.05 * most.fold(1.0, f64::max),
        label: "cross-entropy, nats a token",
    };
    let series = columns.map(|(_, colour, values)| (colour, values));
    let title = format!(
        "{} {} objects, held out",
        sample.objects,
        origin(sample.simulated)
    );
    let height = names.len() as u32 * ROW + AXIS + 26;
    chart::draw((WIDTH, height), &title, &legend, |area| {
        dot_chart::dots(area, (&names, NAMES), &axis, &series)
    })
}

/// Predicted over true redshift.
fn redshifts(reports: &[RedshiftReport]) -> Result<Option<String>> {
    let group = |(report, colour): (&'_ RedshiftReport, RGBColor)| Group {
        name: report.inputs,
        colour,
        points: report
            .estimates
            .iter()
            .map(|estimate| Point {
                truth: estimate.z,
                predicted: estimate.median,
                interval: None,
                simulated: report.simulated,
            })
            .collect(),
    };
    let groups: Vec<Group> = reports.iter().zip(COLOURS).map(group).collect();
    scatter("redshift", &groups)
}

/// Histograms of the probability below the truth, which calibrated distributions fill evenly.
fn pit(reports: &[RedshiftReport]) -> Result<String> {
    let even = 1.0 / PIT_BINS as f64;
    let tallest = reports.iter().flat_map(|report| report.quality.pit);
    let axes = Axes {
        x: 0.0..1.0,
        y: 0.0..1.1 * tallest.fold(2.0 * even, f64::max),
        x_label: "probability below the true redshift (PIT)",
        y_label: "share of galaxies",
        y_ticks: 6,
    };
    let legend: Vec<(&str, RGBColor)> = reports.iter().map(|r| r.inputs).zip(COLOURS).collect();
    let title = reports
        .first()
        .map(|first| format!("{} {} galaxies", origin(first.simulated), first.survey));
    chart::draw(PIT_SIZE, &title.unwrap_or_default(), &legend, |area| {
        let mut chart = chart::axes(area, &axes)?;
        let line = vec![(0.0, even), (1.0, even)];
        chart.draw_series(DashedLineSeries::new(line, 6, 4, INK.stroke_width(1)))?;
        for (report, colour) in reports.iter().zip(COLOURS) {
            let line = chart::steps(&report.quality.pit);
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
        Ok(())
    })
}
