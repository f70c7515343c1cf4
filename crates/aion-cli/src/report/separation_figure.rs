//! How far apart the two sides of cross-matched pairs are.

use aion_data::crossmatch::Statistics;
use anyhow::Result;
use plotters::prelude::*;

use crate::report::chart::{self, Axes, BLUE, RED};

const SIZE: (u32, u32) = (620, 320);

/// A histogram of separations from 0 to the radius (arcsec), with the median as a line.
///
/// # Errors
/// The chart cannot be drawn.
pub fn separations(found: &Statistics, radius: f64) -> Result<String> {
    let counts = &found.histogram;
    let highest = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let axes = Axes {
        x: 0.0..radius,
        y: 0.0..highest * 1.08,
        x_label: "separation, arcsec",
        y_label: "pairs",
        y_ticks: 5,
    };
    let legend = [("median", RED)];
    let width = radius / counts.len().max(1) as f64;
    chart::draw(SIZE, "Separations of pairs", &legend, |area| {
        let mut chart = chart::axes(area, &axes)?;
        let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        chart.draw_series(bars.map(|(bin, count)| {
            let left = bin as f64 * width;
            let corners = [(left, 0.0), (left + width, *count as f64)];
            Rectangle::new(corners, BLUE.mix(0.6).filled())
        }))?;
        let line = vec![(found.median, 0.0), (found.median, axes.y.end)];
        chart.draw_series(LineSeries::new(line, RED.stroke_width(2)))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_for_each_filled_bin() {
        let found = Statistics {
            mean: 0.3,
            median: 0.25,
            p95: 0.8,
            max: 0.9,
            offset_ra: 0.0,
            offset_dec: 0.0,
            histogram: vec![0, 4, 2, 0, 1],
        };
        let svg = separations(&found, 1.0).expect("a figure");
        let bars = svg.matches("<rect").count();
        assert_eq!(bars, 3, "{svg}");
        assert!(svg.contains("separation, arcsec"));
    }
}
