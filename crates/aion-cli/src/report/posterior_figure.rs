//! The redshift posterior as more is shown (paper, Fig. 4).

use aion_model::Distribution;
use anyhow::Result;
use plotters::prelude::*;

use crate::report::chart::{self, Axes, BLUE, INK, RED, TEAL};
use crate::report::study::Redshift;

const SIZE: (u32, u32) = (520, 300);
/// Share of the probability that may lie outside the figure, at either end.
const TAIL: f64 = 0.004;

/// Redshift and probability density.
type Curve = Vec<(f64, f64)>;

/// Probability density over redshift, one curve for each stage, and the true value. `None` where
/// there is nothing to draw.
///
/// # Errors
/// The chart cannot be drawn.
pub fn posterior(title: &str, redshift: &Redshift) -> Result<Option<String>> {
    let curves: Vec<(&str, RGBColor, Curve)> = redshift
        .stages
        .iter()
        .map(|(label, found)| (*label, colour(label), density(found)))
        .collect();
    let ends = redshift.stages.iter().map(|(_, found)| ends(found));
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (start, end) in ends.chain(redshift.truth.map(|truth| (truth, truth))) {
        (low, high) = (low.min(start), high.max(end));
    }
    let top = curves
        .iter()
        .flat_map(|(_, _, curve)| curve.iter().map(|(_, p)| *p));
    let top = top.fold(0.0, f64::max);
    if !(high > low && top > 0.0 && top.is_finite()) {
        return Ok(None);
    }
    let margin = 0.05 * (high - low);
    let axes = Axes {
        x: (low - margin).max(-0.02)..high + margin,
        y: 0.0..top * 1.08,
        x_label: "redshift z",
        y_label: "probability density",
        y_ticks: 5,
    };
    let mut legend: Vec<(&str, RGBColor)> = curves.iter().map(|(l, c, _)| (*l, *c)).collect();
    if redshift.truth.is_some() {
        legend.push(("true", INK));
    }
    let svg = chart::draw(SIZE, title, &legend, |area| {
        let mut chart = chart::axes(area, &axes)?;
        for (_, colour, curve) in &curves {
            let inside = |(z, _): &&(f64, f64)| axes.x.contains(z);
            let points: Vec<(f64, f64)> = curve.iter().filter(inside).copied().collect();
            let area = AreaSeries::new(points, 0.0, colour.mix(0.14));
            chart.draw_series(area.border_style(colour.stroke_width(2)))?;
        }
        if let Some(truth) = redshift.truth {
            let line = vec![(truth, 0.0), (truth, axes.y.end)];
            chart.draw_series(DashedLineSeries::new(line, 6, 4, INK.stroke_width(2)))?;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

fn colour(label: &str) -> RGBColor {
    match label.trim_start_matches("+ ") {
        "photometry" => TEAL,
        "image" => BLUE,
        _ => RED,
    }
}

/// Probability over bin width at each bin.
fn density(found: &Distribution) -> Curve {
    let grid: Vec<f64> = found.grid.iter().map(|value| f64::from(*value)).collect();
    let width = |i: usize| {
        let low = grid.get(i.saturating_sub(1)).copied().unwrap_or_default();
        let next = (i + 1).min(grid.len().saturating_sub(1));
        let high = grid.get(next).copied().unwrap_or_default();
        let bins = next - i.saturating_sub(1);
        (high - low) / bins.max(1) as f64
    };
    let points = grid.iter().zip(&found.probabilities).enumerate();
    points
        .map(|(i, (value, p))| (*value, p / width(i).max(f64::MIN_POSITIVE)))
        .collect()
}

/// Values between which nearly all of the probability lies.
fn ends(found: &Distribution) -> (f64, f64) {
    let mut sum = 0.0;
    let (mut low, mut high) = (f64::NAN, f64::NAN);
    for (value, p) in found.grid.iter().zip(&found.probabilities) {
        let value = f64::from(*value);
        if sum <= TAIL {
            low = value;
        }
        sum += p;
        high = value;
        if sum >= 1.0 - TAIL {
            break;
        }
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use aion_model::Prediction;

    use super::*;

    fn gaussian(mean: f32, sigma: f32) -> Distribution {
        let grid: Vec<f32> = (0..600).map(|i| i as f32 / 100.0).collect();
        let logits = grid
            .iter()
            .map(|z| -((z - mean) / sigma).powi(2) / 2.0)
            .collect();
        let prediction = Prediction::new(600, logits);
        prediction.distribution(&grid).expect("a distribution")
    }

    #[test]
    fn densities_integrate_to_one() {
        let curve = density(&gaussian(0.7, 0.2));
        let sum: f64 = curve.iter().map(|(_, p)| p * 0.01).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    }

    #[test]
    fn the_axis_holds_curves_and_truth() {
        let (low, high) = ends(&gaussian(1.0, 0.1));
        assert!(low > 0.5 && high < 1.5);
        let redshift = Redshift {
            truth: Some(0.4),
            stages: vec![
                ("photometry", gaussian(1.0, 0.3)),
                ("+ image", gaussian(1.0, 0.1)),
            ],
        };
        let svg = posterior("one", &redshift)
            .expect("drawn")
            .expect("a figure");
        assert!(svg.contains("+ image") && svg.contains("true\n") && svg.contains("redshift z"));
    }
}
