//! The number type: `f32` trains, `f64` audits, and the same layer code runs in both.

use super::lanes::Lanes;
use ndarray::NdFloat;
use std::iter::Sum;

/// `f32` or `f64`.
pub trait Real: NdFloat + Lanes + Sum + Default + 'static {
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest value to `x`.
    fn of(x: f64) -> Self;

    /// This value in double precision, exactly.
    fn f64(self) -> f64;

    /// `eˣ` for row kernels: the library's in f64, a branch-free polynomial that vectorises in f32
    /// ([`super::math::exp_f32`]).
    #[must_use]
    fn exp_row(self) -> Self;

    /// Distribution function and density of the standard normal distribution, `(Φ(x), φ(x))`, which GELU and its
    /// derivative are made of. Exact to rounding in f64, [`super::math::normal_f32`] in f32.
    #[must_use]
    fn normal(self) -> (Self, Self);
}

impl Real for f64 {
    const NAME: &'static str = "f64";

    fn of(x: f64) -> Self {
        x
    }

    fn f64(self) -> f64 {
        self
    }

    fn exp_row(self) -> Self {
        self.exp()
    }

    fn normal(self) -> (Self, Self) {
        super::math::normal_f64(self)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose")]
impl Real for f32 {
    const NAME: &'static str = "f32";

    #[inline(always)]
    fn of(x: f64) -> Self {
        x as Self
    }

    #[inline(always)]
    fn f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn exp_row(self) -> Self {
        super::math::exp_f32(self)
    }

    #[inline(always)]
    fn normal(self) -> (Self, Self) {
        super::math::normal_f32(self)
    }
}
