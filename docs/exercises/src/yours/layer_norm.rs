//! Layer norm, `y = γ ⊙ x̂ + β` with `x̂ = (x − μ) / √(σ² + ε)`. Read `docs/book/03-layer-norm.md`.

use ndarray::{Array1, Array2};
use vit_mae::layers::LayerNorm;

/// `x_hat: [R, D]` and `inv_std = 1 / √(σ² + ε): [R]` are kept from forward; `dy: [R, D]`. Adds `dγ` to
/// `grad.weight` and `dβ` to `grad.bias`; returns `dx: [R, D]`.
///
/// In ndarray: `&a * &b` multiplies elements, `a.mean_axis(Axis(1))` is the mean of each row, and
/// `v.insert_axis(Axis(1))` makes a vector `[R]` a column `[R, 1]` that fits beside a matrix `[R, D]`.
pub fn backward(
    layer: &LayerNorm<f64>,
    x_hat: &Array2<f64>,
    inv_std: &Array1<f64>,
    dy: &Array2<f64>,
    grad: &mut LayerNorm<f64>,
) -> Array2<f64> {
    // Yours: dγ, dβ, then dx with its two means.
    Array2::zeros(x_hat.dim())
}
