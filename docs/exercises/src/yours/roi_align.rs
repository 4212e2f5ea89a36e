//! RoIAlign: the cells of a region, each the mean of samples that are read between a map's pixels. Read
//! `docs/book/17-boxes.md`.

use ndarray::{Array2, Array3};

/// Forward was `y[p, q, c] = Σ_ab v(rows[p, a], columns[q, b], c) / n²`, `0 ≤ a, b < n`.
///
/// `v(s, t, c)` is what the map has at `(s, t)`: a sample with `s < −1` or `s > H` reads 0, and likewise `t` and `W`; else `s` is
/// clamped to `0 … H − 1`, `t` to `0 … W − 1`, and the value is bilinear between the pixels around it, `x[i, j, c]` lying at
/// `(i, j)`.
///
/// `rows: [P, n]`, `columns: [P, n]`, `size = [H, W]`, `dy: [P, P, C]`. Returns `dx: [H, W, C]`.
pub fn backward(
    rows: &Array2<f64>,
    columns: &Array2<f64>,
    size: [usize; 2],
    dy: &Array3<f64>,
) -> Array3<f64> {
    // Yours.
    Array3::zeros((size[0], size[1], dy.dim().2))
}
