//! Plain loops, compiled for the widest vectors that the machine has, chosen when they run.

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

/// Vectors of a row of a tile.
pub(crate) const VECTORS: usize = 2;
/// Rows of a tile where there are 32 vector registers, and where there are 16.
const MANY_ROWS: usize = 12;
const FEW_ROWS: usize = 6;

/// A row of a tile.
pub(crate) type Lanes<S> = [<S as Simd>::f32s; VECTORS];

/// Rows of a tile that fills the registers, beside a row of the other factor.
#[inline(always)]
pub(crate) fn tile_rows<S: Simd>() -> usize {
    // Machines with vectors of 16, and ARM's with 4, have 32 registers.
    if S::F32_LANES == 16 || cfg!(target_arch = "aarch64") {
        MANY_ROWS
    } else {
        FEW_ROWS
    }
}

/// Rows and columns of a tile on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileShape {
    pub rows: usize,
    pub columns: usize,
}

/// Work on tiles of as many rows as the machine's registers hold, which [`InTiles`] finds out.
pub(crate) trait OnTiles {
    type Output;

    fn run<S: Simd, const ROWS: usize>(self, simd: S) -> Self::Output;
}

/// Runs such work on the machine's vectors.
pub(crate) struct InTiles<T>(pub T);

impl<T: OnTiles> WithSimd for InTiles<T> {
    type Output = T::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T::Output {
        match tile_rows::<S>() {
            MANY_ROWS => self.0.run::<S, MANY_ROWS>(simd),
            _ => self.0.run::<S, FEW_ROWS>(simd),
        }
    }
}

/// See [`TileShape`].
pub(crate) fn tile_shape(arch: Arch) -> TileShape {
    struct Shape;
    impl WithSimd for Shape {
        type Output = TileShape;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> TileShape {
            TileShape {
                rows: tile_rows::<S>(),
                columns: VECTORS * S::F32_LANES,
            }
        }
    }
    arch.dispatch(Shape)
}

/// Runs `work` compiled for AVX-512, AVX2 with FMA, or the baseline.
///
/// `work` must be a closure whose loops are inlined into it; nothing else is gained. A large one is
/// compiled apart, without the machine's vectors: those go through [`vectorized_with`].
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    vectorized_with((), |()| work())
}

/// The same for a function marked `#[inline(always)]`, which is compiled for the machine's vectors
/// whatever its size.
#[inline(always)]
pub(crate) fn vectorized_with<A, R>(arguments: A, work: impl FnOnce(A) -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        fn avx512<A, R>(arguments: A, work: impl FnOnce(A) -> R) -> R {
            work(arguments)
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<A, R>(arguments: A, work: impl FnOnce(A) -> R) -> R {
            work(arguments)
        }
        match level() {
            // SAFETY: the machine has the features that the function is compiled for.
            Level::Avx512 => return unsafe { avx512(arguments, work) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(arguments, work) },
            Level::Baseline => {}
        }
    }
    work(arguments)
}

/// What the machine's vectors are.
#[cfg(target_arch = "x86_64")]
enum Level {
    Avx512,
    Avx2,
    Baseline,
}

/// Looked up once by the standard library.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn level() -> Level {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return Level::Baseline;
    }
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    if wide { Level::Avx512 } else { Level::Avx2 }
}

/// Below it the exponential is taken as if at it.
const LEAST: f32 = -87.0;
/// Adding it leaves the nearest integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
/// The logarithm of 2 in two parts, the first of few digits.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// `exp(r) = 1 + r + r² p(r)` around 0, the highest power first.
const EXP: [f32; 6] = [
    1.987_569_1e-4,
    1.398_199_9e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    5.000_000_3e-1,
];
/// The exponent of 1 in a single-precision number, and where exponents begin.
const ONE: u32 = 0x3f80_0000;
const EXPONENT: u32 = 23;

