//! A map of the sky with the number of objects in each HEALPix cell: the whole sky in Mollweide's
//! equal-area projection, and beside it the part that holds objects, where that is small.

use std::collections::BTreeMap;
use std::f64::consts::{PI, SQRT_2};
use std::ops::Range;

use aion_data::sky::{cell_corners, position, unit_vector};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::chart::{self, Area, Axes, INK, text};

/// Size of the whole sky and of the part, pixels.
const SKY: (u32, u32) = (760, 420);
const PART: u32 = 400;
/// The part is drawn where right ascensions and declinations span at most so many degrees.
const SMALL: f64 = 40.0;
/// Right ascension in the middle of the map, degrees; it grows to the left.
const CENTRE: f64 = 180.0;
/// Cells across the part, at most.
const ACROSS: f64 = 64.0;
/// Few and many objects in a cell, with the colours between them.
const RAMP: [(f64, f64, f64); 4] = [
    (68.0, 90.0, 160.0),
    (32.0, 144.0, 140.0),
    (94.0, 190.0, 90.0),
    (246.0, 200.0, 60.0),
];

/// Draws counts by nested cell of an order as SVG; the whole sky in cells of order `coarse`.
///
/// # Errors
/// Drawing fails.
pub fn draw(cells: &BTreeMap<i64, u64>, order: u8, coarse: u8) -> Result<String> {
    let whole = merged(cells, order, coarse);
    let part = extent(cells, order);
    let width = SKY.0 + if part.is_some() { PART } else { 0 };
    let total: u64 = cells.values().sum();
    let title = format!("{total} objects by HEALPix cell (ICRS)");
    chart::draw((width, SKY.1), &title, &[], |area| {
        let (left, right) = area.split_horizontally(SKY.0);
        draw_sky(&left, &whole, coarse)?;
        match &part {
            Some(extent) => draw_part(&right, cells, order, extent),
            None => Ok(()),
        }
    })
}

/// Counts by the nested cells of a lower order.
pub fn merged(cells: &BTreeMap<i64, u64>, from: u8, to: u8) -> BTreeMap<i64, u64> {
    let mut merged = BTreeMap::new();
    for (cell, count) in cells {
        *merged.entry(cell >> (2 * (from - to))).or_default() += count;
    }
    merged
}

fn draw_sky(area: &Area, cells: &BTreeMap<i64, u64>, order: u8) -> Result<()> {
    let scale = f64::from(SKY.0 - 60) / (4.0 * SQRT_2);
    let middle = (f64::from(SKY.0) / 2.0, 180.0);
    let at = |(east, north): (f64, f64)| -> (i32, i32) {
        // East is to the left, north is up.
        (
            (middle.0 - scale * east).round() as i32,
            (middle.1 - scale * north).round() as i32,
        )
    };
    let most = cells.values().copied().max().unwrap_or(1);
    for (&cell, &count) in cells {
        let Some(corners) = cell_corners(order, cell) else {
            continue;
        };
        let longitudes = unwrapped(corners);
        let points = longitudes
            .iter()
            .zip(corners)
            .map(|(&longitude, (_, dec))| at(mollweide(longitude.clamp(-180.0, 180.0), dec)));
        let points: Vec<(i32, i32)> = points.collect();
        area.draw(&Polygon::new(points, colour(count, most).filled()))?;
    }
    let line = INK.mix(0.3).stroke_width(1);
    let degrees = |from: i32, to: i32| (from..=to).map(f64::from);
    for longitude in (-180..=180).step_by(60) {
        let points = degrees(-90, 90).map(|dec| at(mollweide(f64::from(longitude), dec)));
        area.draw(&PathElement::new(points.collect::<Vec<_>>(), line))?;
    }
    for dec in [-60, -30, 0, 30, 60] {
        let points = degrees(-180, 180).map(|l| at(mollweide(l, f64::from(dec))));
        area.draw(&PathElement::new(points.collect::<Vec<_>>(), line))?;
    }
    let label = text(11.0, &INK).pos(Pos::new(HPos::Center, VPos::Center));
    for longitude in [-120, -60, 0, 60, 120] {
        let (x, y) = at(mollweide(f64::from(longitude), 0.0));
        let name = format!("{}\u{b0}", longitude + CENTRE as i32);
        area.draw_text(&name, &label, (x, y + 8))?;
    }
    for dec in [-60, -30, 30, 60] {
        let (x, y) = at(mollweide(180.0, f64::from(dec)));
        let name = format!("{dec:+}\u{b0}").replace('-', "\u{2212}");
        area.draw_text(&name, &label, (x - 18, y))?;
    }
    draw_ramp(area, most)
}

/// The colours with the counts that they stand for.
fn draw_ramp(area: &Area, most: u64) -> Result<()> {
    const LEFT: i32 = 280;
    const WIDTH: i32 = 200;
    const TOP: i32 = 368;
    for step in 0..WIDTH {
        let shade = ramp(f64::from(step) / f64::from(WIDTH));
        let corners = [(LEFT + step, TOP), (LEFT + step + 1, TOP + 9)];
        area.draw(&Rectangle::new(corners, shade.filled()))?;
    }
    let label = |anchor| text(11.0, &INK).pos(Pos::new(anchor, VPos::Center));
    area.draw_text("1", &label(HPos::Right), (LEFT - 6, TOP + 5))?;
    let many = format!("{most} objects in a cell");
    area.draw_text(&many, &label(HPos::Left), (LEFT + WIDTH + 6, TOP + 5))?;
    Ok(())
}

/// Where the objects lie, where that is a small part of the sky: right ascensions relative to
/// `centre`, and declinations, degrees.
struct Extent {
    centre: f64,
    ra: Range<f64>,
    dec: Range<f64>,
}

