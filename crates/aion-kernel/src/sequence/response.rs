//! Global response normalisation: each channel by its share of an object's energy.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::ROWS;
use crate::gelu::gelu_lanes;
use crate::simd::{set_vector_at, vector_at};

/// Rows whose squares are summed in 32 bits.
const GROUP: usize = 8;

/// What the channels of an object share.
#[derive(Debug)]
pub(crate) struct Response {
    /// The root of each channel's energy, `(channels)`.
    pub norms: Vec<f32>,
    /// Their mean, and epsilon.
    pub mean: f32,
}

impl Response {
    /// From the channels' energies, the sums of their squares.
    pub(crate) fn new(energies: &[f64], epsilon: f64) -> Self {
        let norms: Vec<f32> = energies.iter().map(|e| e.sqrt() as f32).collect();
        let mean = norms.iter().map(|norm| f64::from(*norm)).sum::<f64>();
        let mean = (mean / norms.len() as f64 + epsilon) as f32;
        Response { norms, mean }
    }

    /// What each channel is multiplied by; `gamma` `(channels)`.
    pub(crate) fn factors(&self, gamma: &[f32]) -> Vec<f32> {
        let pairs = self.norms.iter().zip(gamma);
        pairs
            .map(|(norm, gamma)| gamma * (norm / self.mean) + 1.0)
            .collect()
    }
}

/// The energy of each channel of an object, `(length, channels)`.
pub(crate) fn energies(values: &[f32], channels: usize) -> Vec<f64> {
    let chunks = values.par_chunks(ROWS * channels);
    let partial = chunks.map(|rows| {
        let mut sums = vec![0.0; channels];
        let sums_of = &mut sums;
        Arch::new().dispatch(Energies {
            rows,
            sums: sums_of,
        });
        sums
    });
    total(partial.collect(), channels)
}

/// GELU of an object's values to `output`, and [`energies`] of that.
///
/// # Shapes
/// `(length, channels)`
pub(crate) fn gelu_with_energies(values: &[f32], output: &mut [f32], channels: usize) -> Vec<f64> {
    let chunks = values.par_chunks(ROWS * channels);
    let chunks = chunks.zip(output.par_chunks_mut(ROWS * channels));
    let partial = chunks.map(|(values, rows)| {
        let mut sums = vec![0.0; channels];
        let sums_of = &mut sums;
        Arch::new().dispatch(Gelu { values, to: rows });
        Arch::new().dispatch(Energies {
            rows,
            sums: sums_of,
        });
        sums
    });
    total(partial.collect(), channels)
}

fn total(partial: Vec<Vec<f64>>, channels: usize) -> Vec<f64> {
    let mut total = vec![0.0; channels];
    for sums in partial {
        let pairs = total.iter_mut().zip(sums);
        pairs.for_each(|(total, sum)| *total += sum);
    }
    total
}

struct Gelu<'a> {
    values: &'a [f32],
    to: &'a mut [f32],
}

impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for start in (0..self.to.len()).step_by(S::F32_LANES) {
            let [value, _] = gelu_lanes(simd, vector_at(simd, self.values, start));
            set_vector_at::<S>(self.to, start, value);
        }
    }
}

/// Adds the squares of a chunk's rows to `sums`.
struct Energies<'a> {
    rows: &'a [f32],
    sums: &'a mut [f64],
}

impl WithSimd for Energies<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let channels = self.sums.len();
        let groups = self.rows.chunks_exact(GROUP * channels);
        for row in groups.remainder().chunks_exact(channels) {
            for (sum, x) in self.sums.iter_mut().zip(row) {
                *sum += f64::from(x * x);
            }
        }
        for group in groups {
            let rows: [&[f32]; GROUP] =
                std::array::from_fn(|row| &group[row * channels..][..channels]);
            for (channel, sum) in self.sums.iter_mut().enumerate() {
                let mut energy = 0.0;
                for row in rows {
                    energy += row[channel] * row[channel];
                }
                *sum += f64::from(energy);
            }
        }
    }
}
