//! How well a reconstruction or a prediction agrees with what was observed.

use aion_codec::image::CROP;
use aion_data::{Image, Measurement, Spectrum};

use crate::report::picture::centre;

/// Agreement of one measurement with its reconstruction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Agreement {
    /// Number of values compared.
    pub values: usize,
    /// Share of the variance that the reconstruction explains; `None` for a single value.
    pub r2: Option<f64>,
    /// χ² over the number of values, where the noise is known.
    pub chi2: Option<f64>,
    /// |difference| over |value|, for a single value.
    pub relative: Option<f64>,
}

/// One value with its reconstruction and inverse variance (0 where it is not known).
struct Pair {
    observed: f64,
    restored: f64,
    ivar: f64,
}

/// Compares a reconstruction with what was observed; `None` where there is nothing to compare.
pub fn agreement(observed: &Measurement, restored: &Measurement) -> Option<Agreement> {
    let pairs = match (observed, restored) {
        (Measurement::Scalar(a), Measurement::Scalar(b)) => return Some(of_number(*a, *b)),
        (Measurement::Coefficients(a), Measurement::Coefficients(b)) => plain(a, b),
        (Measurement::Spectrum(a), Measurement::Spectrum(b)) => of_spectrum(a, b),
        (Measurement::Image(a), Measurement::Image(b)) => of_image(a, b)?,
        (Measurement::ScalarField(a), Measurement::ScalarField(b)) => {
            plain(&centre(&a.field, a.height, a.width), &b.field)
        }
        _ => return None,
    };
    of_pairs(&pairs)
}

fn of_number(observed: f32, restored: f32) -> Agreement {
    let (observed, restored) = (f64::from(observed), f64::from(restored));
    let relative = (restored - observed).abs() / observed.abs().max(1e-6);
    Agreement {
        values: 1,
        relative: Some(relative).filter(|value| value.is_finite()),
        ..Agreement::default()
    }
}

fn plain(observed: &[f32], restored: &[f32]) -> Vec<Pair> {
    let pair = |(a, b): (&f32, &f32)| Pair {
        observed: f64::from(*a),
        restored: f64::from(*b),
        ivar: 0.0,
    };
    observed.iter().zip(restored).map(pair).collect()
}

/// Valid pixels only: neither masked nor without noise, on the codec's grid.
fn of_spectrum(observed: &Spectrum, restored: &Spectrum) -> Vec<Pair> {
    let mut pairs = plain(&observed.flux, &restored.flux);
    for (pair, ivar) in pairs.iter_mut().zip(&observed.ivar) {
        pair.ivar = f64::from(*ivar);
    }
    let valid = observed.mask.iter().zip(&observed.ivar);
    let mut valid = valid.map(|(masked, ivar)| !masked && *ivar > 0.0 && ivar.is_finite());
    pairs.retain(|_| valid.next().unwrap_or(false));
    pairs
}

/// The pixels that the codec sees: the centre of every band.
fn of_image(observed: &Image, restored: &Image) -> Option<Vec<Pair>> {
    let size = observed.height * observed.width;
    let ivar = observed.ivar.as_deref().unwrap_or_default();
    let mut pairs = Vec::new();
    for (band, plane) in observed.flux.chunks_exact(size.max(1)).enumerate() {
        let decoded = restored
            .flux
            .get(band * CROP * CROP..(band + 1) * CROP * CROP)?;
        let pixels = centre(plane, observed.height, observed.width);
        let start = pairs.len();
        pairs.extend(plain(&pixels, decoded));
        if let Some(ivar) = ivar.get(band * size..(band + 1) * size) {
            let weights = centre(ivar, observed.height, observed.width);
            for (pair, weight) in pairs[start..].iter_mut().zip(weights) {
                pair.ivar = f64::from(weight);
            }
        }
    }
    Some(pairs)
}

fn of_pairs(pairs: &[Pair]) -> Option<Agreement> {
    let finite = |pair: &&Pair| pair.observed.is_finite() && pair.restored.is_finite();
    let kept: Vec<&Pair> = pairs.iter().filter(finite).collect();
    if kept.is_empty() {
        return None;
    }
    let count = kept.len() as f64;
    let mean = kept.iter().map(|pair| pair.observed).sum::<f64>() / count;
    let total: f64 = kept.iter().map(|pair| (pair.observed - mean).powi(2)).sum();
    let squared = |pair: &&Pair| (pair.observed - pair.restored).powi(2);
    let residual: f64 = kept.iter().map(squared).sum();
    let known = |pair: &&&Pair| pair.ivar > 0.0 && pair.ivar.is_finite();
    let noise: Vec<f64> = kept
        .iter()
        .filter(known)
        .map(|pair| squared(pair) * pair.ivar)
        .collect();
    Some(Agreement {
        values: kept.len(),
        r2: (total > 0.0).then(|| 1.0 - residual / total),
        chi2: (!noise.is_empty()).then(|| noise.iter().sum::<f64>() / noise.len() as f64),
        relative: None,
    })
}

/// The middle value; `None` of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => values.get(middle).copied(),
        _ => Some((values.get(middle)? + values.get(middle - 1)?) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_reconstruction_explains_everything() {
        let values = Measurement::Coefficients(vec![1.0, 2.0, 4.0]);
        let found = agreement(&values, &values).expect("comparable");
        assert_eq!((found.values, found.r2, found.chi2), (3, Some(1.0), None));
    }

    #[test]
    fn masked_pixels_do_not_count() {
        let observed = Spectrum {
            flux: vec![1.0, 50.0, 3.0],
            ivar: vec![4.0, 4.0, 4.0],
            wavelength: vec![4000.0, 4001.0, 4002.0],
            mask: vec![false, true, false],
        };
        let mut restored = observed.clone();
        restored.flux = vec![1.5, 0.0, 2.5];
        let (a, b) = (
            Measurement::Spectrum(observed),
            Measurement::Spectrum(restored),
        );
        let found = agreement(&a, &b).expect("comparable");
        assert_eq!((found.values, found.chi2), (2, Some(1.0)));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, f64::NAN, 2.0]), Some(2.0));
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
        assert_eq!(median(Vec::new()), None);
    }
}
