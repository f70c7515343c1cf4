//! Seeded random draws: one independent stream per (seed, object, purpose), so that objects can be
//! made in any order and the noise of one instrument does not depend on which others looked.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Uniform numbers that a Gaussian one takes, or a pair of them in noise.
pub(super) const NORMAL: u64 = 2;

/// What a stream of random numbers is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Class,
    Coverage,
    Galaxy,
    Star,
    Quasar,
    Scene,
    Legacy,
    Hsc,
    Sdss,
    Desi,
    Gaia,
    Position,
    Motion,
    Sighting,
    Described,
}

/// A stream of random numbers.
pub(super) struct Draws {
    rng: ChaCha8Rng,
}

impl Draws {
    /// The stream of object `index` for one purpose: the object picks ChaCha's stream, the purpose
    /// a place in it, 2^32 words apart.
    pub(super) fn new(seed: u64, index: u64, purpose: Purpose) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        rng.set_word_pos((purpose as u128) << 32);
        Draws { rng }
    }

    /// Uniform in [low, high).
    pub(super) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.rng.random::<f64>()
    }

    /// Passes over the next `count` uniform numbers, so that what follows does not depend on whether
    /// they are wanted.
    pub(super) fn skip(&mut self, count: u64) {
        // A number takes two of the generator's words.
        let place = self.rng.get_word_pos() + 2 * u128::from(count);
        self.rng.set_word_pos(place);
    }

    /// A whole number below `end`, which is a power of two.
    pub(super) fn below_power_of_two(&mut self, end: u64) -> u64 {
        self.rng.random::<u64>() & end.wrapping_sub(1)
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.uniform(0.0, 1.0) < probability
    }

    /// Two independent standard normal numbers (Box and Muller).
    fn normal_pair(&mut self) -> (f64, f64) {
        let radius = (-2.0 * (1.0 - self.uniform(0.0, 1.0)).ln()).sqrt();
        let (sin, cos) = self.uniform(0.0, std::f64::consts::TAU).sin_cos();
        (radius * cos, radius * sin)
    }

    /// Gaussian.
    pub(super) fn normal(&mut self, mean: f64, sigma: f64) -> f64 {
        mean + sigma * self.normal_pair().0
    }

    /// Log-normal: exp of a Gaussian of width `sigma` around ln `median`.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * self.normal(0.0, sigma).exp()
    }

    /// Adds Gaussian noise of the given variances to `values`.
    pub(super) fn add_noise(&mut self, values: &mut [f32], variance: &[f32]) {
        for (pixels, variances) in values.chunks_mut(2).zip(variance.chunks(2)) {
            let (first, second) = self.normal_pair();
            for ((pixel, variance), normal) in pixels.iter_mut().zip(variances).zip([first, second])
            {
                *pixel += variance.sqrt() * normal as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_variance_asked_for() {
        let mut values = vec![0.0_f32; 20_001];
        let variance = vec![4.0_f32; 20_001];
        Draws::new(1, 2, Purpose::Scene).add_noise(&mut values, &variance);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let spread = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        assert!(
            mean.abs() < 0.06 && (spread - 4.0).abs() < 0.2,
            "{mean} {spread}"
        );
    }

    #[test]
    fn skipped_numbers_are_those_that_noise_takes() {
        let mut drawn = Draws::new(1, 2, Purpose::Hsc);
        drawn.add_noise(&mut [0.0; 7], &[1.0; 7]);
        drawn.log_normal(1.0, 0.1);
        let mut skipped = Draws::new(1, 2, Purpose::Hsc);
        skipped.skip(NORMAL * (4 + 1));
        assert_eq!(drawn.uniform(0.0, 1.0), skipped.uniform(0.0, 1.0));
    }

    #[test]
    fn streams_differ() {
        let mut a = Draws::new(1, 2, Purpose::Scene);
        let mut b = Draws::new(1, 3, Purpose::Scene);
        let mut c = Draws::new(1, 2, Purpose::Hsc);
        let first = a.uniform(0.0, 1.0);
        assert_ne!(first, b.uniform(0.0, 1.0));
        assert_ne!(first, c.uniform(0.0, 1.0));
    }
}
