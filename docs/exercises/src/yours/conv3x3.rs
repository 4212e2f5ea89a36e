//! A 3 × 3 convolution with a border of zeros. Read `docs/book/16-maps.md`.

use ndarray::Array3;
use vit_mae::layers::Conv3x3;

/// Forward was `y[i, j, o] = Σ_c Σ_ab weight[o, c, a, b] · x[i + a − 1, j + b − 1, c]`, `0 ≤ a, b < 3`, `x = 0` outside of
/// the map.
///
/// `x: [H, W, in]`, `dy: [H, W, out]`. Adds `dW: [out, in, 3, 3]` to `grad.weight`; returns `dx: [H, W, in]`. An element of
/// the weight is `layer.weight[(o, c, a, b)]`, one of a map `x[(i, j, c)]`.
pub fn backward(
    layer: &Conv3x3<f64>,
    x: &Array3<f64>,
    dy: &Array3<f64>,
    grad: &mut Conv3x3<f64>,
) -> Array3<f64> {
    // Yours.
    Array3::zeros(x.dim())
}
