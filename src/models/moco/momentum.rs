//! The momentum encoder's weights: a moving average of the online ones, slower and slower.

use crate::base::Real;
use crate::params::{Params, Role};
use std::f64::consts::PI;

/// `m(t) = 1 − (1 − m₀) (cos(π t / total) + 1) / 2`: from `m₀` to 1 along half a cosine. `t` and `total` count in any one
/// unit; the original's is the epoch, with its fraction.
#[must_use]
pub fn coefficient(m0: f64, t: f64, total: f64) -> f64 {
    1.0 - (1.0 - m0) * ((PI * t / total).cos() + 1.0) / 2.0
}

/// `average ← m · average + (1 − m) · online` over all weights, those that are not trained included; buffers stay.
///
/// Computed as `average += (1 − m) (online − average)`, so what is equal stays equal to the bit. `1 − m` is taken in double
/// precision: near the end of training f32 would round `m` to 1.
pub fn average<F: Real, P: Params<F>>(average: &mut P, online: &P, m: f64) {
    let take = F::of(1.0 - m);
    for (average, online) in average.tensors_mut().into_iter().zip(online.tensors()) {
        if average.role != Role::Buffer {
            average.data.write().iter_mut().zip(online.data).for_each(|(a, &w)| *a += take * (w - *a));
        }
    }
}
