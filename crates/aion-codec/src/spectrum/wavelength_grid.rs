//! The wavelength grid that all spectra share inside the codec.

use aion_kernel::Weights;
use aion_kernel::tensor_file::StoredTensor;

use super::SpectrumConfig;

/// Evenly spaced wavelengths, as stored in the checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LatentGrid {
    wavelength: Vec<f32>,
}

impl LatentGrid {
    pub(super) fn new(weights: &Weights, config: &SpectrumConfig) -> Self {
        let (start, step) = (config.lambda_min as f32, config.resolution as f32);
        let pixels = config.num_pixels;
        weights.constant("lambda_min", StoredTensor::float(&[], &[start], false));
        weights.constant("resolution", StoredTensor::float(&[], &[step], false));
        weights.constant("length", StoredTensor::int64(&[], &[pixels as i64]));
        let computed = move || (0..pixels).map(|i| i as f32 * step + start).collect();
        LatentGrid {
            wavelength: weights.table("_wavelength", &[1, pixels], computed),
        }
    }

    /// Wavelengths, Angstrom.
    pub(super) fn wavelength(&self) -> &[f32] {
        &self.wavelength
    }

    /// Whether a wavelength lies on the grid.
    pub(super) fn spans(&self, wavelength: f32) -> bool {
        let ends = (self.wavelength.first(), self.wavelength.last());
        matches!(ends, (Some(low), Some(high)) if (*low..=*high).contains(&wavelength))
    }
}

/// Values of `y(x)` at `targets` by linear interpolation, 0 outside; `x` increases.
///
/// Both grids increase in practice, so the interval is found by walking; a target that steps back
/// starts the walk anew.
pub(super) fn interpolate(x: &[f32], y: &[f32], targets: &[f32]) -> Vec<f32> {
    let (Some(&first), Some(&last)) = (x.first(), x.last()) else {
        return vec![0.0; targets.len()];
    };
    let mut next = 0;
    let value = |&target: &f32| {
        if !(first..=last).contains(&target) || x.len() < 2 {
            return 0.0;
        }
        if next > 0 && x[next - 1] >= target {
            next = 0;
        }
        // The first point that is not below the target.
        while next < x.len() && x[next] < target {
            next += 1;
        }
        let low = next.saturating_sub(1).min(x.len() - 2);
        let slope = (y[low] - y[low + 1]) / (x[low] - x[low + 1]);
        y[low] + (target - x[low]) * slope
    };
    targets.iter().map(value).collect()
}

/// For each target, the grid point at or below it and the fraction of the way to the next;
/// `None` outside. `interpolate` as a linear map that gradients can pass.
pub(super) fn neighbours(x: &[f32], targets: &[f32]) -> Vec<Option<(usize, f32)>> {
    let (Some(&first), Some(&last)) = (x.first(), x.last()) else {
        return vec![None; targets.len()];
    };
    let find = |&target: &f32| {
        (first..=last).contains(&target).then(|| {
            let next = x.partition_point(|point| *point < target);
            let low = next.saturating_sub(1).min(x.len().saturating_sub(2));
            let high = (low + 1).min(x.len() - 1);
            let width = (x[high] - x[low]).max(f32::MIN_POSITIVE);
            (low, (target - x[low]) / width)
        })
    };
    targets.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_is_linear_inside_and_zero_outside() {
        let x = [1.0, 2.0, 4.0];
        let y = [10.0, 20.0, 0.0];
        let found = interpolate(&x, &y, &[0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 4.5, 1.5]);
        assert_eq!(found, [0.0, 10.0, 15.0, 20.0, 10.0, 0.0, 0.0, 15.0]);
    }

    #[test]
    fn neighbours_agree_with_interpolation() {
        let x: Vec<f32> = (0..50).map(|i| (i as f32).powf(1.3)).collect();
        let y: Vec<f32> = x.iter().map(|x| (x * 0.3).sin()).collect();
        let targets: Vec<f32> = (0..200).map(|i| i as f32 * 0.9 - 3.0).collect();
        let direct = interpolate(&x, &y, &targets);
        for (value, place) in direct.iter().zip(neighbours(&x, &targets)) {
            let linear = place.map_or(0.0, |(low, t)| y[low] * (1.0 - t) + y[low + 1] * t);
            assert!((value - linear).abs() < 1e-5, "{value} {linear}");
        }
    }
}
