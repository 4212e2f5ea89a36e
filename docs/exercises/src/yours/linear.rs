//! Linear, `y = x Wᵀ + b`. Read `docs/book/02-linear.md`.

use ndarray::Array2;
use vit_mae::layers::Linear;

/// `x: [R, in]`, `dy: [R, out]`. Adds `dW` to `grad.weight` and `db` to `grad.bias`; returns `dx: [R, in]`.
///
/// A layer's weight is a `Matrix`, of which `*layer.weight` is the array. In ndarray: `a.dot(&b)` is a product, `a.t()` a transpose, `a.sum_axis(Axis(0))` the sum of all rows.
pub fn backward(
    layer: &Linear<f64>,
    x: &Array2<f64>,
    dy: &Array2<f64>,
    grad: &mut Linear<f64>,
) -> Array2<f64> {
    // Yours: dW, db, dx.
    Array2::zeros(x.dim())
}
