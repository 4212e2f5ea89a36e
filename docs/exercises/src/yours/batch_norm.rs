//! Batch norm, `y = γ ⊙ x̂ + β` with `x̂ = (x − μ) / √(σ² + ε)`, `μ` and `σ²` of each column. Read
//! `docs/book/14-contrastive.md`.

use ndarray::{Array1, Array2};
use vit_mae::layers::AffineBatchNorm;

/// `x: [B, D]`, the whole batch. Returns `y: [B, D]` and what backward needs: `x_hat: [B, D]` and
/// `inv_std = 1 / √(σ² + ε): [D]`.
///
/// `γ` is `layer.weight`, `β` is `layer.bias`, `ε` is `layer.norm.eps`. In ndarray `a.sum_axis(Axis(0))` sums each
/// column, and a vector `[D]` beside a matrix `[B, D]` is used for every row.
pub fn forward(layer: &AffineBatchNorm<f64>, x: &Array2<f64>) -> (Array2<f64>, Array2<f64>, Array1<f64>) {
    // Yours.
    (Array2::zeros(x.dim()), Array2::zeros(x.dim()), Array1::zeros(x.ncols()))
}

/// `dy: [B, D]`; `x_hat` and `inv_std` are right, whatever your forward returns. Adds `dγ` to `grad.weight` and `dβ`
/// to `grad.bias`; returns `dx: [B, D]`.
pub fn backward(
    layer: &AffineBatchNorm<f64>,
    x_hat: &Array2<f64>,
    inv_std: &Array1<f64>,
    dy: &Array2<f64>,
    grad: &mut AffineBatchNorm<f64>,
) -> Array2<f64> {
    // Yours.
    Array2::zeros(x_hat.dim())
}
