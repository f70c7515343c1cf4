//! The look that all charts share: size, fonts, palette, axes, legend.
//!
//! Charts have no ground of their own and draw text and axes in the colour of the text around
//! them, so that they sit on a light page as well as on a dark one.

use std::ops::Range;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The colour that stands for the page's text in a chart; exchanged when the chart is done.
pub const INK: RGBColor = RGBColor(0x6b, 0x72, 0x81);
const INK_TEXT: &str = "#6B7281";
/// Reconstructions, and answers that were shown everything.
pub const RED: RGBColor = RGBColor(0xe0, 0x5a, 0x33);
/// Predictions from other modalities.
pub const BLUE: RGBColor = RGBColor(0x2f, 0x80, 0xd6);
/// Answers from photometry alone.
pub const TEAL: RGBColor = RGBColor(0x1d, 0xa0, 0x8c);
/// Simulated objects among real ones.
pub const VIOLET: RGBColor = RGBColor(0x93, 0x5f, 0xd3);

/// Pixels of a line of title or legend above a chart.
const LINE: u32 = 22;
/// Charts narrower than this have title and legend below each other, pixels.
const NARROW: u32 = 700;
/// Usual width of a letter, pixels.
const LETTER: f64 = 6.7;
const FONT: &str = "sans-serif";

/// A drawing area of a chart.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A chart with two linear axes.
pub type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Axes of a chart.
pub struct Axes<'a> {
    /// Values along x.
    pub x: Range<f64>,
    /// Values along y.
    pub y: Range<f64>,
    /// Quantity and unit along x.
    pub x_label: &'a str,
    /// Quantity and unit along y.
    pub y_label: &'a str,
    /// About how many labels there are along y.
    pub y_ticks: usize,
}

/// Text of a size in pixels.
pub fn text(size: f64, colour: &RGBColor) -> TextStyle<'static> {
    // The backend writes sizes in another unit.
    (FONT, size * 1.24).into_font().color(colour)
}

/// Draws an SVG of a size in pixels; `paint` gets the area below title and legend.
///
/// # Errors
/// Whatever `paint` returns.
pub fn draw(
    (width, height): (u32, u32),
    title: &str,
    legend: &[(&str, RGBColor)],
    paint: impl FnOnce(&Area) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let two_lines = width < NARROW && !title.is_empty() && !legend.is_empty();
        let (head, body) = root.split_vertically(if two_lines { 2 * LINE } else { LINE + 4 });
        head.draw_text(title, &text(13.5, &INK), (8, 6))?;
        let top = if two_lines { LINE as i32 } else { 0 };
        draw_legend(&head, (width as i32, top), legend)?;
        paint(&body)?;
        root.present()?;
    }
    Ok(svg.replace(INK_TEXT, "currentColor"))
}

/// Samples of line and their names, from the right end leftwards.
fn draw_legend(head: &Area, (width, top): (i32, i32), legend: &[(&str, RGBColor)]) -> Result<()> {
    let mut right = width - 14;
    let anchor = Pos::new(HPos::Right, VPos::Top);
    for (name, colour) in legend.iter().rev() {
        head.draw_text(name, &text(12.0, &INK).pos(anchor), (right, top + 7))?;
        right -= (name.chars().count() as f64 * LETTER) as i32 + 6;
        let sample = vec![(right - 18, top + 12), (right, top + 12)];
        head.draw(&PathElement::new(sample, colour.stroke_width(3)))?;
        right -= 30;
    }
    Ok(())
}

/// Draws axes and grid, and gives the chart to draw on.
///
/// # Errors
/// The area is too small for its axes.
pub fn axes<'a, 'b>(area: &'a Area<'b>, axes: &Axes) -> Result<Chart<'a, 'b>> {
    let x_height = if axes.x_label.is_empty() { 8 } else { 42 };
    let mut chart = ChartBuilder::on(area)
        .margin_left(6)
        .margin_right(14)
        .margin_top(4)
        .x_label_area_size(x_height)
        .y_label_area_size(62)
        .build_cartesian_2d(axes.x.clone(), axes.y.clone())?;
    let x_labels = if axes.x_label.is_empty() { 0 } else { 9 };
    let (x_step, y_step) = (step(&axes.x), step(&axes.y));
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.16))
        .axis_style(INK.mix(0.7))
        .label_style(text(11.0, &INK))
        .axis_desc_style(text(12.0, &INK))
        .x_desc(axes.x_label)
        .y_desc(axes.y_label)
        .x_labels(x_labels)
        .y_labels(axes.y_ticks)
        .x_label_formatter(&|x| tick(*x, x_step))
        .y_label_formatter(&|y| tick(*y, y_step))
        .draw()?;
    Ok(chart)
}

/// About the distance between labels.
fn step(range: &Range<f64>) -> f64 {
    (range.end - range.start).abs() / 6.0
}

/// A label with as many decimals as the distance between labels needs.
fn tick(value: f64, step: f64) -> String {
    let decimals = if step > 0.0 {
        (-step.log10()).ceil().clamp(0.0, 4.0)
    } else {
        0.0
    };
    let label = format!("{value:.*}", decimals as usize);
    if label
        .trim_start_matches('-')
        .trim_matches(['0', '.'])
        .is_empty()
    {
        return "0".to_owned();
    }
    label.replace('-', "\u{2212}")
}

/// The outline of a histogram with equal bins from 0 to 1.
pub fn steps(shares: &[f64]) -> Vec<(f64, f64)> {
    let mut line = vec![(0.0, 0.0)];
    for (bin, share) in shares.iter().enumerate() {
        let edges = [bin, bin + 1].map(|edge| edge as f64 / shares.len() as f64);
        line.extend(edges.map(|edge| (edge, *share)));
    }
    line.push((1.0, 0.0));
    line
}

/// The range that holds the middle of `values`, leaving out the share `tail` at either end, widened
/// by a margin. `None` of fewer than two values or of equal ones.
pub fn span(values: impl Iterator<Item = f64>, tail: f64, margin: f64) -> Option<Range<f64>> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let skipped = (last as f64 * tail).round() as usize;
    let (low, high) = (values.get(skipped)?, values.get(last - skipped)?);
    let width = high - low;
    (width > 0.0).then(|| low - margin * width..high + margin * width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_the_decimals_they_need() {
        assert_eq!(tick(4000.0, 1000.0), "4000");
        assert_eq!(tick(-0.25, 0.05), "\u{2212}0.25");
        assert_eq!(tick(-1e-17, 0.5), "0");
    }

    #[test]
    fn spans_leave_out_the_tails() {
        let values = (0..=100).map(f64::from).chain([1e9]);
        let found = span(values, 0.02, 0.0).expect("a range");
        assert_eq!(found, 2.0..99.0);
        assert_eq!(span([1.0, 1.0].into_iter(), 0.0, 0.1), None);
    }
}
