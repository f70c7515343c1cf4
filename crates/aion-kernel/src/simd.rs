//! Plain loops, compiled for the widest vectors that the machine has, chosen when they run.

use pulp::Simd;

/// Runs `work` compiled for AVX-512, AVX2 with FMA, or the baseline.
///
/// `work` must be a closure whose loops are inlined into it; nothing else is gained.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        fn avx512<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        match level() {
            // SAFETY: the machine has the features that the function is compiled for.
            Level::Avx512 => return unsafe { avx512(work) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(work) },
            Level::Baseline => {}
        }
    }
    work()
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

/// `exp(x)` for x ≤ 0 to about 1e-7 of its value, in arithmetic that vectorises.
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f32) -> f32 {
    // Adding it leaves the nearest integer in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_3e-1;
    let value = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    value * scale
}

/// [`exp_nonpositive`] of each lane.
#[inline(always)]
pub(crate) fn exp_nonpositive_lanes<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let constant = |value: f32| simd.splat_f32s(value);
    const ROUND: f32 = 12_582_912.0;
    let x = simd.max_f32s(x, constant(-87.0));
    let shifted = simd.mul_add_e_f32s(x, constant(std::f32::consts::LOG2_E), constant(ROUND));
    let whole = simd.sub_f32s(shifted, constant(ROUND));
    let r = simd.mul_add_e_f32s(whole, constant(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(whole, constant(2.121_944_4e-4), r);
    let coefficients = [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5.000_000_3e-1,
    ];
    let p = coefficients
        .into_iter()
        .fold(constant(1.987_569_1e-4), |p, c| {
            simd.mul_add_e_f32s(p, r, constant(c))
        });
    let p = simd.mul_add_e_f32s(simd.mul_f32s(p, r), r, r);
    let value = simd.add_f32s(p, constant(1.0));
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let exponent = simd.add_u32s(exponent, simd.splat_u32s(0x3f80_0000));
    simd.mul_f32s(value, simd.transmute_f32s_u32s(exponent))
}

/// `x` above zero, `exp(x) - 1` below.
#[inline(always)]
pub(crate) fn elu(x: f32) -> f32 {
    let below = exp_nonpositive(x.min(0.0)) - 1.0;
    if x > 0.0 { x } else { below }
}

/// The error function to about 1e-7: a polynomial near zero, one minus an exponential beyond.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let (t, s) = (x.abs(), x * x);
    let near = -5.967_617e-4;
    let near = near * s + 4.991_194_2e-3;
    let near = near * s - 2.676_813_5e-2;
    let near = near * s + 1.128_199_3e-1;
    let near = near * s - 3.761_253_4e-1;
    let near = near * s + 1.283_791_7e-1;
    let near = near * x + x;
    let far = -1.728_534_7e-5 * t + 3.831_971_3e-4;
    let far = far * s + (-3.883_964_4e-3 * t + 2.425_462_2e-2);
    let far = far * t - 1.067_778_8e-1;
    let far = far * t - 6.348_467e-1;
    let far = far * t - 1.287_175_1e-1;
    let far = 1.0 - exp_nonpositive(far * t - t);
    if t > 0.927_734_4 {
        far.copysign(x)
    } else {
        near
    }
}

/// `x Φ(x)`, Φ being the normal distribution's.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
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
    fn gelu_is_accurate() {
        // The error function by its power series, in 64 bits.
        let exact = |x: f64| {
            let mut term = x;
            let mut sum = x;
            for n in 1..120 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        };
        for step in -4000..4000 {
            let x = step as f32 * 1e-3;
            let expected = 0.5 * f64::from(x) * (1.0 + exact(f64::from(x) / 2f64.sqrt()));
            assert!((f64::from(gelu(x)) - expected).abs() < 4e-7, "{x}");
        }
        assert_eq!(gelu(20.0), 20.0);
        assert!(gelu(-20.0).abs() < 1e-5);
    }
}
