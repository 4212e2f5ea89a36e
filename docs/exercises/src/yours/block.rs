//! Block, `mid = x + Attn(LN₁(x))`, `y = mid + MLP(LN₂(mid))`. Read `docs/book/06-block.md`.

use ndarray::Array2;

/// The backward passes of the branches are given: `mlp(d)` is `LN₂ᵀ(MLPᵀ(d))` and `attention(d)` is
/// `LN₁ᵀ(Attnᵀ(d))`. Each may be called once, as it uses up its cache. Returns `dx`.
pub fn backward(
    dy: &Array2<f64>,
    mlp: &mut dyn FnMut(&Array2<f64>) -> Array2<f64>,
    attention: &mut dyn FnMut(&Array2<f64>) -> Array2<f64>,
) -> Array2<f64> {
    // Yours: dmid, then dx.
    Array2::zeros(dy.dim())
}
