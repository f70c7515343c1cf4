//! What samplers of masks feed: how full budgets are, and how often modalities are seen and predicted.

use aion_train::masking::statistics::{MaskStatistics, ModalityUse, Side};
use anyhow::Result;
use plotters::prelude::*;

use crate::report::chart::{self, Area, Axes, BLUE, RED, TEAL};
use crate::report::dot_chart::{self, AXIS, ROW};

const WIDTH: u32 = 860;
/// Height of the histograms, pixels.
const HISTOGRAM: u32 = 260;
/// Room for names beside the rows, pixels.
const NAMES: u32 = 116;
const COLOURS: [RGBColor; 3] = [BLUE, RED, TEAL];

/// Draws the statistics of at most three samplers as SVG.
///
/// # Errors
/// Drawing fails.
pub fn draw(found: &[MaskStatistics]) -> Result<String> {
    let legend: Vec<(&str, RGBColor)> = found.iter().map(|f| f.sampler).zip(COLOURS).collect();
    let objects = found.first().map_or(0, |found| found.objects);
    let modalities = found.first().map_or(0, |found| found.by_modality.len()) as u32;
    let height = HISTOGRAM + modalities * ROW + AXIS;
    let title = format!("Masks of {objects} objects");
    chart::draw((WIDTH, height + 26), &title, &legend, |area| {
        let (top, bottom) = area.split_vertically(HISTOGRAM);
        let (left, right) = top.split_horizontally(WIDTH / 2);
        draw_fill(&left, found, "fill of the input budget", |found| {
            &found.input
        })?;
        draw_fill(&right, found, "fill of the target budget", |found| {
            &found.target
        })?;
        let (left, right) = bottom.split_horizontally((WIDTH + NAMES) / 2);
        draw_use(
            &left,
            found,
            ("share of objects that see it", NAMES),
            |of| of.seen,
        )?;
        draw_use(
            &right,
            found,
            ("share of objects that predict it", 0),
            |of| of.predicted,
        )
    })
}

/// Histograms as steps.
fn draw_fill(
    area: &Area,
    found: &[MaskStatistics],
    label: &str,
    side: impl Fn(&MaskStatistics) -> &Side,
) -> Result<()> {
    let tallest = found.iter().flat_map(|found| side(found).fills);
    let tallest = tallest.fold(0.0, f64::max);
    let axes = Axes {
        x: 0.0..1.0,
        y: 0.0..(1.1 * tallest).max(0.1),
        x_label: label,
        y_label: "share of objects",
        y_ticks: 5,
    };
    let mut chart = chart::axes(area, &axes)?;
    for (found, colour) in found.iter().zip(COLOURS) {
        let line = chart::steps(&side(found).fills);
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
    }
    Ok(())
}

/// A point for each modality and sampler, the first modality on top.
fn draw_use(
    area: &Area,
    found: &[MaskStatistics],
    (label, names): (&str, u32),
    share: impl Fn(&ModalityUse) -> f64,
) -> Result<()> {
    let Some(first) = found.first() else {
        return Ok(());
    };
    let keys: Vec<&str> = first.by_modality.keys().copied().collect();
    let of = |found: &MaskStatistics| {
        let share = |key: &&str| found.by_modality.get(key).map_or(0.0, &share);
        keys.iter().map(share).collect()
    };
    let series: Vec<(RGBColor, Vec<f64>)> = COLOURS.into_iter().zip(found.iter().map(of)).collect();
    let axis = dot_chart::Axis {
        x: -0.02..1.02,
        label,
    };
    dot_chart::dots(area, (&keys, names), &axis, &series)
}
