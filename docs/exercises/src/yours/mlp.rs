//! MLP, `h = x W₁ᵀ + b₁`, `a = GELU(h)`, `y = a W₂ᵀ + b₂`. Read `docs/book/05-mlp.md`.
//!
//! Builds on `linear`: call `super::linear::backward` for each of the two.

use ndarray::Array2;
use vit_mae::layers::Mlp;

/// `x: [R, D]`, `h` and `a`: `[R, hidden]`, `dy: [R, D]`. Adds to all four tensors of `grad`; returns `dx: [R, D]`.
///
/// `vit_mae::Real` gives `(Φ(h), φ(h))` as `h.normal()`.
pub fn backward(
    layer: &Mlp<f64>,
    x: &Array2<f64>,
    h: &Array2<f64>,
    a: &Array2<f64>,
    dy: &Array2<f64>,
    grad: &mut Mlp<f64>,
) -> Array2<f64> {
    // Yours: through fc2, through GELU, through fc1.
    Array2::zeros(x.dim())
}
