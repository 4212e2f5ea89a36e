//! Elementary functions of the row kernels: branch-free in f32, so that the compiler vectorises them.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `eˣ` in f32, relative error below 3e-7 for normal results, 0 below −87.3, capped above 88.3.
///
/// `eˣ = 2ⁿ · eʳ` with `n = round(x / ln 2)` and `|r| ≤ ln 2 / 2`; `ln 2` is subtracted in two parts so
/// that `r` keeps its digits. `eʳ` is a minimax polynomial, `2ⁿ` is written into the exponent bits.
#[inline(always)]
#[must_use]
pub fn exp_f32(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves the nearest integer in the low bits
    let y = x.clamp(-87.3, 88.3);
    let shifted = y * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (y - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut p = 0.001_381_459_9;
    for c in [0.008_368_711, 0.041_668_39, 0.166_665_21, 0.499_999_93, 1.0, 1.0] {
        p = p * r + c;
    }
    // `shifted`'s bits are those of ROUND plus n: no conversion to an integer is needed.
    let two_to_n = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits() - 127) << 23);
    if x < -87.3 { 0.0 } else { p * two_to_n }
}

/// `(Φ(x), φ(x))` in f32 from a single exponential, `|error| < 2e-7` and relative error of `Φ` below
/// 6e-6 in the left tail, down to −12.
///
/// With `z = |x| / √2`, `Φ(−|x|) = ½ erfc(z)` and `erfc(z) = e^(−z²) · t · P(t)`, `t = 1 / (1 + 0.42 z)`,
/// `P` a minimax polynomial of degree 7. `e^(−z²) = e^(−x²/2)` is the density up to its constant.
#[inline(always)]
#[must_use]
pub fn normal_f32(x: f32) -> (f32, f32) {
    const INV_SQRT_2PI: f32 = 0.398_942_3;
    let density = exp_f32(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.42 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let mut p = 0.070_215_22;
    for c in
        [-0.320_189_7, 0.440_556_57, -0.130_418_12, 0.268_684_5, 0.194_744_06, 0.239_582_88, 0.236_824_43]
    {
        p = p * t + c;
    }
    let tail = 0.5 * t * p * density;
    (if x < 0.0 { tail } else { 1.0 - tail }, INV_SQRT_2PI * density)
}

/// `(Φ(x), φ(x))` to f64 rounding: `Φ(x) = ½ erfc(−x / √2)`.
#[must_use]
pub fn normal_f64(x: f64) -> (f64, f64) {
    let cdf = 0.5 * libm::erfc(-x * FRAC_1_SQRT_2);
    (cdf, (-0.5 * x * x).exp() / (2.0 * PI).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_f32_agrees_with_f64() {
        for i in -8_700..=8_800 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            let relative = (f64::from(exp_f32(x)) - exact).abs() / exact;
            assert!(relative < 3e-7, "exp({x}) is off by {relative:e}");
        }
        assert_eq!(exp_f32(-1000.0), 0.0);
        assert_eq!(exp_f32(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp_f32(0.0), 1.0);
        assert!(exp_f32(f32::NAN).is_nan());
    }

    #[test]
    fn normal_f32_agrees_with_f64() {
        for i in -12_000..=12_000 {
            let x = i as f32 / 1000.0;
            let (cdf, density) = normal_f32(x);
            let (cdf64, density64) = normal_f64(f64::from(x));
            assert!((f64::from(cdf) - cdf64).abs() < 2e-7, "Φ({x})");
            assert!((f64::from(density) - density64).abs() < 2e-7, "φ({x})");
            if x < 0.0 {
                let relative = (f64::from(cdf) / cdf64 - 1.0).abs();
                assert!(relative < 6e-6, "Φ({x}) is off by {relative:e}");
            }
        }
    }
}
