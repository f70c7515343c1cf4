//! Predicted against true values of many objects.

use anyhow::Result;
use plotters::prelude::*;

use crate::report::chart::{self, Axes, INK};

const SIZE: (u32, u32) = (520, 460);
const SIMULATED: &str = "open circles: simulated objects";

/// One point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// True value.
    pub truth: f64,
    /// Predicted value.
    pub predicted: f64,
    /// 16 and 84 % quantiles, where they are known.
    pub interval: Option<(f64, f64)>,
    /// Whether the object comes from the simulator: its dot is open.
    pub simulated: bool,
}

/// Points of one colour.
pub struct Group<'a> {
    /// What they are.
    pub name: &'a str,
    /// Their colour.
    pub colour: RGBColor,
    /// The points.
    pub points: Vec<Point>,
}

/// Predicted over true value, with the line of equality; says so where dots are open because their
/// objects are simulated. `None` with fewer than two points.
///
/// # Errors
/// The chart cannot be drawn.
pub fn scatter(quantity: &str, groups: &[Group]) -> Result<Option<String>> {
    let all = || groups.iter().flat_map(|group| &group.points);
    let values = all().flat_map(|point| [point.truth, point.predicted]);
    let Some(range) = chart::span(values, 0.0, 0.05) else {
        return Ok(None);
    };
    let (x_label, y_label) = (format!("true {quantity}"), format!("predicted {quantity}"));
    let axes = Axes {
        x: range.clone(),
        y: range.clone(),
        x_label: &x_label,
        y_label: &y_label,
        y_ticks: 9,
    };
    let groups: Vec<&Group> = groups
        .iter()
        .filter(|group| !group.points.is_empty())
        .collect();
    let title = if all().any(|point| point.simulated) {
        SIMULATED
    } else {
        ""
    };
    let legend: Vec<(&str, RGBColor)> = groups.iter().map(|g| (g.name, g.colour)).collect();
    let inside = |value: f64| value.clamp(range.start, range.end);
    let svg = chart::draw(SIZE, title, &legend, |area| {
        let mut chart = chart::axes(area, &axes)?;
        let equal = vec![(range.start, range.start), (range.end, range.end)];
        chart.draw_series(DashedLineSeries::new(
            equal,
            6,
            4,
            INK.mix(0.6).stroke_width(1),
        ))?;
        for group in &groups {
            let bars = group.points.iter().filter_map(|point| {
                let (low, high) = point.interval?;
                let bar = vec![(point.truth, inside(low)), (point.truth, inside(high))];
                Some(PathElement::new(bar, group.colour.mix(0.4).stroke_width(1)))
            });
            chart.draw_series(bars)?;
            let radius = if group.points.len() > 200 { 2 } else { 4 };
            let dots = group.points.iter().map(|point| {
                let place = (point.truth, point.predicted);
                let colour = group.colour.mix(0.75);
                let style = if point.simulated {
                    colour.stroke_width(1)
                } else {
                    colour.filled()
                };
                Circle::new(place, radius, style)
            });
            chart.draw_series(dots)?;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_a_dot_for_each_point() {
        let point = |truth: f64| Point {
            truth,
            predicted: truth + 0.1,
            interval: Some((truth, truth + 0.3)),
            simulated: truth > 0.8,
        };
        let group = Group {
            name: "real",
            colour: chart::TEAL,
            points: vec![point(0.1), point(0.5), point(0.9)],
        };
        let svg = scatter("redshift", &[group])
            .expect("drawn")
            .expect("a figure");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("predicted redshift") && svg.contains(SIMULATED));
    }
}
