//! Draws from the distributions that the samplers need.

use std::f64::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A draw from Beta(a, b) (Jöhnk's method, fit for small parameters).
pub(super) fn beta([a, b]: [f64; 2], rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let x = rng.random::<f64>().powf(1.0 / a);
        let y = rng.random::<f64>().powf(1.0 / b);
        let sum = x + y;
        if sum > 0.0 && sum <= 1.0 {
            return x / sum;
        }
    }
}

/// Logarithms of `len` Gamma(alpha, 1) draws. Divided by their sum, such draws are one from the symmetric
/// Dirichlet distribution; as logarithms they can be compared where alpha is so small that nearly all
/// draws would be 0.
pub(super) fn log_gammas(alpha: f64, len: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..len).map(|_| log_gamma(alpha, rng)).collect()
}

/// The logarithm of a draw from Gamma(alpha, 1): Marsaglia and Tsang's method for alpha + 1, and a power of
/// a uniform number from there to alpha.
fn log_gamma(alpha: f64, rng: &mut ChaCha8Rng) -> f64 {
    let d = alpha + 1.0 - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    let power = positive(rng).ln() / alpha;
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && positive(rng).ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return (d * v).ln() + power;
        }
    }
}

/// A standard normal draw (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (-2.0 * positive(rng).ln()).sqrt() * (TAU * rng.random::<f64>()).cos()
}

/// Uniform, above 0 and at most 1.
fn positive(rng: &mut ChaCha8Rng) -> f64 {
    1.0 - rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn beta_has_the_right_mean() {
        let mut rng = stream(5, Purpose::Mask, 0);
        let mean = (0..20_000).map(|_| beta([0.5, 1.0], &mut rng)).sum::<f64>() / 20_000.0;
        assert!((mean - 1.0 / 3.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn gamma_has_the_right_mean_and_variance() {
        let mut rng = stream(6, Purpose::Mask, 0);
        for alpha in [0.5, 1.0, 10.0] {
            let draws: Vec<f64> = log_gammas(alpha, 40_000, &mut rng);
            let draws: Vec<f64> = draws.into_iter().map(f64::exp).collect();
            let mean = draws.iter().sum::<f64>() / 40_000.0;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40_000.0;
            assert!((mean / alpha - 1.0).abs() < 0.03, "{alpha}: mean {mean}");
            assert!(
                (variance / alpha - 1.0).abs() < 0.06,
                "{alpha}: variance {variance}"
            );
        }
    }

    #[test]
    fn tiny_concentrations_give_numbers_that_differ() {
        let logs = log_gammas(0.01, 100, &mut stream(7, Purpose::Mask, 0));
        assert!(logs.iter().all(|log| log.is_finite()));
        let mean = logs.iter().sum::<f64>() / 100.0;
        // The mean logarithm is the digamma function, nearly -1 / alpha.
        assert!((-140.0..-70.0).contains(&mean), "{mean}");
    }
}
