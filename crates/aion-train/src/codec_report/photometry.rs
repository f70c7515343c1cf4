//! What measuring on tokens costs: fluxes on reconstructions beside the same fluxes on pixels.

use serde::Serialize;

/// Radius of the aperture in which reconstructions are compared, pixels.
pub(super) const RADIUS: f64 = 10.0;
/// Scale of the median absolute deviation to a standard deviation.
pub(crate) const MAD: f64 = 1.4826;

/// Fluxes of many measurements, from pixels and from reconstructions: within 10 pixels of the centre
/// of an image, or in tenths of a spectrum. Fluxes that are not positive on both sides do not count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Photometry {
    /// The band; `tenths` for spectra.
    pub band: String,
    /// Fluxes compared.
    pub fluxes: usize,
    /// Median of the magnitude on the reconstruction less that on pixels.
    pub bias_mag: f64,
    /// Scatter of that difference, magnitudes, from the median absolute deviation.
    pub scatter_mag: f64,
    /// Part of the variance of magnitudes that is kept; none where nothing varies.
    pub r2: Option<f64>,
}

/// The flux within a radius of the centre, pixels.
pub(crate) fn aperture(plane: &[f32], [height, width]: [usize; 2], radius: f64) -> f64 {
    let (y0, x0) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
    let inside = |pixel: usize| {
        let (y, x) = ((pixel / width) as f64 - y0, (pixel % width) as f64 - x0);
        y * y + x * x <= radius * radius
    };
    let fluxes = plane.iter().enumerate().filter(|(pixel, _)| inside(*pixel));
    fluxes
        .map(|(_, flux)| f64::from(*flux))
        .filter(|flux| flux.is_finite())
        .sum()
}

/// Magnitudes on pixels and on reconstructions.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<[f64; 2]>);

impl Pairs {
    pub fn add(&mut self, observed: f64, restored: f64) {
        if observed > 0.0 && restored > 0.0 {
            self.0
                .push([observed, restored].map(|flux| -2.5 * flux.log10()));
        }
    }

    pub fn finish(self, band: String) -> Option<Photometry> {
        let differences: Vec<f64> = self.0.iter().map(|[x, y]| y - x).collect();
        let bias = median(differences.clone())?;
        let deviations = differences.iter().map(|d| (d - bias).abs()).collect();
        let mean = self.0.iter().map(|[x, _]| x).sum::<f64>() / self.0.len() as f64;
        let variance: f64 = self.0.iter().map(|[x, _]| (x - mean).powi(2)).sum();
        let lost: f64 = differences.iter().map(|d| d * d).sum();
        Some(Photometry {
            band,
            fluxes: self.0.len(),
            bias_mag: bias,
            scatter_mag: MAD * median(deviations)?,
            r2: (variance > 0.0).then_some(1.0 - lost / variance),
        })
    }
}

/// The median; of an even number the mean of the middle two, of none none.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(0.5 * (values[low] + values[high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bias_and_scatter_are_in_magnitudes() {
        let mut pairs = Pairs::default();
        for flux in [1.0, 10.0, 100.0] {
            pairs.add(flux, flux * 10f64.powf(-0.4));
        }
        pairs.add(-1.0, 1.0);
        let found = pairs.finish("r".to_owned()).expect("fluxes");
        assert_eq!(found.fluxes, 3);
        assert!((found.bias_mag - 1.0).abs() < 1e-9 && found.scatter_mag < 1e-9);
        assert!(Pairs::default().finish("r".to_owned()).is_none());
    }

    #[test]
    fn the_aperture_is_a_disc() {
        let flat = aperture(&[1.0; 96 * 96], [96, 96], RADIUS);
        assert!((flat - 314.0).abs() < 10.0, "{flat}");
    }
}
