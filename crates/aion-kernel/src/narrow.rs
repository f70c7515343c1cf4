//! Matrices of weights in fewer bits than single precision: 16-bit floats, or 8-bit integers with a
//! scale a row.
//!
//! Only what stands in memory is narrow. A product widens the values while it packs them and computes
//! in single precision: its result is exactly that of a matrix of the rounded values.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use half::{bf16, f16};
use pulp::{Arch, Simd, WithSimd};

use crate::product::transpose;
use crate::simd::vectorized;

/// A format of numbers that takes fewer bits than single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrow {
    /// 16-bit floats of IEEE 754: 11 bits of precision, up to 65504; what is larger becomes infinite.
    F16,
    /// The upper half of single precision: 8 bits of precision, any size.
    Bf16,
    /// Integers from -127 to 127, times the 127th part of their row's largest magnitude.
    Int8,
}

impl Narrow {
    fn bytes(self) -> usize {
        match self {
            Narrow::F16 | Narrow::Bf16 => 2,
            Narrow::Int8 => 1,
        }
    }
}

impl fmt::Display for Narrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Narrow::F16 => "f16",
            Narrow::Bf16 => "bf16",
            Narrow::Int8 => "int8",
        })
    }
}

/// A matrix `(rows, columns)` in a narrow format.
#[derive(Debug)]
pub(crate) struct NarrowMatrix {
    format: Narrow,
    columns: usize,
    /// Little-endian, row-major.
    bytes: bytes::Bytes,
    /// What the integers of a row are multiplied with; none for floats.
    scales: Vec<f32>,
}

/// One that is made when it is first used.
pub(crate) type LazyMatrix = Arc<LazyLock<NarrowMatrix, Box<dyn FnOnce() -> NarrowMatrix + Send>>>;

impl NarrowMatrix {
    /// Rounds to the nearest value of the format, ties to even.
    pub(crate) fn of(values: &[f32], columns: usize, format: Narrow) -> Self {
        let rows = || values.chunks_exact(columns);
        let scales: Vec<f32> = match format {
            Narrow::F16 | Narrow::Bf16 => Vec::new(),
            Narrow::Int8 => rows().map(scale).collect(),
        };
        let mut bytes = vec![0; values.len() * format.bytes()];
        let narrow = bytes.chunks_exact_mut(columns * format.bytes());
        for (index, (to, row)) in narrow.zip(rows()).enumerate() {
            match format {
                Narrow::F16 => round(row, to, |x| f16::from_f32(x).to_le_bytes()),
                Narrow::Bf16 => round(row, to, |x| bf16::from_f32(x).to_le_bytes()),
                Narrow::Int8 => {
                    let scale = scales[index];
                    round(row, to, |x| {
                        ((x / scale).round_ties_even() as i8).to_le_bytes()
                    });
                }
            }
        }
        NarrowMatrix {
            format,
            columns,
            bytes: bytes.into(),
            scales,
        }
    }

    /// 16-bit floats that lie in memory already.
    pub(crate) fn of_bytes(bytes: bytes::Bytes, columns: usize, format: Narrow) -> Self {
        NarrowMatrix {
            format,
            columns,
            bytes,
            scales: Vec::new(),
        }
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> [usize; 2] {
        let row = (self.columns * self.format.bytes()).max(1);
        [self.bytes.len() / row, self.columns]
    }

    /// Some rows in single precision.
    pub(crate) fn rows(&self, rows: impl ExactSizeIterator<Item = usize>) -> Vec<f32> {
        let mut values = vec![0.0; rows.len() * self.columns];
        for (row, to) in rows.zip(values.chunks_exact_mut(self.columns)) {
            vectorized(|| self.widen(row, 0..self.columns, to));
        }
        values
    }

    /// Columns `depths` of the rows `rows`, column by column to places `width` apart.
    pub(crate) fn transpose(
        &self,
        rows: Range<usize>,
        depths: Range<usize>,
        to: &mut [f32],
        width: usize,
    ) {
        Arch::new().dispatch(Transposed {
            matrix: self,
            rows,
            depths,
            to,
            width,
        });
    }

    #[inline(always)]
    fn widen(&self, row: usize, columns: Range<usize>, to: &mut [f32]) {
        let (first, size) = (row * self.columns, self.format.bytes());
        let from = &self.bytes[(first + columns.start) * size..(first + columns.end) * size];
        match self.format {
            Narrow::F16 => widen(from, to, widen_f16),
            Narrow::Bf16 => widen(from, to, widen_bf16),
            Narrow::Int8 => {
                let scale = self.scales[row];
                widen(from, to, |byte| f32::from(i8::from_le_bytes(byte)) * scale);
            }
        }
    }
}

/// The size of a step between a row's integers; no number where one of the row's values is none.
fn scale(row: &[f32]) -> f32 {
    // Magnitudes are ordered as their bits are, which vectorises, and what is no number comes last.
    let mut largest = 0;
    vectorized(|| {
        for x in row {
            largest = largest.max(x.abs().to_bits());
        }
    });
    f32::from_bits(largest) / 127.0
}

fn round<const N: usize>(from: &[f32], to: &mut [u8], narrow: impl Fn(f32) -> [u8; N]) {
    vectorized(|| {
        for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(from) {
            *to = narrow(*from);
        }
    });
}

#[inline(always)]
fn widen<const N: usize>(from: &[u8], to: &mut [f32], widen: impl Fn([u8; N]) -> f32) {
    for (to, from) in to.iter_mut().zip(from.as_chunks::<N>().0) {
        *to = widen(*from);
    }
}

#[inline(always)]
fn widen_bf16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

/// In arithmetic that vectorises: exponent and mantissa are put in place, and the exponent's offset is
/// made good by a product, which is right for the smallest numbers, too.
#[inline(always)]
fn widen_f16(bytes: [u8; 2]) -> f32 {
    /// Two to the power of 127 - 15, the difference of the offsets.
    const OFFSET: f32 = f32::from_bits((254 - 15) << 23);
    const INFINITY: u32 = 0xff << 23;
    let bits = u32::from(u16::from_le_bytes(bytes));
    let size = f32::from_bits((bits & 0x7fff) << 13) * OFFSET;
    let beyond = if size >= 65536.0 { INFINITY } else { 0 };
    f32::from_bits(size.to_bits() | beyond | (bits & 0x8000) << 16)
}

/// Rows and columns that are widened at a time: they stay in the nearest cache.
const BLOCK: [usize; 2] = [8, 256];

/// See [`NarrowMatrix::transpose`].
struct Transposed<'a> {
    matrix: &'a NarrowMatrix,
    rows: Range<usize>,
    depths: Range<usize>,
    to: &'a mut [f32],
    width: usize,
}

