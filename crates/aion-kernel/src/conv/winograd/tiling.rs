//! The matrices of Winograd's tiles, made from points at which polynomials are evaluated (Toom and
//! Cook): `y = Aᵀ ((G g) ∘ (Bᵀ d))` along each side of a tile.

use std::mem::MaybeUninit;
use std::ptr::from_ref;

use pulp::Simd;

/// Outputs along the side of a tile.
pub(super) const OUT: usize = 4;
/// The most taps along the side of a piece of a kernel.
pub(super) const MAX_TAPS: usize = 4;

/// Tiles of `N × N` inputs, for pieces of kernels of `TAPS × TAPS`.
pub(super) trait Tiling<const N: usize>: Sync {
    const TAPS: usize;
    /// `Bᵀ`
    const INPUT: [[f32; N]; N];
    /// `G`
    const KERNEL: [[f32; MAX_TAPS]; N];
    /// `Aᵀ`
    const OUTPUT: [[f32; N]; OUT];
    /// `A` and `Gᵀ`, for gradients.
    const OUTPUT_BACK: [[f32; OUT]; N] = transposed(&Self::OUTPUT);
    const KERNEL_BACK: [[f32; N]; MAX_TAPS] = transposed(&Self::KERNEL);
}

/// Points with small errors in single precision: a few 1e-6 of the largest result.
const POINTS_3: [f64; 5] = [0.0, 1.0, -1.0, 0.5, -2.0];
const POINTS_4: [f64; 6] = [0.0, 1.0, -1.0, 2.0, -2.0, 0.5];

/// F(4×4, 3×3): 36 products where 144 are in the sum.
pub(super) struct Taps3;

impl Tiling<6> for Taps3 {
    const TAPS: usize = 3;
    const INPUT: [[f32; 6]; 6] = input_matrix(&POINTS_3);
    const KERNEL: [[f32; MAX_TAPS]; 6] = kernel_matrix(&POINTS_3, Self::TAPS);
    const OUTPUT: [[f32; 6]; OUT] = output_matrix(&POINTS_3);
}

/// F(4×4, 4×4): 49 products where 256 are in the sum.
pub(super) struct Taps4;

impl Tiling<7> for Taps4 {
    const TAPS: usize = 4;
    const INPUT: [[f32; 7]; 7] = input_matrix(&POINTS_4);
    const KERNEL: [[f32; MAX_TAPS]; 7] = kernel_matrix(&POINTS_4, Self::TAPS);
    const OUTPUT: [[f32; 7]; OUT] = output_matrix(&POINTS_4);
}

const fn transposed<const N: usize, const M: usize>(matrix: &[[f32; N]; M]) -> [[f32; M]; N] {
    let mut turned = [[0.0; M]; N];
    let mut row = 0;
    while row < M {
        let mut column = 0;
        while column < N {
            turned[column][row] = matrix[row][column];
            column += 1;
        }
        row += 1;
    }
    turned
}

const fn power(base: f64, exponent: usize) -> f64 {
    let (mut result, mut step) = (1.0, 0);
    while step < exponent {
        result *= base;
        step += 1;
    }
    result
}

/// Powers of each point; the last column is the point at infinity.
const fn output_matrix<const N: usize>(points: &[f64]) -> [[f32; N]; OUT] {
    let mut matrix = [[0.0; N]; OUT];
    let mut row = 0;
    while row < OUT {
        let mut column = 0;
        while column < N - 1 {
            matrix[row][column] = power(points[column], row) as f32;
            column += 1;
        }
        row += 1;
    }
    matrix[OUT - 1][N - 1] = 1.0;
    matrix
}

/// Powers of each point over the product of its distances to the others.
const fn kernel_matrix<const N: usize>(points: &[f64], taps: usize) -> [[f32; MAX_TAPS]; N] {
    let mut matrix = [[0.0; MAX_TAPS]; N];
    let mut row = 0;
    while row < N - 1 {
        let (mut distances, mut other) = (1.0, 0);
        while other < N - 1 {
            if other != row {
                distances *= points[row] - points[other];
            }
            other += 1;
        }
        let mut column = 0;
        while column < taps {
            matrix[row][column] = (power(points[row], column) / distances) as f32;
            column += 1;
        }
        row += 1;
    }
    matrix[N - 1][taps - 1] = 1.0;
    matrix
}

