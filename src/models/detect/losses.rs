//! The losses of detection on chosen numbers: sums and their gradients. Denominators are the whole batch's, and in `scale`.

use crate::base::Real;

/// Binary cross-entropy of logits: `Σ −t ln σ(x) − (1 − t) ln(1 − σ(x)) = Σ max(x, 0) − x t + ln(1 + e^−|x|)`, which does not
/// overflow, and its gradient times `scale`: `scale (σ(x) − t)`.
///
/// # Panics
/// If there is not a target for each logit.
#[must_use]
pub fn bce<F: Real>(x: &[F], target: &[F], scale: F) -> (f64, Vec<F>) {
    summed(x, target, |x, t| {
        let e = (-x.abs()).exp();
        let above = if x < F::zero() { e } else { F::one() };
        let sigmoid = above / (F::one() + e);
        (x.max(F::zero()) - x * t + e.ln_1p(), scale * (sigmoid - t))
    })
}

/// `Σ |d|`, `d = x − t`, and below `beta` the parabola `d² / (2 beta)` that continues it (Girshick 2015, "Fast R-CNN"), moved so
/// that the two meet: `|d| − beta / 2`. With `beta` 0 it is L1. The gradient times `scale`: `scale · sign(d)`, `scale · d / beta`
/// below beta, 0 at `d = 0`.
///
/// # Panics
/// If there is not a target for each number.
#[must_use]
pub fn smooth_l1<F: Real>(x: &[F], target: &[F], beta: f64, scale: F) -> (f64, Vec<F>) {
    let (beta, half) = (F::of(beta), F::of(0.5));
    summed(x, target, |x, t| {
        let d = x - t;
        if d.abs() < beta {
            (half * d * d / beta, scale * d / beta)
        } else if d == F::zero() {
            (F::zero(), F::zero())
        } else {
            (d.abs() - half * beta, scale * d.signum())
        }
    })
}

/// The sum of losses, and their slopes.
fn summed<F: Real>(x: &[F], target: &[F], loss: impl Fn(F, F) -> (F, F)) -> (f64, Vec<F>) {
    assert_eq!(x.len(), target.len(), "a target for each number");
    let mut sum = 0.0;
    let slopes = x.iter().zip(target).map(|(&x, &t)| {
        let (loss, slope) = loss(x, t);
        sum += loss.f64();
        slope
    });
    let slopes = slopes.collect();
    (sum, slopes)
}
