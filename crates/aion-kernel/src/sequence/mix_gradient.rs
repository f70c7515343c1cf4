//! Gradients of [`super::Mix::normalized`].

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::mix::{Moments, TAPS, Window};
use super::{Mix, Norm, ROWS, add};
use crate::rows::add_up;
use crate::simd::{set_vector_at, vector_at};

/// Running sums of a row.
const LANES: usize = 8;

/// Gradients with respect to the parameters, summed over the rows.
#[derive(Debug)]
pub(crate) struct MixGradient {
    /// `(TAPS, channels)`
    pub kernel: Vec<f32>,
    /// `(channels)`
    pub bias: Vec<f32>,
    /// Of the norm, `(channels)` each.
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

impl MixGradient {
    pub(crate) fn zeros(mix: &Mix<'_>) -> Self {
        let channels = || vec![0.0; mix.bias.len()];
        MixGradient {
            kernel: vec![0.0; mix.kernel.len()],
            bias: channels(),
            scale: channels(),
            shift: channels(),
        }
    }

    /// Adds those of another object.
    pub(crate) fn add(&mut self, other: &Self) {
        add(&mut self.kernel, &other.kernel);
        add(&mut self.bias, &other.bias);
        add(&mut self.scale, &other.scale);
        add(&mut self.shift, &other.shift);
    }
}

impl Mix<'_> {
    /// From the gradient of one object's result, `gradient`, which is used up. What goes through to
    /// the input is added to `to`.
    ///
    /// # Shapes
    /// `input`, `gradient`, `to`: `(length, channels)`
    pub(crate) fn backward(
        &self,
        input: &[f32],
        norm: &Norm<'_>,
        gradient: &mut [f32],
        to: &mut [f32],
    ) -> MixGradient {
        let channels = self.bias.len();
        let chunks = gradient.par_chunks_mut(ROWS * channels).enumerate();
        let sums: Vec<_> = chunks
            .map(|(chunk, gradient)| {
                let mut sums = vec![0.0f32; 2 * channels];
                Arch::new().dispatch(NormBackward {
                    mix: self,
                    norm,
                    input,
                    first: chunk * ROWS,
                    mixed: &mut vec![0.0; gradient.len()],
                    gradient,
                    sums: &mut sums,
                });
                sums
            })
            .collect();
        let mut scale = add_up(sums, 2 * channels);
        let shift = scale.split_off(channels);

        let len = (TAPS + 1) * channels;
        let gradient = &*gradient;
        let chunks = to.par_chunks_mut(ROWS * channels).enumerate();
        let sums: Vec<_> = chunks
            .map(|(chunk, to)| {
                let mut sums = vec![0.0f32; len];
                Arch::new().dispatch(MixBackward {
                    mix: self,
                    input,
                    first: chunk * ROWS,
                    gradient,
                    to,
                    sums: &mut sums,
                });
                sums
            })
            .collect();
        let mut kernel = add_up(sums, len);
        let bias = kernel.split_off(TAPS * channels);
        MixGradient {
            kernel,
            bias,
            scale,
            shift,
        }
    }
}

/// A chunk of rows from `first` on, of the norm's gradient.
struct NormBackward<'a> {
    mix: &'a Mix<'a>,
    norm: &'a Norm<'a>,
    input: &'a [f32],
    first: usize,
    /// Of the normalised rows, then of the rows.
    gradient: &'a mut [f32],
    /// Room for the chunk's rows.
    mixed: &'a mut [f32],
    /// Of scale and shift.
    sums: &'a mut [f32],
}