/// `exp(x)` for x ≤ 0 to about 1e-7 of its value, in arithmetic that vectorises.
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f32) -> f32 {
    let x = x.max(LEAST);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = (x - whole * LN_2[0]) - whole * LN_2[1];
    let [first, rest @ ..] = EXP;
    let p = rest.into_iter().fold(first, |p, c| p * r + c);
    let value = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << EXPONENT).wrapping_add(ONE));
    value * scale
}

/// Below it powers of 2 are taken as if at it: nothing beside 1, and far from where products of them
/// lose digits.
const LEAST_POWER: f32 = -100.0;
/// `2^r` for r in [-1/2, 1/2], the highest power first: the least relative error, 7.5e-8.
const EXP_2: [f32; 6] = [
    1.327_647_2e-3,
    9.675_541e-3,
    5.550_713_3e-2,
    2.402_212e-1,
    6.931_469_6e-1,
    1.000_000_1,
];

/// `2^x` of each lane for x ≤ 0 to about 2e-7 of its value. What is no number stays none.
///
/// Several vectors at a time, step by step: each waits for its own last step.
#[inline(always)]
pub(crate) fn exp2_nonpositive_lanes<S: Simd, const N: usize>(simd: S, values: &mut [S::f32s; N]) {
    let constant = |value: f32| simd.splat_f32s(value);
    let mut shifted = *values;
    for (x, shifted) in values.iter_mut().zip(&mut shifted) {
        // In this order x86 keeps what is no number.
        *x = simd.max_f32s(constant(LEAST_POWER), *x);
        *shifted = simd.add_f32s(*x, constant(ROUND));
    }
    let [first, rest @ ..] = EXP_2;
    let mut powers = [constant(first); N];
    for (x, shifted) in values.iter_mut().zip(&shifted) {
        *x = simd.sub_f32s(*x, simd.sub_f32s(*shifted, constant(ROUND)));
    }
    for coefficient in rest {
        for (power, r) in powers.iter_mut().zip(&*values) {
            *power = simd.mul_add_e_f32s(*power, *r, constant(coefficient));
        }
    }
    for ((value, power), shifted) in values.iter_mut().zip(&powers).zip(&shifted) {
        // The whole part of the exponent is added where numbers keep theirs.
        let bits = simd.transmute_u32s_f32s(*shifted);
        let whole = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(EXPONENT));
        let bits = simd.add_u32s(simd.transmute_u32s_f32s(*power), whole);
        *value = simd.transmute_f32s_u32s(bits);
    }
}

/// Asks for `len` values from `start` on, which will be read or written soon.
#[inline(always)]
pub(crate) fn prefetch(start: *const f32, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..len).step_by(crate::aligned::LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads and writes nothing, of whatever address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, len);
}

/// [`exp_nonpositive`] of each lane.
#[inline(always)]
pub(crate) fn exp_nonpositive_lanes<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let constant = |value: f32| simd.splat_f32s(value);
    let x = simd.max_f32s(x, constant(LEAST));
    let shifted = simd.mul_add_e_f32s(x, constant(std::f32::consts::LOG2_E), constant(ROUND));
    let whole = simd.sub_f32s(shifted, constant(ROUND));
    let r = simd.mul_add_e_f32s(whole, constant(-LN_2[0]), x);
    let r = simd.mul_add_e_f32s(whole, constant(-LN_2[1]), r);
    let [first, rest @ ..] = EXP;
    let horner = |p, c| simd.mul_add_e_f32s(p, r, constant(c));
    let p = rest.into_iter().fold(constant(first), horner);
    let p = simd.mul_add_e_f32s(simd.mul_f32s(p, r), r, r);
    let value = simd.add_f32s(p, constant(1.0));
    let bits = simd.transmute_u32s_f32s(shifted);
    let exponent = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(EXPONENT));
    let exponent = simd.add_u32s(exponent, simd.splat_u32s(ONE));
    simd.mul_f32s(value, simd.transmute_f32s_u32s(exponent))
}

/// `x` above zero, `exp(x) - 1` below.
#[inline(always)]
pub(crate) fn elu(x: f32) -> f32 {
    let below = exp_nonpositive(x.min(0.0)) - 1.0;
    if x > 0.0 { x } else { below }
}

