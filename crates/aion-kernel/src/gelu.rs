//! The Gaussian error linear unit `x Φ(x)`, Φ being the normal distribution's, and its derivative.
//!
//! Below zero `Φ(-t) = exp(-t²/2) · R(t)` with a smooth R, a polynomial in `u = 1 / (1 + p t)` here
//! (the form is Hastings', 1955; the coefficients are ours, by least squares with weights moved to
//! where the error is largest, and keep the error of `t Φ` below 1.2e-8). The exponential serves the
//! derivative too.

use pulp::Simd;

use crate::simd::{exp_nonpositive, exp_nonpositive_lanes};

/// `p`
const POLE: f32 = 0.28;
/// `R / u` in powers of `u`, the highest first.
const POWERS: [f32; 6] = [
    -1.063_285e-1,
    3.920_669e-1,
    -2.406_694e-1,
    2.719_724e-1,
    6.622_943e-2,
    1.167_291_5e-1,
];
/// `1 / √(2π)`
const DENSITY: f32 = 0.398_942_3;

/// `x Φ(x)`
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    gelu_and_slope(x)[0]
}

/// The derivative of [`gelu`].
#[inline(always)]
pub(crate) fn gelu_slope(x: f32) -> f32 {
    gelu_and_slope(x)[1]
}

#[inline(always)]
fn gelu_and_slope(x: f32) -> [f32; 2] {
    let u = 1.0 / (POLE * x.abs() + 1.0);
    let [first, rest @ ..] = POWERS;
    let ratio = rest.into_iter().fold(first, |sum, c| sum * u + c) * u;
    let density = exp_nonpositive(-0.5 * x * x);
    let tail = density * ratio;
    let below = if x > 0.0 { 1.0 - tail } else { tail };
    [x * below, below + x * DENSITY * density]
}

/// `x Φ(x)` to about 3e-9 of `max(1, |x|)`: one more power, in 64 bits.
#[inline(always)]
pub(crate) fn gelu_wide(x: f64) -> f64 {
    const POLE: f64 = 0.31;
    const POWERS: [f64; 7] = [
        0.043_816_542_884_777_814,
        -0.252_927_263_945_981_03,
        0.480_173_718_993_418_1,
        -0.247_783_642_751_336_94,
        0.261_952_447_571_825_4,
        0.087_398_305_207_402_47,
        0.127_369_889_681_833,
    ];
    let u = 1.0 / (POLE * x.abs() + 1.0);
    let [first, rest @ ..] = POWERS;
    let ratio = rest.into_iter().fold(first, |sum, c| sum * u + c) * u;
    let tail = (-0.5 * x * x).exp() * ratio;
    x * if x > 0.0 { 1.0 - tail } else { tail }
}

/// [`gelu`] and its derivative of each lane; what is not used costs nothing.
#[inline(always)]
pub(crate) fn gelu_lanes<S: Simd>(simd: S, x: S::f32s) -> [S::f32s; 2] {
    let constant = |value: f32| simd.splat_f32s(value);
    let (zero, one) = (constant(0.0), constant(1.0));
    let u = simd.mul_add_e_f32s(constant(POLE), simd.abs_f32s(x), one);
    let u = simd.div_f32s(one, u);
    let [first, rest @ ..] = POWERS;
    let mut ratio = constant(first);
    for power in rest {
        ratio = simd.mul_add_e_f32s(ratio, u, constant(power));
    }
    let half = simd.mul_f32s(x, constant(-0.5));
    let density = exp_nonpositive_lanes(simd, simd.mul_f32s(half, x));
    let tail = simd.mul_f32s(density, simd.mul_f32s(ratio, u));
    let positive = simd.greater_than_f32s(x, zero);
    let below = simd.select_f32s(positive, simd.sub_f32s(one, tail), tail);
    let slope = simd.mul_f32s(density, simd.mul_f32s(x, constant(DENSITY)));
    [simd.mul_f32s(x, below), simd.add_f32s(below, slope)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    /// Φ by the error function's power series, in 64 bits.
    fn normal(x: f64) -> f64 {
        let x = x / std::f64::consts::SQRT_2;
        let mut term = x;
        let mut sum = x;
        for n in 1..160 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        0.5 * (1.0 + sum * std::f64::consts::FRAC_2_SQRT_PI)
    }

    struct Lanes<'a>(&'a [f32]);

    impl WithSimd for Lanes<'_> {
        type Output = Vec<[f32; 2]>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let one = |x: &f32| gelu_lanes(simd, simd.splat_f32s(*x));
            let first = |lanes: S::f32s| pulp::bytemuck::cast_slice::<_, f32>(&[lanes])[0];
            self.0.iter().map(|x| one(x).map(first)).collect()
        }
    }

    #[test]
    fn values_and_slopes_are_accurate() {
        let values: Vec<f32> = (-5000..5000).map(|step| step as f32 * 1e-3).collect();
        let lanes = Arch::new().dispatch(Lanes(&values));
        for (x, lanes) in values.into_iter().zip(lanes) {
            let wide = f64::from(x);
            let (below, density) = (normal(wide), (-0.5 * wide * wide).exp());
            let error = (gelu_wide(wide) - wide * below).abs();
            assert!(error < 3e-9 * wide.abs().max(1.0), "{x}: {error}");
            let slope = below + wide * density * f64::from(DENSITY);
            for [value, found] in [[gelu(x), gelu_slope(x)], lanes] {
                let error = (f64::from(value) - wide * below).abs();
                assert!(error < 1e-7 * (1.0 + wide.abs()), "{x}: {error}");
                assert!((f64::from(found) - slope).abs() < 2e-7, "{x}: {found}");
            }
        }
        assert_eq!(gelu(20.0), 20.0);
        assert!(gelu(-20.0).abs() < 1e-30);
    }
}
