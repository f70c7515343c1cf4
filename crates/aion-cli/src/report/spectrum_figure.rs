//! A spectrum with what the codec or the model makes of it.

use std::ops::Range;

use aion_data::Spectrum;
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::chart::{self, Area, Axes, Chart, INK};
use crate::report::spectral_lines::lines_at;

/// Size of the figure, pixels.
const SIZE: (u32, u32) = (920, 340);
/// Share of the height that the residuals take.
const RESIDUALS: u32 = 92;
/// Points along the figure; pixels of the spectrum are averaged between them.
const BINS: usize = 760;
/// The same along a small figure.
const SMALL_BINS: usize = 300;
/// How far a poor prediction may stretch the flux axis, in heights of the observed spectrum.
const MOST_STRETCH: f64 = 1.0;
/// Largest residual shown, in units of the noise.
const MAX_RESIDUAL: f64 = 5.0;
/// Nearest that two names of lines stand, in shares of the axis.
const NAME_SPACING: f64 = 0.042;

const WAVELENGTH: &str = "observed wavelength (Å)";
const FLUX: &str = "flux (10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹)";

/// What is drawn over an observed spectrum.
pub struct Overlay<'a> {
    /// The other spectrum, on the observed one's wavelengths.
    pub spectrum: &'a Spectrum,
    /// What it is.
    pub name: &'a str,
    /// Its colour.
    pub colour: RGBColor,
}

/// The average over the pixels of each bin.
struct Binned {
    wavelength: Vec<f64>,
    observed: Vec<f64>,
    overlay: Vec<f64>,
    /// (observed - overlay) / noise.
    residual: Vec<f64>,
}

/// The observed spectrum, the overlay, and their difference over the noise. Lines are marked at
/// `redshift`. `None` where no pixel is valid.
///
/// # Errors
/// The chart cannot be drawn.
pub fn compared(
    title: &str,
    observed: &Spectrum,
    overlay: &Overlay,
    redshift: Option<f64>,
) -> Result<Option<String>> {
    let binned = Binned::new(observed, overlay.spectrum, BINS);
    let (Some(x), Some(y)) = (
        chart::span(binned.wavelength.iter().copied(), 0.0, 0.01),
        binned.flux_axis(),
    ) else {
        return Ok(None);
    };
    let legend = [("observed", INK), (overlay.name, overlay.colour)];
    let svg = chart::draw(SIZE, title, &legend, |area| {
        let (upper, lower) = area.split_vertically(SIZE.1 - RESIDUALS - 26);
        let axes = Axes {
            x: x.clone(),
            y: y.clone(),
            x_label: "",
            y_label: FLUX,
            y_ticks: 6,
        };
        let mut chart = chart::axes(&upper, &axes)?;
        if let Some(redshift) = redshift {
            mark_lines(&mut chart, redshift, &axes)?;
        }
        line(
            &mut chart,
            &binned.wavelength,
            &binned.observed,
            &axes,
            INK.mix(0.75),
            1,
        )?;
        line(
            &mut chart,
            &binned.wavelength,
            &binned.overlay,
            &axes,
            overlay.colour.mix(0.95),
            2,
        )?;
        residuals(&lower, x, &binned, overlay.colour)
    })?;
    Ok(Some(svg))
}

/// One spectrum alone, small.
///
/// # Errors
/// The chart cannot be drawn.
pub fn alone(title: &str, spectrum: &Spectrum, colour: RGBColor) -> Result<Option<String>> {
    let binned = Binned::new(spectrum, spectrum, SMALL_BINS);
    let (Some(x), Some(y)) = (
        chart::span(binned.wavelength.iter().copied(), 0.0, 0.01),
        chart::span(binned.observed.iter().copied(), 0.003, 0.12),
    ) else {
        return Ok(None);
    };
    let axes = Axes {
        x,
        y,
        x_label: WAVELENGTH,
        y_label: "flux",
        y_ticks: 4,
    };
    let svg = chart::draw((520, 190), title, &[], |area| {
        let mut chart = chart::axes(area, &axes)?;
        line(
            &mut chart,
            &binned.wavelength,
            &binned.observed,
            &axes,
            colour.mix(0.95),
            2,
        )
    })?;
    Ok(Some(svg))
}

/// A vector of coefficients over their number, compressed with asinh.
///
/// # Errors
/// The chart cannot be drawn.
pub fn series(title: &str, values: &[f32], colour: RGBColor) -> Result<Option<String>> {
    let x: Vec<f64> = (0..values.len()).map(|number| number as f64).collect();
    let y: Vec<f64> = values
        .iter()
        .map(|value| f64::from(*value).asinh())
        .collect();
    let (Some(across), Some(up)) = (
        chart::span(x.iter().copied(), 0.0, 0.01),
        chart::span(y.iter().copied(), 0.0, 0.1),
    ) else {
        return Ok(None);
    };
    let axes = Axes {
        x: across,
        y: up,
        x_label: "number",
        y_label: "asinh(coefficient)",
        y_ticks: 4,
    };
    let svg = chart::draw((520, 190), title, &[], |area| {
        let mut chart = chart::axes(area, &axes)?;
        line(&mut chart, &x, &y, &axes, colour.mix(0.95), 2)
    })?;
    Ok(Some(svg))
}