/// `x / (1 + exp(-x))`
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x * logistic(x)
}

/// The derivative of [`silu`].
#[inline(always)]
pub(crate) fn silu_slope(x: f32) -> f32 {
    let share = logistic(x);
    share * (1.0 + x * (1.0 - share))
}

/// The derivative of [`elu`].
#[inline(always)]
pub(crate) fn elu_slope(x: f32) -> f32 {
    exp_nonpositive(x.min(0.0))
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub(crate) fn logistic(x: f32) -> f32 {
    let small = exp_nonpositive(-x.abs());
    let numerator = if x > 0.0 { 1.0 } else { small };
    numerator / (1.0 + small)
}

/// The mean of a row and the inverse of its deviation. Sums are 64-bit: where channels are few the
/// variance can be tiny, and an error in it large.
#[inline(always)]
pub(crate) fn mean_and_spread(row: &[f32], epsilon: f32) -> [f32; 2] {
    let count = row.len() as f64;
    let mean = sum(row, f64::from) / count;
    let variance = sum(row, |x| (f64::from(x) - mean) * (f64::from(x) - mean)) / count;
    let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
    [mean as f32, inverse as f32]
}

/// The sum of `term` over a row, in running sums so that it vectorises.
#[inline(always)]
pub(crate) fn sum(row: &[f32], term: impl Fn(f32) -> f64) -> f64 {
    let mut sums = [0.0; 16];
    let (blocks, rest) = row.as_chunks::<16>();
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += term(*x);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| term(*x)).sum::<f64>()
}

/// A vector of a row's values from `start` on, and zeros where the row has fewer.
#[inline(always)]
pub(crate) fn vector_at<S: Simd>(simd: S, row: &[f32], start: usize) -> S::f32s {
    let values = &row[start..row.len().min(start + S::F32_LANES)];
    if let [vector] = S::as_simd_f32s(values).0 {
        return *vector;
    }
    let mut vector = [simd.splat_f32s(0.0)];
    cast_slice_mut(&mut vector)[..values.len()].copy_from_slice(values);
    let [vector] = vector;
    vector
}

/// Stores what [`vector_at`] reads.
#[inline(always)]
pub(crate) fn set_vector_at<S: Simd>(row: &mut [f32], start: usize, vector: S::f32s) {
    let end = row.len().min(start + S::F32_LANES);
    let values = &mut row[start..end];
    let count = values.len();
    if let [to] = S::as_mut_simd_f32s(values).0 {
        *to = vector;
        return;
    }
    values.copy_from_slice(&cast_slice(&[vector])[..count]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_accurate() {
        for step in 0..200_000 {
            let x = -(step as f32) * 4e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_nonpositive(x)) - exact).abs() / exact;
            assert!(error < 2e-7, "{x}: {error}");
        }
        assert_eq!(elu(2.5), 2.5);
        assert!((elu(-1.0) - (-1f32).exp_m1()).abs() < 1e-7);
    }

    #[test]
    fn powers_of_two_are_accurate() {
        struct Powers<'a>(&'a mut [f32]);
        impl WithSimd for Powers<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                for x in self.0 {
                    let mut powers = [simd.splat_f32s(*x)];
                    exp2_nonpositive_lanes(simd, &mut powers);
                    *x = pulp::bytemuck::cast_slice::<_, f32>(&powers)[0];
                }
            }
        }
        let exponents: Vec<f32> = (0..200_000).map(|step| -(step as f32) * 4.9e-4).collect();
        let mut powers = exponents.clone();
        Arch::new().dispatch(Powers(&mut powers));
        for (x, found) in exponents.iter().zip(&powers) {
            let exact = f64::from(*x).exp2();
            let error = (f64::from(*found) - exact).abs() / exact;
            assert!(error < 2.5e-7, "{x}: {error}");
        }
        let mut others = [f32::NEG_INFINITY, f32::NAN];
        Arch::new().dispatch(Powers(&mut others));
        assert!(others[0] < 1e-30 && others[1].is_nan(), "{others:?}");
    }
}
