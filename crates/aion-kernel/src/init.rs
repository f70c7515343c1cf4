//! How parameters start, where no checkpoint gives them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A rule for initial values.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// All equal.
    Constant(f32),
    /// These values.
    Values(Vec<f32>),
    /// Normal with this standard deviation.
    Normal(f32),
    /// Normal with this standard deviation, cut at two of them.
    TruncatedNormal(f32),
    /// Uniform in ±`0`.
    Uniform(f32),
    /// Sines and cosines of grid positions (Vaswani et al. 2017, as used by MoCo v3), for a shape
    /// that ends in (positions, dim). The grid's axes are given slowest first; each owns an equal
    /// share of the columns, its sines before its cosines.
    SineCosine(Vec<usize>),
}

impl Init {
    /// Xavier-uniform for a matrix of `fan_out` rows that are used with `fan_in` inputs.
    pub fn xavier(fan_in: usize, fan_out: usize) -> Init {
        Init::Uniform((6.0 / (fan_in + fan_out) as f32).sqrt())
    }

    /// The default of convolutions and linear layers in the field: uniform in ±1/√fan_in.
    pub fn fan_in(fan_in: usize) -> Init {
        Init::Uniform(1.0 / (fan_in.max(1) as f32).sqrt())
    }

    pub(crate) fn draw(&self, shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f32> {
        let len = shape.iter().product();
        match self {
            Init::Constant(value) => vec![*value; len],
            Init::Values(values) => values.clone(),
            Init::Normal(std) => (0..len).map(|_| std * normal(rng)).collect(),
            Init::TruncatedNormal(std) => (0..len).map(|_| std * truncated(rng)).collect(),
            Init::Uniform(bound) => (0..len)
                .map(|_| rng.random_range(-1.0f32..1.0) * bound)
                .collect(),
            Init::SineCosine(axes) => sine_cosine(axes, shape.last().copied().unwrap_or(0)),
        }
    }
}

/// Longest wavelength of the position code, over 2π.
const TEMPERATURE: f32 = 10_000.0;

fn sine_cosine(axes: &[usize], dim: usize) -> Vec<f32> {
    let frequencies = dim / (2 * axes.len().max(1));
    let omega: Vec<f32> = (0..frequencies)
        .map(|k| 1.0 / TEMPERATURE.powf(k as f32 / frequencies as f32))
        .collect();
    let positions: usize = axes.iter().product();
    let mut values = Vec::with_capacity(positions * dim);
    for position in 0..positions {
        let mut stride = positions;
        for axis in axes {
            stride /= axis;
            let coordinate = (position / stride % axis) as f32;
            values.extend(omega.iter().map(|w| (coordinate * w).sin()));
            values.extend(omega.iter().map(|w| (coordinate * w).cos()));
        }
    }
    values
}

/// A standard normal draw (Box-Muller).
pub fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

fn truncated(rng: &mut ChaCha8Rng) -> f32 {
    loop {
        let value = normal(rng);
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_code_has_its_slow_axis_first() {
        let table = sine_cosine(&[2, 3], 4);
        // Row 4 is position (1, 1): sin and cos of both coordinates at frequency 1.
        let expected = [1f32.sin(), 1f32.cos(), 1f32.sin(), 1f32.cos()];
        assert_eq!(table[16..20], expected);
        // Row 2 is position (0, 2).
        assert_eq!(table[8..12], [0.0, 1.0, 2f32.sin(), 2f32.cos()]);
    }

    #[test]
    fn one_axis_owns_all_columns() {
        let table = sine_cosine(&[4], 4);
        let slow = 3.0 * (1.0 / 10_000f32.powf(0.5));
        let expected = [3f32.sin(), slow.sin(), 3f32.cos(), slow.cos()];
        assert_eq!(table[12..16], expected);
    }
}
