//! One head of attention, `P = softmax(Q Kᵀ / √d_h)`, `o = P V`. Read `docs/book/04-attention.md`.
//!
//! Builds on `softmax`: call `super::softmax::backward`.

use ndarray::Array2;

/// `q`, `k`, `v` and `dout`: `[N, d_h]`; `p: [N, N]`. Returns `[dq, dk, dv]`.
pub fn backward(
    q: &Array2<f64>,
    k: &Array2<f64>,
    v: &Array2<f64>,
    p: &Array2<f64>,
    dout: &Array2<f64>,
) -> [Array2<f64>; 3] {
    // Yours: dv and dp, then ds, then dq and dk.
    [Array2::zeros(q.dim()), Array2::zeros(k.dim()), Array2::zeros(v.dim())]
}
