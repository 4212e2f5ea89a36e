//! InfoNCE, `2 T · mean_i −ln P_ii`: which of the batch's keys belongs to a query? Read
//! `docs/book/14-contrastive.md`.

use ndarray::{Array1, Array2};

/// Forward was `q̂ = q / ‖q‖` by row, `S = q̂ k̂ᵀ / T`, `P = softmax(S)` by row.
///
/// `query: [B, d]` is `q̂`, `norms: [B]` are the `‖q‖`, `key: [B, d]` is `k̂`, `p: [B, B]`. Returns `dq: [B, d]`, the
/// gradient of the loss with respect to the queries before they got length 1. Keys are constants.
pub fn backward(
    query: &Array2<f64>,
    norms: &Array1<f64>,
    key: &Array2<f64>,
    p: &Array2<f64>,
    temperature: f64,
) -> Array2<f64> {
    // Yours: dS, then dq̂, then dq.
    Array2::zeros(query.dim())
}
