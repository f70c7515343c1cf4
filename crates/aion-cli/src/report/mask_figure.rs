//! What samplers of masks feed: how full budgets are, and how often modalities are seen and predicted.

use aion_train::masking::statistics::{MaskStatistics, ModalityUse, STEPS, Side};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::chart::{self, Area, Axes, BLUE, INK, RED, TEAL, text};

const WIDTH: u32 = 860;
/// Height of the histograms, and of a modality's row, pixels.
const HISTOGRAM: u32 = 260;
const ROW: u32 = 18;
/// Room for the axis below the rows, and for names beside them, pixels.
const AXIS: u32 = 52;
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
        let mut line = vec![(0.0, 0.0)];
        for (step, share) in side(found).fills.iter().enumerate() {
            let edges = [step, step + 1].map(|edge| edge as f64 / STEPS as f64);
            line.extend(edges.map(|edge| (edge, *share)));
        }
        line.push((1.0, 0.0));
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
    let (beside, area) = area.split_horizontally(names);
    let mut chart = ChartBuilder::on(&area)
        .margin_left(6)
        .margin_right(14)
        .x_label_area_size(AXIS - 10)
        .build_cartesian_2d(-0.02..1.02, 0.0..keys.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_axis()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.16))
        .axis_style(INK.mix(0.7))
        .label_style(text(11.0, &INK))
        .axis_desc_style(text(12.0, &INK))
        .x_desc(label)
        .x_labels(6)
        .draw()?;
    for (place, key) in keys.iter().enumerate() {
        let y = (keys.len() - place) as f64 - 0.5;
        let line = PathElement::new(vec![(0.0, y), (1.0, y)], INK.mix(0.16));
        chart.draw_series([line])?;
        for (found, colour) in found.iter().zip(COLOURS) {
            let share = found.by_modality.get(key).map_or(0.0, &share);
            chart.draw_series([Circle::new((share, y), 3, colour.filled())])?;
        }
        let (_, pixel) = chart.backend_coord(&(0.0, y));
        let (_, top) = beside.get_base_pixel();
        let anchor = Pos::new(HPos::Right, VPos::Center);
        if names > 0 {
            let at = (names as i32, pixel - top);
            beside.draw_text(key, &text(11.0, &INK).pos(anchor), at)?;
        }
    }
    Ok(())
}
