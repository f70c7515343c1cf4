//! A convolution of each channel with its own kernel, then normalisation of each position.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::ROWS;
use crate::simd::{set_vector_at, sum, vector_at};

/// Taps of the kernel.
pub(crate) const TAPS: usize = 7;
/// Rows on either side that a row's result depends on.
pub(super) const REACH: usize = TAPS / 2;

/// A convolution along an object's positions, each channel by itself; zeros beyond both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix<'a> {
    /// `(TAPS, channels)`
    pub kernel: &'a [f32],
    /// `(channels)`
    pub bias: &'a [f32],
}

/// Normalisation of each row to mean 0 and variance 1, then scale and shift.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm<'a> {
    /// `(channels)`
    pub scale: &'a [f32],
    /// `(channels)`
    pub shift: &'a [f32],
    pub epsilon: f64,
}

impl Mix<'_> {
    /// Convolution and norm of one object.
    ///
    /// # Shapes
    /// `input` and `output`: `(length, channels)`
    pub(crate) fn normalized(&self, input: &[f32], norm: &Norm<'_>, output: &mut [f32]) {
        let chunks = output.par_chunks_mut(ROWS * self.bias.len()).enumerate();
        chunks.for_each(|(chunk, output)| {
            Arch::new().dispatch(MixAndNormalize {
                mix: self,
                norm,
                input,
                first: chunk * ROWS,
                output,
            });
        });
    }

    /// The kernel's vectors for channels from `start` on.
    #[inline(always)]
    pub(super) fn vectors<S: Simd>(&self, simd: S, start: usize) -> [S::f32s; TAPS] {
        let mut vectors = [simd.splat_f32s(0.0); TAPS];
        for (vector, row) in vectors
            .iter_mut()
            .zip(self.kernel.chunks_exact(self.bias.len()))
        {
            *vector = vector_at(simd, row, start);
        }
        vectors
    }

    /// The convolution of rows from `first` on, as many as `output` has.
    #[inline(always)]
    pub(super) fn rows<S: Simd>(&self, simd: S, input: &[f32], first: usize, output: &mut [f32]) {
        let channels = self.bias.len();
        for start in (0..channels).step_by(S::F32_LANES) {
            let kernel = self.vectors(simd, start);
            let bias = vector_at(simd, self.bias, start);
            let mut window = Window::new(simd, input, channels, start, first);
            for row in output.chunks_exact_mut(channels) {
                window.advance(simd);
                let mut sum = bias;
                for (x, w) in window.vectors.iter().zip(kernel) {
                    sum = simd.mul_add_e_f32s(*x, w, sum);
                }
                set_vector_at::<S>(row, start, sum);
            }
        }
    }
}

/// A vector of channels of the rows around one, moving along an object.
pub(super) struct Window<'a, S: Simd> {
    /// Of the rows from [`REACH`] before the middle to as many after; zeros outside the object.
    pub vectors: [S::f32s; TAPS],
    values: &'a [f32],
    channels: usize,
    start: usize,
    /// The row that comes next.
    next: usize,
}

impl<'a, S: Simd> Window<'a, S> {
    /// Before row `first`: one [`Window::advance`] puts it into the middle.
    #[inline(always)]
    pub(super) fn new(
        simd: S,
        values: &'a [f32],
        channels: usize,
        start: usize,
        first: usize,
    ) -> Self {
        let mut window = Window {
            vectors: [simd.splat_f32s(0.0); TAPS],
            values,
            channels,
            start,
            next: first.saturating_sub(REACH),
        };
        while window.next < first + REACH {
            window.advance(simd);
        }
        window
    }

    #[inline(always)]
    pub(super) fn advance(&mut self, simd: S) {
        for place in 1..TAPS {
            self.vectors[place - 1] = self.vectors[place];
        }
        let at = self.next * self.channels;
        self.vectors[TAPS - 1] = if at < self.values.len() {
            vector_at(simd, &self.values[at..at + self.channels], self.start)
        } else {
            simd.splat_f32s(0.0)
        };
        self.next += 1;
    }
}

/// A chunk of rows from `first` on.
struct MixAndNormalize<'a> {
    mix: &'a Mix<'a>,
    norm: &'a Norm<'a>,
    input: &'a [f32],
    first: usize,
    output: &'a mut [f32],
}

impl WithSimd for MixAndNormalize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.mix.rows(simd, self.input, self.first, self.output);
        for row in self.output.chunks_exact_mut(self.mix.bias.len()) {
            let moments = Moments::of(row, self.norm.epsilon);
            let affine = self.norm.scale.iter().zip(self.norm.shift);
            for (x, (scale, shift)) in row.iter_mut().zip(affine) {
                *x = moments.normal(*x) as f32 * scale + shift;
            }
        }
    }
}

/// Mean and inverse deviation of a row. They are 64-bit: with the two channels of a decoder's last
/// stage the variance can be tiny, and an error in it large.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub mean: f64,
    pub inverse: f64,
}

impl Moments {
    #[inline(always)]
    pub(super) fn of(row: &[f32], epsilon: f64) -> Self {
        let count = row.len() as f64;
        let mean = sum(row, f64::from) / count;
        let variance = sum(row, |x| (f64::from(x) - mean) * (f64::from(x) - mean)) / count;
        let inverse = 1.0 / (variance + epsilon).sqrt();
        Moments { mean, inverse }
    }

    #[inline(always)]
    pub(super) fn normal(self, x: f32) -> f64 {
        (f64::from(x) - self.mean) * self.inverse
    }
}