/// Coefficients of the polynomial that vanishes at all points but the row's; at all in the last row.
const fn input_matrix<const N: usize>(points: &[f64]) -> [[f32; N]; N] {
    let mut matrix = [[0.0; N]; N];
    let mut row = 0;
    while row < N {
        let mut coefficients = [0.0; N];
        coefficients[0] = 1.0;
        let (mut factor, mut degree) = (0, 0);
        while factor < N - 1 {
            if factor != row {
                // Times (x - point), the highest power first.
                degree += 1;
                let mut place = degree;
                while place > 0 {
                    coefficients[place] =
                        coefficients[place - 1] - points[factor] * coefficients[place];
                    place -= 1;
                }
                coefficients[0] *= -points[factor];
            }
            factor += 1;
        }
        let mut column = 0;
        while column < N {
            matrix[row][column] = coefficients[column] as f32;
            column += 1;
        }
        row += 1;
    }
    matrix
}

/// A matrix times the values along a line; zeros cost nothing, as matrices are constants.
#[inline(always)]
pub(super) fn line<S: Simd, const N: usize, const M: usize>(
    simd: S,
    matrix: &[[f32; N]; M],
    values: &[S::f32s; N],
) -> [S::f32s; M] {
    let mut result = [simd.splat_f32s(0.0); M];
    for (sum, row) in result.iter_mut().zip(matrix) {
        for (factor, value) in row.iter().zip(values) {
            if *factor != 0.0 {
                *sum = simd.mul_add_e_f32s(simd.splat_f32s(*factor), *value, *sum);
            }
        }
    }
    result
}

/// The matrix on both sides: down the columns, then along the rows.
#[inline(always)]
pub(super) fn both_ways<S: Simd, const N: usize, const M: usize>(
    simd: S,
    matrix: &[[f32; N]; M],
    values: &[[S::f32s; N]; N],
    result: &mut [[S::f32s; M]; M],
) {
    // Not zeros: they would take as long to write as the result.
    let mut half = [[MaybeUninit::<S::f32s>::uninit(); N]; M];
    for column in 0..N {
        let mut down = [simd.splat_f32s(0.0); N];
        for row in 0..N {
            down[row] = values[row][column];
        }
        let down = line(simd, matrix, &down);
        for row in 0..M {
            half[row][column].write(down[row]);
        }
    }
    for (result, half) in result.iter_mut().zip(&half) {
        // SAFETY: all columns of the row are written above.
        let half = unsafe { &*from_ref(half).cast::<[S::f32s; N]>() };
        *result = line(simd, matrix, half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const N: usize, T: Tiling<N>>() {
        // Any line of inputs and any kernel, in 64 bits.
        let input: [f64; N] = std::array::from_fn(|i| (i as f64 * 1.7).sin());
        let kernel: [f64; MAX_TAPS] = std::array::from_fn(|i| (i as f64 * 2.3).cos());
        let times = |row: &[f32], values: &[f64]| -> f64 {
            row.iter().zip(values).map(|(a, b)| f64::from(*a) * b).sum()
        };
        let products: [f64; N] = std::array::from_fn(|point| {
            times(&T::INPUT[point], &input) * times(&T::KERNEL[point], &kernel)
        });
        for (place, row) in T::OUTPUT.iter().enumerate() {
            let expected: f64 = (0..T::TAPS)
                .map(|tap| kernel[tap] * input[place + tap])
                .sum();
            let found = times(row, &products);
            assert!((found - expected).abs() < 1e-5, "{N}: {found} {expected}");
        }
    }

    #[test]
    fn tiles_are_correlations() {
        check::<6, Taps3>();
        check::<7, Taps4>();
    }
}
