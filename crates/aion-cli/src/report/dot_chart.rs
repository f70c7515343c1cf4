//! Dots in rows that have names, the first on top: one value of many things, for a few colours.

use std::ops::Range;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::chart::{Area, INK, text};

/// Height of a row, pixels.
pub const ROW: u32 = 18;
/// Room for the axis below the rows, pixels.
pub const AXIS: u32 = 52;

/// The horizontal axis.
pub struct Axis<'a> {
    /// Values along it.
    pub x: Range<f64>,
    /// Quantity and unit.
    pub label: &'a str,
}

/// Draws the rows; `width` pixels on the left are for their names, none where it is 0. Values that are
/// not finite have no dot.
///
/// # Errors
/// The area is too small.
pub fn dots(
    area: &Area,
    (names, width): (&[&str], u32),
    axis: &Axis,
    series: &[(RGBColor, Vec<f64>)],
) -> Result<()> {
    let (beside, area) = area.split_horizontally(width);
    let mut chart = ChartBuilder::on(&area)
        .margin_left(6)
        .margin_right(14)
        .x_label_area_size(AXIS - 10)
        .build_cartesian_2d(axis.x.clone(), 0.0..names.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_axis()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.16))
        .axis_style(INK.mix(0.7))
        .label_style(text(11.0, &INK))
        .axis_desc_style(text(12.0, &INK))
        .x_desc(axis.label)
        .x_labels(6)
        .draw()?;
    for (place, name) in names.iter().enumerate() {
        let y = (names.len() - place) as f64 - 0.5;
        let line = vec![(axis.x.start, y), (axis.x.end, y)];
        chart.draw_series([PathElement::new(line, INK.mix(0.16))])?;
        for (colour, values) in series {
            let value = values.get(place).filter(|value| value.is_finite());
            chart.draw_series(value.map(|x| Circle::new((*x, y), 3, colour.filled())))?;
        }
        let (_, pixel) = chart.backend_coord(&(axis.x.start, y));
        let (_, top) = beside.get_base_pixel();
        let anchor = Pos::new(HPos::Right, VPos::Center);
        if width > 0 {
            let at = (width as i32, pixel - top);
            beside.draw_text(name, &text(11.0, &INK).pos(anchor), at)?;
        }
    }
    Ok(())
}
