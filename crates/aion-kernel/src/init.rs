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
    /// Waves along the rows with this standard deviation, a sine and a cosine of each wavelength: neighbouring
    /// rows start alike, and a step along the rows turns each pair. Tables of a shape start alike, too.
    /// For the codes of ordered quantities.
    Ordered(f32),
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
            Init::Ordered(std) => ordered(*std, shape),
            Init::SineCosine(axes) => sine_cosine(axes, shape.last().copied().unwrap_or(0)),
        }
    }
}

/// Fewest and most waves along the rows of an ordered table.
const WAVES: [f32; 2] = [0.5, 64.0];

fn ordered(std: f32, shape: &[usize]) -> Vec<f32> {
    let columns = shape.last().copied().unwrap_or(0);
    let rows: usize = shape.iter().product::<usize>() / columns.max(1);
    let last_pair = ((columns / 2).max(2) - 1) as f32;
    let waves: Vec<(f32, f32)> = (0..columns)
        .map(|column| {
            // Evenly in the logarithm.
            let octaves = (column / 2) as f32 / last_pair * (WAVES[1] / WAVES[0]).log2();
            let phase = std::f32::consts::FRAC_PI_2 * (column % 2) as f32;
            (WAVES[0] * octaves.exp2(), phase)
        })
        .collect();
    let amplitude = std * std::f32::consts::SQRT_2;
    let mut values = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let place = std::f32::consts::TAU * row as f32 / rows as f32;
        let wave = |(waves, phase): &(f32, f32)| amplitude * (place * waves + phase).sin();
        values.extend(waves.iter().map(wave));
    }
    values
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
    fn ordered_rows_start_like_their_neighbours() {
        use rand::SeedableRng;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let table = Init::Ordered(0.5).draw(&[1024, 64], &mut rng);
        let rows: Vec<&[f32]> = table.chunks(64).collect();
        let distance = |a: usize, b: usize| -> f32 {
            rows[a]
                .iter()
                .zip(rows[b])
                .map(|(x, y)| (x - y).powi(2))
                .sum()
        };
        assert!(20.0 * distance(500, 501) < distance(500, 900));
        let square: f32 = table.iter().map(|x| x * x).sum::<f32>() / table.len() as f32;
        assert!((square.sqrt() - 0.5).abs() < 0.05, "{square}");
    }

    #[test]
    fn one_axis_owns_all_columns() {
        let table = sine_cosine(&[4], 4);
        let slow = 3.0 * (1.0 / 10_000f32.powf(0.5));
        let expected = [3f32.sin(), slow.sin(), 3f32.cos(), slow.cos()];
        assert_eq!(table[12..16], expected);
    }
}
