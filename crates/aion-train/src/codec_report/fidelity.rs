//! How well pixels are reconstructed, in running sums.

use serde::Serialize;

/// Reconstruction of one band. Pixels without noise (inverse variance 0) do not count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fidelity {
    /// The band; `flux` for spectra, `field` for maps, `value` for numbers.
    pub band: String,
    /// Pixels (or numbers) compared.
    pub pixels: u64,
    /// Mean squared error in units of the noise; none where the noise is not known.
    pub chi2: Option<f64>,
    /// Mean negative log-likelihood of a pixel under Gaussian noise, nats, its normalisation included;
    /// none where the noise is not known.
    pub nll: Option<f64>,
    /// Mean squared error, in the square of the flux unit.
    pub mse: f64,
    /// One less the part of the variance that is lost, pixels weighted by their inverse variance where
    /// it is known; none where nothing varies.
    pub r2: Option<f64>,
}

/// Sums over pixels.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pixels: u64,
    unknown: u64,
    squares: f64,
    log_weight: f64,
    /// Σ w, Σ w x, Σ w x², Σ w (x - y)².
    weighted: [f64; 4],
}

impl Sums {
    /// Adds a pixel, its reconstruction, and its inverse variance.
    pub fn add(&mut self, observed: f32, restored: f32, ivar: Option<f32>) {
        let (x, y) = (f64::from(observed), f64::from(restored));
        let weight = ivar.map_or(1.0, f64::from);
        if !(x.is_finite() && weight.is_finite() && weight > 0.0) {
            return;
        }
        self.pixels += 1;
        self.unknown += u64::from(ivar.is_none());
        let square = (x - y) * (x - y);
        self.squares += square;
        self.log_weight += weight.ln();
        let terms = [1.0, x, x * x, square];
        for (sum, term) in self.weighted.iter_mut().zip(terms) {
            *sum += weight * term;
        }
    }

    pub fn finish(self, band: String) -> Fidelity {
        let [weight, first, second, lost] = self.weighted;
        let count = self.pixels.max(1) as f64;
        let known = self.unknown == 0 && self.pixels > 0;
        let normalization = (2.0 * std::f64::consts::PI).ln() - self.log_weight / count;
        let variance = second - first * first / weight;
        Fidelity {
            band,
            pixels: self.pixels,
            chi2: known.then_some(lost / count),
            nll: known.then_some(0.5 * (lost / count + normalization)),
            mse: self.squares / count,
            r2: (variance > 0.0).then_some(1.0 - lost / variance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_definitions() {
        let mut sums = Sums::default();
        for (x, y, ivar) in [(1.0, 1.5, 4.0), (3.0, 2.5, 4.0), (9.0, 0.0, 0.0)] {
            sums.add(x, y, Some(ivar));
        }
        let found = sums.finish("r".to_owned());
        assert_eq!((found.pixels, found.chi2, found.mse), (2, Some(1.0), 0.25));
        assert_eq!(found.r2, Some(0.75));
        let nll = 0.5 * (1.0 + (2.0 * std::f64::consts::PI / 4.0).ln());
        assert!((found.nll.expect("noise") - nll).abs() < 1e-12);
        let mut sums = Sums::default();
        sums.add(1.0, 1.0, None);
        let found = sums.finish("field".to_owned());
        assert_eq!((found.chi2, found.nll, found.r2), (None, None, None));
    }
}