impl WithSimd for NormBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.mix.bias.len();
        self.mix.rows(simd, self.input, self.first, self.mixed);
        let (scale_sums, shift_sums) = self.sums.split_at_mut(channels);
        let scale = self.norm.scale;
        let rows = self.mixed.chunks_exact(channels);
        for (row, gradient) in rows.zip(self.gradient.chunks_exact_mut(channels)) {
            let moments = Moments::of(row, self.norm.epsilon);
            let sums = scale_sums.iter_mut().zip(shift_sums.iter_mut());
            for ((g, x), (scale, shift)) in gradient.iter().zip(row).zip(sums) {
                *scale += g * moments.normal(*x) as f32;
                *shift += g;
            }
            let [mean, along] = self::along(gradient, row, scale, moments);
            for ((g, x), scale) in gradient.iter_mut().zip(row).zip(scale) {
                // In 64 bits: with two channels the three nearly cancel.
                let through = f64::from(*g) * f64::from(*scale) - mean;
                *g = (moments.inverse * (through - moments.normal(*x) * along)) as f32;
            }
        }
    }
}

/// Mean of the normal values' gradient, and of it times these, in running sums so that it vectorises.
#[inline(always)]
fn along(gradient: &[f32], row: &[f32], scale: &[f32], moments: Moments) -> [f64; 2] {
    let mut sums = [[0.0f64; LANES]; 2];
    let (gradients, last) = gradient.as_chunks::<LANES>();
    let (rows, last_row) = row.as_chunks::<LANES>();
    let (scales, last_scale) = scale.as_chunks::<LANES>();
    for ((gradients, row), scale) in gradients.iter().zip(rows).zip(scales) {
        for lane in 0..LANES {
            let g = f64::from(gradients[lane]) * f64::from(scale[lane]);
            sums[0][lane] += g;
            sums[1][lane] += g * moments.normal(row[lane]);
        }
    }
    let [mut mean, mut along] = sums.map(|sums| sums.iter().sum::<f64>());
    for ((g, x), scale) in last.iter().zip(last_row).zip(last_scale) {
        let g = f64::from(*g) * f64::from(*scale);
        mean += g;
        along += g * moments.normal(*x);
    }
    let count = gradient.len() as f64;
    [mean / count, along / count]
}

/// A chunk of rows from `first` on, of the convolution's gradient.
struct MixBackward<'a> {
    mix: &'a Mix<'a>,
    input: &'a [f32],
    first: usize,
    /// Of all rows of the convolution.
    gradient: &'a [f32],
    /// Rows of the chunk.
    to: &'a mut [f32],
    /// Of kernel and bias, `(TAPS + 1, channels)`.
    sums: &'a mut [f32],
}

impl WithSimd for MixBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.mix.bias.len();
        let (first, gradient) = (self.first, self.gradient);
        let own = &gradient[first * channels..][..self.to.len()];
        for start in (0..channels).step_by(S::F32_LANES) {
            let mut sums = [simd.splat_f32s(0.0); TAPS];
            let mut bias = simd.splat_f32s(0.0);
            let mut window = Window::new(simd, self.input, channels, start, first);
            for row in own.chunks_exact(channels) {
                window.advance(simd);
                let g = vector_at(simd, row, start);
                bias = simd.add_f32s(bias, g);
                for (sum, x) in sums.iter_mut().zip(&window.vectors) {
                    *sum = simd.mul_add_e_f32s(g, *x, *sum);
                }
            }
            let (kernel, last) = self.sums.split_at_mut(TAPS * channels);
            for (row, sum) in kernel.chunks_exact_mut(channels).zip(sums) {
                set_vector_at::<S>(row, start, sum);
            }
            set_vector_at::<S>(last, start, bias);

            // A row was read by its neighbours with the taps on their other sides.
            let kernel = self.mix.vectors(simd, start);
            let mut window = Window::new(simd, gradient, channels, start, first);
            for row in self.to.chunks_exact_mut(channels) {
                window.advance(simd);
                let mut sum = vector_at(simd, row, start);
                for (g, w) in window.vectors.iter().zip(kernel.iter().rev()) {
                    sum = simd.mul_add_e_f32s(*g, *w, sum);
                }
                set_vector_at::<S>(row, start, sum);
            }
        }
    }
}