fn residuals(area: &Area, x: Range<f64>, binned: &Binned, colour: RGBColor) -> Result<()> {
    let axes = Axes {
        x,
        y: -MAX_RESIDUAL..MAX_RESIDUAL,
        x_label: WAVELENGTH,
        y_label: "Δ / σ",
        y_ticks: 3,
    };
    let mut chart = chart::axes(area, &axes)?;
    let zero = vec![0.0; binned.wavelength.len()];
    line(
        &mut chart,
        &binned.wavelength,
        &zero,
        &axes,
        INK.mix(0.6),
        1,
    )?;
    line(
        &mut chart,
        &binned.wavelength,
        &binned.residual,
        &axes,
        colour.mix(0.8),
        1,
    )
}

/// A line, kept inside the axes.
fn line(
    chart: &mut Chart,
    x: &[f64],
    y: &[f64],
    axes: &Axes,
    colour: RGBAColor,
    width: u32,
) -> Result<()> {
    let inside = |y: f64| y.clamp(axes.y.start, axes.y.end);
    let points = x.iter().zip(y).map(|(x, y)| (*x, inside(*y)));
    chart.draw_series(LineSeries::new(points, colour.stroke_width(width)))?;
    Ok(())
}

fn mark_lines(chart: &mut Chart, redshift: f64, axes: &Axes) -> Result<()> {
    let (low, high) = (axes.x.start, axes.x.end);
    let width = high - low;
    let anchor = Pos::new(HPos::Center, VPos::Top);
    let mut last = f64::NEG_INFINITY;
    for (name, wavelength) in lines_at(redshift, low + 0.01 * width, high - 0.01 * width) {
        let path = vec![(wavelength, axes.y.start), (wavelength, axes.y.end)];
        chart.draw_series([PathElement::new(path, INK.mix(0.28).stroke_width(1))])?;
        if (wavelength - last) / width >= NAME_SPACING {
            let style = chart::text(10.5, &INK).pos(anchor);
            chart.draw_series([Text::new(name, (wavelength, axes.y.end), style)])?;
            last = wavelength;
        }
    }
    Ok(())
}

impl Binned {
    fn new(observed: &Spectrum, overlay: &Spectrum, bins: usize) -> Self {
        let valid = |&i: &usize| {
            let masked = observed.mask.get(i).copied().unwrap_or_default();
            let known = observed.ivar.get(i).is_none_or(|ivar| *ivar > 0.0);
            !masked && known && observed.flux.get(i).is_some_and(|flux| flux.is_finite())
        };
        let pixels: Vec<usize> = (0..observed.wavelength.len()).filter(valid).collect();
        let mut binned = Binned {
            wavelength: Vec::new(),
            observed: Vec::new(),
            overlay: Vec::new(),
            residual: Vec::new(),
        };
        for bin in pixels.chunks(pixels.len().div_ceil(bins).max(1)) {
            let mean = |values: &dyn Fn(usize) -> f64| {
                bin.iter().map(|pixel| values(*pixel)).sum::<f64>() / bin.len() as f64
            };
            let at = |values: &[f32], pixel: usize| {
                f64::from(values.get(pixel).copied().unwrap_or_default())
            };
            binned
                .wavelength
                .push(mean(&|i| at(&observed.wavelength, i)));
            binned.observed.push(mean(&|i| at(&observed.flux, i)));
            binned.overlay.push(mean(&|i| at(&overlay.flux, i)));
            binned.residual.push(mean(&|i| {
                let difference = at(&observed.flux, i) - at(&overlay.flux, i);
                difference * at(&observed.ivar, i).max(0.0).sqrt()
            }));
        }
        binned
    }

    /// Holds the observed flux and, as far as it is near, the overlay; room for names above.
    fn flux_axis(&self) -> Option<Range<f64>> {
        let observed = chart::span(self.observed.iter().copied(), 0.001, 0.08)?;
        let height = observed.end - observed.start;
        let overlay = chart::span(self.overlay.iter().copied(), 0.001, 0.08);
        let overlay = overlay.unwrap_or_else(|| observed.clone());
        let (reach, room) = (MOST_STRETCH * height, 0.1 * height);
        let low = observed
            .start
            .min(overlay.start.max(observed.start - reach));
        let high = observed.end.max(overlay.end.min(observed.end + reach));
        Some(low..high + room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(flux: impl Fn(f32) -> f32) -> Spectrum {
        let wavelength: Vec<f32> = (0..4000).map(|i| 3800.0 + i as f32).collect();
        Spectrum {
            flux: wavelength.iter().map(|w| flux(*w)).collect(),
            ivar: vec![1.0; wavelength.len()],
            mask: vec![false; wavelength.len()],
            wavelength,
        }
    }

    #[test]
    fn draws_names_units_and_lines() {
        let observed = spectrum(|w| (w / 300.0).sin());
        let other = spectrum(|w| (w / 310.0).sin());
        let overlay = Overlay {
            spectrum: &other,
            name: "reconstruction",
            colour: chart::RED,
        };
        let svg = compared("a star", &observed, &overlay, Some(0.0)).expect("drawn");
        let svg = svg.expect("valid pixels");
        for text in [
            "reconstruction",
            "erg s⁻¹",
            "wavelength",
            "Hβ",
            "currentColor",
        ] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.len() < 120_000, "{}", svg.len());
    }

    #[test]
    fn nothing_valid_is_no_figure() {
        let mut observed = spectrum(|_| 1.0);
        observed.mask.fill(true);
        assert!(alone("", &observed, chart::RED).expect("drawn").is_none());
    }
}