impl WithSimd for Transposed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut wide = [0.0; BLOCK[0] * BLOCK[1]];
        for row in self.rows.clone().step_by(BLOCK[0]) {
            let rows = row..(row + BLOCK[0]).min(self.rows.end);
            for depth in self.depths.clone().step_by(BLOCK[1]) {
                let depths = depth..(depth + BLOCK[1]).min(self.depths.end);
                let stride = depths.len();
                for (row, to) in rows.clone().zip(wide.chunks_exact_mut(stride)) {
                    self.matrix.widen(row, depths.clone(), to);
                }
                let place = (depth - self.depths.start) * self.width + row - self.rows.start;
                let wide = &wide[..rows.len() * stride];
                transpose::<S>(wide, stride, 0..stride, &mut self.to[place..], self.width);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::normal;
    use crate::product::{Finish, Matrix, Product, Right, Stored};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const FORMATS: [Narrow; 3] = [Narrow::F16, Narrow::Bf16, Narrow::Int8];

    fn draw(rng: &mut ChaCha8Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| normal(rng)).collect()
    }

    /// The obvious rounding of a row.
    fn rounded(row: &[f32], format: Narrow) -> Vec<f32> {
        let largest = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let step = largest / 127.0;
        let round = |x: &f32| match format {
            Narrow::F16 => f16::from_f32(*x).to_f32(),
            Narrow::Bf16 => bf16::from_f32(*x).to_f32(),
            Narrow::Int8 if step == 0.0 => 0.0,
            Narrow::Int8 => (x / step).round_ties_even() * step,
        };
        row.iter().map(round).collect()
    }

    #[test]
    fn every_short_float_is_widened_as_it_should() {
        for bits in 0..=u16::MAX {
            let bytes = bits.to_le_bytes();
            for (found, expected) in [
                (widen_f16(bytes), f16::from_bits(bits).to_f32()),
                (widen_bf16(bytes), bf16::from_bits(bits).to_f32()),
            ] {
                let same = found.to_bits() == expected.to_bits();
                assert!(same || found.is_nan() && expected.is_nan(), "{bits:x}");
            }
        }
    }

    #[test]
    fn values_are_rounded_to_the_nearest() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let columns = 37;
        let mut values = draw(&mut rng, 9 * columns);
        values[..columns].fill(0.0);
        values[columns] = 1e4;
        for format in FORMATS {
            let matrix = NarrowMatrix::of(&values, columns, format);
            assert_eq!(matrix.shape(), [9, columns]);
            let expected = values.chunks(columns).map(|row| rounded(row, format));
            assert_eq!(matrix.rows(0..9), expected.collect::<Vec<_>>().concat());
            let [last, first] =
                [8, 0].map(|row| rounded(&values[row * columns..][..columns], format));
            assert_eq!(matrix.rows([8, 0].into_iter()), [last, first].concat());
        }
    }

    #[test]
    fn rows_that_are_no_numbers_stay_none() {
        for format in FORMATS {
            let matrix = NarrowMatrix::of(&[1.0, f32::NAN, 2.0, 1.0, -3.0, 2.0], 3, format);
            let values = matrix.rows(0..2);
            assert!(values[1].is_nan(), "{format}: {values:?}");
            assert!(values[3..].iter().all(|x| x.is_finite()), "{format}");
        }
    }

    #[test]
    fn products_are_those_of_the_rounded_values() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for [rows, depth, columns] in [[1, 1, 1], [5, 9, 3], [20, 300, 41], [301, 1100, 80]] {
            let left = draw(&mut rng, rows * depth);
            let pair = [0; 2].map(|_| draw(&mut rng, columns * depth));
            for format in FORMATS {
                let wide = pair.each_ref().map(|weight| {
                    let rows = weight.chunks(depth).map(|row| rounded(row, format));
                    rows.collect::<Vec<_>>().concat()
                });
                let narrow = pair.each_ref().map(|w| NarrowMatrix::of(w, depth, format));
                let (narrow, wide) = (
                    narrow.each_ref().map(Stored::Narrow),
                    wide.each_ref().map(|weight| Stored::Full(weight)),
                );
                let product = |right, gated| {
                    let finish = Finish {
                        gated,
                        ..Finish::default()
                    };
                    let left = Matrix::new(&left, depth);
                    let product = Product {
                        left,
                        rows,
                        right,
                        finish,
                    };
                    product.matrix()
                };
                let shape = [columns, depth];
                let one = |weight| product(Right::Weight(weight, shape), false);
                assert_eq!(one(narrow[0]), one(wide[0]), "{format} {shape:?}");
                let both = |weights| product(Right::Pair(weights, shape), true);
                assert_eq!(both(narrow), both(wide), "{format} {shape:?} gated");
            }
        }
    }
}
