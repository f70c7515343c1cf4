//! The curves of a training run: loss and its terms, learning rate, gradient norm.

use std::collections::BTreeSet;

use aion_train::Progress;
use anyhow::Result;
use plotters::prelude::*;

use crate::report::chart::{self, Area, Axes, BLUE, INK, RED, TEAL, VIOLET};

const SIZE: (u32, u32) = (900, 620);
/// Pixels of the upper chart.
const UPPER: u32 = 380;
/// Terms with a colour of their own; the others share one.
const COLOURS: [RGBColor; 3] = [BLUE, TEAL, VIOLET];

/// A quantity over the steps.
struct Curve {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Draws the curves of a run's reports as SVG.
///
/// # Errors
/// The backend fails.
pub(super) fn draw(reports: &[Progress]) -> Result<String> {
    let curves = losses(reports);
    let named = curves.iter().rev().filter(|curve| curve.colour != INK);
    let mut legend: Vec<(&str, RGBColor)> = named
        .map(|curve| (curve.name.as_str(), curve.colour))
        .collect();
    if curves.iter().any(|curve| curve.colour == INK) {
        legend.push(("other modalities", INK));
    }
    let of = |value: fn(&Progress) -> f64| Curve {
        name: String::new(),
        colour: BLUE,
        points: reports
            .iter()
            .map(|at| (at.step as f64, value(at)))
            .collect(),
    };
    let rate = of(|progress| progress.learning_rate);
    let norm = of(|progress| progress.gradient_norm);
    chart::draw(SIZE, "loss over the steps", &legend, |area| {
        let (upper, lower) = area.split_vertically(UPPER);
        panel(&upper, "loss", &curves)?;
        let (left, right) = lower.split_horizontally(SIZE.0 / 2);
        panel(&left, "learning rate", &[rate])?;
        panel(&right, "gradient norm", &[norm])
    })
}

/// The terms and, last and so above them, the loss.
fn losses(reports: &[Progress]) -> Vec<Curve> {
    // A codec's figures on what is held out have units of their own.
    let keys = reports.iter().flat_map(|at| at.losses.keys());
    let keys = keys.filter(|name| !name.starts_with("report/"));
    let mut names: Vec<&String> = keys.collect::<BTreeSet<_>>().into_iter().collect();
    names.sort_by_key(|name| *name == "loss");
    let few = names.len() <= COLOURS.len() + 1;
    let curves = names.into_iter().enumerate().map(|(place, name)| {
        let term = if few {
            COLOURS[place % COLOURS.len()]
        } else {
            INK
        };
        let point = |at: &Progress| Some((at.step as f64, *at.losses.get(name)?));
        Curve {
            name: name.clone(),
            colour: if name == "loss" { RED } else { term },
            points: reports.iter().filter_map(point).collect(),
        }
    });
    curves.collect()
}

fn panel(area: &Area, label: &str, curves: &[Curve]) -> Result<()> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let x = chart::span(points().map(|(step, _)| *step), 0.0, 0.01);
    let y = chart::span(points().map(|(_, value)| *value), 0.0, 0.05);
    let mut drawn = chart::axes(
        area,
        &Axes {
            x: x.unwrap_or(0.0..1.0),
            y: y.unwrap_or(0.0..1.0),
            x_label: "step",
            y_label: label,
            y_ticks: 6,
        },
    )?;
    for curve in curves {
        let width = if curve.colour == INK { 1 } else { 2 };
        let finite = curve.points.iter().filter(|(_, value)| value.is_finite());
        let line = LineSeries::new(finite.copied(), curve.colour.stroke_width(width));
        drawn.draw_series(line)?;
    }
    Ok(())
}
