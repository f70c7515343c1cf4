//! Gradients of GELU and the response normalisation after it.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{ROWS, Response, add};
use crate::gelu::gelu_lanes;
use crate::rows::add_up;
use crate::simd::{set_vector_at, vector_at};

/// Gradients with respect to the parameters, of one object.
#[derive(Debug)]
pub(crate) struct ResponseGradient {
    /// Of the bias before GELU, `(channels)`.
    pub bias: Vec<f32>,
    /// `(channels)`
    pub gamma: Vec<f32>,
    /// `(channels)`
    pub beta: Vec<f32>,
}

impl ResponseGradient {
    pub(crate) fn zeros(channels: usize) -> Self {
        let zeros = || vec![0.0; channels];
        ResponseGradient {
            bias: zeros(),
            gamma: zeros(),
            beta: zeros(),
        }
    }

    /// Adds those of another object.
    pub(crate) fn add(&mut self, other: &Self) {
        add(&mut self.bias, &other.bias);
        add(&mut self.gamma, &other.gamma);
        add(&mut self.beta, &other.beta);
    }
}

/// From the values before GELU and the gradient after the response norm, of one object. `gradient`
/// becomes that of the values before GELU; `hidden` what the norm had made, for the product after it.
///
/// # Shapes
/// `before`, `gradient`, `hidden`: `(length, channels)`; `gamma`, `beta`: `(channels)`
pub(crate) fn respond_backward(
    before: &[f32],
    response: &Response,
    [gamma, beta]: [&[f32]; 2],
    gradient: &mut [f32],
    hidden: &mut [f32],
) -> ResponseGradient {
    let channels = gamma.len();
    let chunk = ROWS * channels;
    let chunks = before.par_chunks(chunk).zip(gradient.par_chunks(chunk));
    let partial: Vec<_> = chunks
        .map(|(before, gradient)| {
            let mut sums = vec![0.0f32; 2 * channels];
            Arch::new().dispatch(Sums {
                before,
                gradient,
                sums: &mut sums,
            });
            sums
        })
        .collect();
    let mut along = add_up(partial, 2 * channels);
    let beta_gradient = along.split_off(channels);
    let slopes = Slopes::new(response, gamma, &along);

    let outputs = gradient
        .par_chunks_mut(chunk)
        .zip(hidden.par_chunks_mut(chunk));
    let chunks = before.par_chunks(chunk).zip(outputs);
    let partial: Vec<_> = chunks
        .map(|(before, (gradient, hidden))| {
            let mut sums = vec![0.0f32; channels];
            Arch::new().dispatch(Through {
                before,
                slopes: &slopes,
                beta,
                gradient,
                hidden,
                sums: &mut sums,
            });
            sums
        })
        .collect();
    ResponseGradient {
        bias: add_up(partial, channels),
        gamma: slopes.gamma,
        beta: beta_gradient,
    }
}

/// How an object's values act on its result, channel by channel.
struct Slopes {
    /// Through the value itself.
    factors: Vec<f32>,
    /// Through the channel's energy, for a value of 1.
    energies: Vec<f32>,
    /// The gradient with respect to gamma.
    gamma: Vec<f32>,
}

impl Slopes {
    /// `along` is the sum of gradient times value over positions.
    fn new(response: &Response, gamma: &[f32], along: &[f32]) -> Self {
        let mean = f64::from(response.mean);
        let channels = gamma.len() as f64;
        // Of each channel's share, and what all shares have in common: their mean.
        let shares: Vec<f64> = along
            .iter()
            .zip(gamma)
            .map(|(along, gamma)| f64::from(*along) * f64::from(*gamma))
            .collect();
        let common = shares.iter().zip(&response.norms);
        let common = common.map(|(share, norm)| share * f64::from(*norm));
        let common = common.sum::<f64>() / (mean * mean * channels);
        let energies = shares.iter().zip(&response.norms).map(|(share, norm)| {
            // A channel without energy has values of zero only, which nothing acts through.
            if *norm > 0.0 {
                ((share / mean - common) / f64::from(*norm)) as f32
            } else {
                0.0
            }
        });
        let gammas = along.iter().zip(&response.norms);
        Slopes {
            factors: response.factors(gamma),
            energies: energies.collect(),
            gamma: gammas
                .map(|(along, norm)| along * (norm / response.mean))
                .collect(),
        }
    }
}

/// Sums over a chunk's rows of the gradient times GELU of the value, and of the gradient.
struct Sums<'a> {
    before: &'a [f32],
    gradient: &'a [f32],
    /// `(2, channels)`
    sums: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.sums.len() / 2;
        let (along, total) = self.sums.split_at_mut(channels);
        let rows = self.before.chunks_exact(channels);
        for (before, gradient) in rows.zip(self.gradient.chunks_exact(channels)) {
            for start in (0..channels).step_by(S::F32_LANES) {
                let [value, _] = gelu_lanes(simd, vector_at(simd, before, start));
                let g = vector_at(simd, gradient, start);
                let sum = simd.mul_add_e_f32s(g, value, vector_at(simd, along, start));
                set_vector_at::<S>(along, start, sum);
                let sum = simd.add_f32s(g, vector_at(simd, total, start));
                set_vector_at::<S>(total, start, sum);
            }
        }
    }
}

/// A chunk's rows of both results.
struct Through<'a> {
    before: &'a [f32],
    slopes: &'a Slopes,
    beta: &'a [f32],
    gradient: &'a mut [f32],
    hidden: &'a mut [f32],
    /// Of the gradient, `(channels)`.
    sums: &'a mut [f32],
}

impl WithSimd for Through<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.sums.len();
        let rows = self.before.chunks_exact(channels);
        let rows = rows.zip(self.gradient.chunks_exact_mut(channels));
        for ((before, gradient), hidden) in rows.zip(self.hidden.chunks_exact_mut(channels)) {
            for start in (0..channels).step_by(S::F32_LANES) {
                let at = |row: &[f32]| vector_at(simd, row, start);
                let [value, slope] = gelu_lanes(simd, at(before));
                let (factor, energy) = (at(&self.slopes.factors), at(&self.slopes.energies));
                let result = simd.mul_add_e_f32s(value, factor, at(self.beta));
                set_vector_at::<S>(hidden, start, result);
                let through = simd.mul_f32s(value, energy);
                let through = simd.mul_add_e_f32s(at(gradient), factor, through);
                let through = simd.mul_f32s(through, slope);
                set_vector_at::<S>(gradient, start, through);
                let sum = simd.add_f32s(through, at(self.sums));
                set_vector_at::<S>(self.sums, start, sum);
            }
        }
    }
}
