//! A ConvNeXt block of few channels on the CPU, in 64 bits, channel by channel over runs of
//! positions.
//!
//! A norm over two channels divides by their difference, which is often small, and so multiplies
//! every rounding before it: in single precision nothing of a result's last four digits is sure.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::host::Block;
use super::{EPSILON, LEAST_DIM};
use crate::gelu::gelu_wide;
use crate::sequence::TAPS;

/// Positions of a run.
const RUN: usize = 128;

/// One value a position of a run.
type Plane = [f64; RUN];

impl Block<'_> {
    /// As [`Block::forward`], for less than [`LEAST_DIM`] channels.
    ///
    /// # Shapes
    /// `(batch, length, dim)` → the same
    pub(super) fn forward_narrow(&self, input: &[f32]) -> Vec<f32> {
        let (dim, length) = (self.dim(), self.length);
        let mut output = vec![0.0; input.len()];
        let mut planes = vec![[0.0; RUN]; length.div_ceil(RUN) * self.hidden()];
        let objects = output.chunks_exact_mut(length * dim);
        for (output, input) in objects.zip(input.chunks_exact(length * dim)) {
            let runs = planes.par_chunks_mut(self.hidden()).enumerate();
            let energies: Vec<Vec<f64>> = runs
                .map(|(run, planes)| {
                    let mut energies = vec![0.0; self.hidden()];
                    Arch::new().dispatch(Expand {
                        block: self,
                        input,
                        start: run * RUN,
                        planes,
                        energies: &mut energies,
                    });
                    energies
                })
                .collect();
            let maps = self.second_maps(&energies);
            let runs = output
                .par_chunks_mut(RUN * dim)
                .zip(input.par_chunks(RUN * dim));
            let runs = runs.zip(planes.par_chunks(self.hidden()));
            runs.for_each(|((output, input), planes)| {
                Arch::new().dispatch(Contract {
                    maps: &maps,
                    input,
                    planes,
                    output,
                });
            });
        }
        output
    }

    /// For each output channel a summand and a factor a hidden channel: the second product with the
    /// response norm in it.
    fn second_maps(&self, energies: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
        let norm = |channel: usize| energies.iter().map(|e| e[channel]).sum::<f64>().sqrt();
        let norms: Vec<f64> = (0..self.hidden()).map(norm).collect();
        let mean = norms.iter().sum::<f64>() / norms.len() as f64 + EPSILON;
        let [gamma, beta] = self.response;
        let rows = self.contract.chunks_exact(self.hidden());
        let map = |(row, bias): (&[f32], &f32)| {
            let shifts = row
                .iter()
                .zip(beta)
                .map(|(w, b)| f64::from(*w) * f64::from(*b));
            let factors = row.iter().zip(gamma).zip(&norms);
            let factors = factors
                .map(|((w, gamma), norm)| f64::from(*w) * (f64::from(*gamma) * norm / mean + 1.0));
            (f64::from(*bias) + shifts.sum::<f64>(), factors.collect())
        };
        rows.zip(self.contract_bias).map(map).collect()
    }
}

/// Convolution, norm, first product and GELU of a run that begins at position `start`.
struct Expand<'a> {
    block: &'a Block<'a>,
    /// An object's rows.
    input: &'a [f32],
    start: usize,
    /// `(hidden)`
    planes: &'a mut [Plane],
    /// `(hidden)`
    energies: &'a mut [f64],
}

impl WithSimd for Expand<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let block = self.block;
        let count = RUN.min(block.length - self.start);
        let mut planes = [[0.0; RUN]; LEAST_DIM];
        let normal = &mut planes[..block.dim()];
        self.mix(normal, count);
        normalize(normal, block);
        let rows = block.expand.chunks_exact(block.dim());
        let rows = rows.zip(block.expand_bias).zip(self.energies);
        for (plane, ((row, bias), energy)) in self.planes.iter_mut().zip(rows) {
            *plane = [f64::from(*bias); RUN];
            for (normal, weight) in normal.iter().zip(row) {
                let weight = f64::from(*weight);
                plane
                    .iter_mut()
                    .zip(normal)
                    .for_each(|(sum, x)| *sum += weight * x);
            }
            for value in &mut plane[..count] {
                *value = gelu_wide(*value);
                *energy += *value * *value;
            }
        }
    }
}

impl Expand<'_> {
    #[inline(always)]
    fn mix(&self, planes: &mut [Plane], count: usize) {
        let (mix, dim) = (&self.block.mix, self.block.dim());
        let half = TAPS / 2;
        for (channel, plane) in planes.iter_mut().enumerate() {
            *plane = [f64::from(mix.bias[channel]); RUN];
            for tap in 0..TAPS {
                let weight = f64::from(mix.kernel[tap * dim + channel]);
                // Positions whose neighbour at this tap lies inside the object.
                let low = half.saturating_sub(self.start + tap);
                let high = count.min((self.block.length + half).saturating_sub(self.start + tap));
                for (place, sum) in plane.iter_mut().enumerate().take(high).skip(low) {
                    let row = self.start + place + tap - half;
                    *sum += weight * f64::from(self.input[row * dim + channel]);
                }
            }
        }
    }
}

/// Normalises each position, then scale and shift.
#[inline(always)]
fn normalize(planes: &mut [Plane], block: &Block<'_>) {
    let count = planes.len() as f64;
    let (mut mean, mut variance) = ([0.0; RUN], [0.0; RUN]);
    for plane in planes.iter() {
        mean.iter_mut()
            .zip(plane)
            .for_each(|(sum, x)| *sum += x / count);
    }
    for plane in planes.iter_mut() {
        for ((x, mean), variance) in plane.iter_mut().zip(&mean).zip(&mut variance) {
            *x -= mean;
            *variance += *x * *x / count;
        }
    }
    let affine = block.norm.scale.iter().zip(block.norm.shift);
    for (plane, (scale, shift)) in planes.iter_mut().zip(affine) {
        let (scale, shift) = (f64::from(*scale), f64::from(*shift));
        for (x, variance) in plane.iter_mut().zip(&variance) {
            *x = *x / (variance + block.norm.epsilon).sqrt() * scale + shift;
        }
    }
}

/// Second product of a run, and its input added.
struct Contract<'a> {
    maps: &'a [(f64, Vec<f64>)],
    /// Rows of the run.
    input: &'a [f32],
    /// `(hidden)`
    planes: &'a [Plane],
    /// Rows of the run.
    output: &'a mut [f32],
}

impl WithSimd for Contract<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let dim = self.maps.len();
        for (channel, (summand, factors)) in self.maps.iter().enumerate() {
            let mut sums = [*summand; RUN];
            for (plane, factor) in self.planes.iter().zip(factors) {
                sums.iter_mut()
                    .zip(plane)
                    .for_each(|(sum, x)| *sum += factor * x);
            }
            let rows = self.output.chunks_exact_mut(dim);
            for ((output, input), sum) in rows.zip(self.input.chunks_exact(dim)).zip(sums) {
                output[channel] = (f64::from(input[channel]) + sum) as f32;
            }
        }
    }
}
