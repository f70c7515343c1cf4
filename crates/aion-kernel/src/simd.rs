//! Plain loops, compiled for the widest vectors that the machine has, chosen when they run.

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
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        if has_avx2 && has_avx512 {
            // SAFETY: the machine has the features that the function is compiled for.
            return unsafe { avx512(work) };
        }
        if has_avx2 {
            // SAFETY: as above.
            return unsafe { avx2(work) };
        }
    }
    work()
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

/// `x` above zero, `exp(x) - 1` below.
#[inline(always)]
pub(crate) fn elu(x: f32) -> f32 {
    let below = exp_nonpositive(x.min(0.0)) - 1.0;
    if x > 0.0 { x } else { below }
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
}