fn extent(cells: &BTreeMap<i64, u64>, order: u8) -> Option<Extent> {
    let corners = || {
        let corners = cells.keys().filter_map(|&cell| cell_corners(order, cell));
        corners.flatten()
    };
    let centre = corners().next()?.0;
    let span = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let (west, east) = span(&mut corners().map(|(ra, _)| around_zero(ra - centre)));
    let (south, north) = span(&mut corners().map(|(_, dec)| dec));
    let small = east - west <= SMALL && north - south <= SMALL && north.abs().max(-south) < 85.0;
    small.then_some(Extent {
        centre,
        ra: west..east,
        dec: south..north,
    })
}

fn draw_part(area: &Area, cells: &BTreeMap<i64, u64>, order: u8, extent: &Extent) -> Result<()> {
    let widest = (extent.ra.end - extent.ra.start).max(extent.dec.end - extent.dec.start);
    // A cell of order k is 58.6 / 2^k degrees wide.
    let finest = (58.6 * ACROSS / widest)
        .log2()
        .floor()
        .clamp(0.0, f64::from(order)) as u8;
    let cells = merged(cells, order, finest);
    let most = cells.values().copied().max().unwrap_or(1);
    let margin = 0.05 * widest;
    let axes = Axes {
        x: extent.ra.end + margin + extent.centre..extent.ra.start - margin + extent.centre,
        y: extent.dec.start - margin..extent.dec.end + margin,
        x_label: "right ascension (degrees)",
        y_label: "declination (degrees)",
        y_ticks: 6,
    };
    let mut chart = chart::axes(area, &axes)?;
    let polygons = cells.iter().filter_map(|(&cell, &count)| {
        let corners = cell_corners(finest, cell)?;
        let point = |(ra, dec): (f64, f64)| (extent.centre + around_zero(ra - extent.centre), dec);
        let shade = colour(count, most).filled();
        Some(Polygon::new(corners.map(point).to_vec(), shade))
    });
    chart.draw_series(polygons)?;
    Ok(())
}

/// The angle between -180 and 180 degrees.
fn around_zero(angle: f64) -> f64 {
    (angle + 180.0).rem_euclid(360.0) - 180.0
}

/// The corners' longitudes on the map, all on the side where the cell's middle is.
fn unwrapped(corners: [(f64, f64); 4]) -> [f64; 4] {
    let sum = corners.iter().fold([0.0; 3], |sum, &(ra, dec)| {
        let corner = unit_vector(ra, dec);
        [sum[0] + corner[0], sum[1] + corner[1], sum[2] + corner[2]]
    });
    let middle = around_zero(position(sum).0 - CENTRE);
    corners.map(|(ra, _)| middle + around_zero(ra - CENTRE - middle))
}

/// Mollweide's projection: longitude and latitude, degrees, to x in ±2√2 and y in ±√2.
fn mollweide(longitude: f64, latitude: f64) -> (f64, f64) {
    let target = PI * latitude.to_radians().sin();
    let mut angle = latitude.to_radians();
    // Newton's method on 2a + sin 2a = pi sin(latitude); it crawls at the poles, where a is known.
    if latitude.abs() < 89.999 {
        for _ in 0..20 {
            let step =
                (2.0 * angle + (2.0 * angle).sin() - target) / (2.0 + 2.0 * (2.0 * angle).cos());
            angle -= step;
        }
    }
    let x = 2.0 * SQRT_2 / PI * longitude.to_radians() * angle.cos();
    (x, SQRT_2 * angle.sin())
}

/// The colour of a count, by its logarithm.
fn colour(count: u64, most: u64) -> RGBColor {
    let share = match most {
        0 | 1 => 1.0,
        most => (count.max(1) as f64).ln() / (most as f64).ln(),
    };
    ramp(share)
}

fn ramp(share: f64) -> RGBColor {
    let last = RAMP.len() - 1;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let index = (place as usize).min(last - 1);
    let (a, b) = (RAMP[index], RAMP[index + 1]);
    let part = place - index as f64;
    let mix = |a: f64, b: f64| (a + part * (b - a)).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projection_keeps_areas() {
        for (longitude, latitude, expected) in [
            (0.0, 0.0, (0.0, 0.0)),
            (180.0, 0.0, (2.0 * SQRT_2, 0.0)),
            (0.0, 90.0, (0.0, SQRT_2)),
            (77.0, -90.0, (0.0, -SQRT_2)),
        ] {
            let (x, y) = mollweide(longitude, latitude);
            assert!((x - expected.0).abs() < 1e-3 && (y - expected.1).abs() < 1e-3);
        }
        // The zone between the equator and 30 degrees is a quarter of the sphere's half.
        let (_, y) = mollweide(0.0, 30.0);
        let zone = (y / SQRT_2).asin();
        let area = (2.0 * zone + (2.0 * zone).sin()) / PI;
        assert!((area - 0.5).abs() < 1e-9);
    }

    #[test]
    fn maps_are_drawn_of_small_and_of_wrapped_areas() {
        let cell = |ra, dec| {
            let cell = aion_data::sky::healpix29(ra, dec).expect("a position");
            aion_data::sky::coarser(cell, 8)
        };
        let field = BTreeMap::from([(cell(359.9, 1.0), 3), (cell(0.2, 1.2), 40)]);
        let map = draw(&field, 8, 4).expect("drawn");
        assert!(map.contains("declination") && map.contains("43 objects"));
        let wide = BTreeMap::from([(cell(10.0, 80.0), 3), (cell(190.0, -60.0), 1)]);
        let map = draw(&wide, 8, 4).expect("drawn");
        assert!(!map.contains("declination"));
    }
}
