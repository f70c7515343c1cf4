//! The passes of an optimiser over a parameter's memory, for the machine's vectors.
//!
//! Each value is computed by the same operations in the same order on every machine and at any number
//! of threads: nothing is contracted, and sums run over fixed blocks.

use rayon::prelude::*;

use crate::simd::{sum, vectorized};

/// Values that one task works on: large enough to hide its cost, small enough for the cache.
const CHUNK: usize = 1 << 15;

/// The factors of one update, the same for all values of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWFactors {
    /// What the gradient is multiplied by first: clipping and the mean over parts.
    pub scale: f32,
    /// Decay of the first moment.
    pub beta_mean: f32,
    /// Decay of the second moment.
    pub beta_square: f32,
    /// What decay leaves of the value.
    pub keep: f32,
    /// Learning rate, over the first moment's bias.
    pub rate: f32,
    /// What the second moment's root is multiplied by against its bias.
    pub root_correction: f32,
    /// Added to that root.
    pub epsilon: f32,
}

/// One update of AdamW (Loshchilov & Hutter 2019) in one pass: `values` and both moments, from
/// `gradient`. All have the same length.
pub fn adamw(
    factors: AdamWFactors,
    values: &mut [f32],
    gradient: &[f32],
    mean: &mut [f32],
    square: &mut [f32],
) {
    values
        .par_chunks_mut(CHUNK)
        .zip(gradient.par_chunks(CHUNK))
        .zip(mean.par_chunks_mut(CHUNK))
        .zip(square.par_chunks_mut(CHUNK))
        .for_each(|(((values, gradient), mean), square)| {
            vectorized(
                #[inline(always)]
                || update(factors, values, gradient, mean, square),
            );
        });
}

#[inline(always)]
fn update(
    factors: AdamWFactors,
    values: &mut [f32],
    gradient: &[f32],
    mean: &mut [f32],
    square: &mut [f32],
) {
    let moments = mean.iter_mut().zip(square);
    for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradient).zip(moments) {
        let gradient = gradient * factors.scale;
        *mean = factors.beta_mean * *mean + (1.0 - factors.beta_mean) * gradient;
        *square = factors.beta_square * *square + (1.0 - factors.beta_square) * gradient * gradient;
        let root = square.sqrt() * factors.root_correction + factors.epsilon;
        *value = factors.keep * *value - factors.rate * *mean / root;
    }
}

/// Moves each value of `average` by the fraction `share` of its distance to `values`.
pub fn move_towards(average: &mut [f32], values: &[f32], share: f32) {
    average
        .par_chunks_mut(CHUNK)
        .zip(values.par_chunks(CHUNK))
        .for_each(|(average, values)| {
            vectorized(
                #[inline(always)]
                || {
                    for (average, value) in average.iter_mut().zip(values) {
                        *average += share * (value - *average);
                    }
                },
            );
        });
}

/// Adds `values` to `total`, which has the same length.
pub fn add(total: &mut [f32], values: &[f32]) {
    total
        .par_chunks_mut(CHUNK)
        .zip(values.par_chunks(CHUNK))
        .for_each(|(total, values)| {
            for (total, value) in total.iter_mut().zip(values) {
                *total += value;
            }
        });
}

/// Sum of squares; infinite or NaN where a value is.
pub fn square_sum(values: &[f32]) -> f64 {
    let squares = |chunk: &[f32]| {
        vectorized(
            #[inline(always)]
            || sum(chunk, |value| f64::from(value) * f64::from(value)),
        )
    };
    let sums: Vec<f64> = values.par_chunks(CHUNK).map(squares).collect();
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than one task's share, and not a multiple of a vector.
    const LEN: usize = CHUNK + 1003;

    fn wave(step: f32) -> Vec<f32> {
        (0..LEN).map(|i| (i as f32 * step).sin()).collect()
    }

    #[test]
    fn equals_the_plain_loop_to_the_bit() {
        let factors = AdamWFactors {
            scale: 0.3,
            beta_mean: 0.9,
            beta_square: 0.95,
            keep: 0.999,
            rate: 0.02,
            root_correction: 1.7,
            epsilon: 1e-8,
        };
        let gradient = wave(0.37);
        let square: Vec<f32> = wave(0.11).iter().map(|v| v * v).collect();
        let mut plain = [wave(0.7), wave(0.05), square];
        let mut fast = plain.clone();
        let [values, mean, root] = &mut plain;
        update(factors, values, &gradient, mean, root);
        let [values, mean, root] = &mut fast;
        adamw(factors, values, &gradient, mean, root);
        assert_eq!(plain, fast);
    }

    #[test]
    fn sums_of_squares_are_right_and_see_what_is_no_number() {
        let mut values = wave(0.2);
        let exact: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((square_sum(&values) / exact - 1.0).abs() < 1e-12);
        values[CHUNK + 5] = f32::NAN;
        assert!(square_sum(&values).is_nan());
    }

    #[test]
    fn averages_move() {
        let mut average = vec![1.0; LEN];
        move_towards(&mut average, &vec![3.0; LEN], 0.25);
        assert!(average.iter().all(|v| *v == 1.5));
        add(&mut average, &vec![0.5; LEN]);
        assert!(average.iter().all(|v| *v == 2.0));
    }
}
