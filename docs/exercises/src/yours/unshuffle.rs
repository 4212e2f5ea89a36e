//! Unshuffle: every place gets its token back, or the mask token. Read `docs/book/09-masking.md`.

use ndarray::{Array1, Array2};
use vit_mae::mae::Mask;

/// Forward was, for each image `b`: `x[b, 0] = y[b, 0]`, and `x[b, 1 + l]` is `y[b, 1 + ids_restore[l]]` where patch
/// `l` was kept (`ids_restore[l] < len_keep`), else `mask_token`.
///
/// `dx: [B·(1 + L), E]`. Adds to `dmask_token: [E]`; returns `dy: [B·(1 + K), E]`.
pub fn backward(dx: &Array2<f64>, masks: &[Mask], dmask_token: &mut Array1<f64>) -> Array2<f64> {
    // Yours.
    Array2::zeros((masks.len() * (1 + masks[0].len_keep), dx.ncols()))
}
