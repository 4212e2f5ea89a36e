//! Keeping the visible patches behind a class token. Read `docs/book/09-masking.md`.

use ndarray::{Array1, Array2};
use vit_mae::mae::Mask;

/// Forward was, for each image `b`: `x[b, 0] = cls_token` and `x[b, 1 + i] = z[b, ids_keep[i]]`.
///
/// `dx: [B·(1 + K), D]`. Adds to `dcls_token: [D]`; returns `dz: [B·L, D]`. A mask has `ids_keep()`, `ids_restore`,
/// `len_keep` (that is `K`) and `ids_shuffle` (whose length is `L`), the same `K` and `L` in all images.
pub fn backward(dx: &Array2<f64>, masks: &[Mask], dcls_token: &mut Array1<f64>) -> Array2<f64> {
    // Yours.
    Array2::zeros((masks.len() * masks[0].ids_shuffle.len(), dx.ncols()))
}
