//! Position embeddings for another grid: bicubic interpolation, so that a model can see larger images.

use crate::base::Real;
use ndarray::{Array2, ArrayView2, s};

/// `a` of the cubic kernel, as the reference framework has it (`a = -0.5` is common elsewhere).
const A: f64 = -0.75;

/// `[1 + h·w, D] → [1 + h'·w', D]`: the class token's row is copied, the grid's rows are interpolated between
/// the centres of cells (no alignment of corners, no antialiasing); beyond the border the last row or column
/// repeats. A grid of the same size comes back unchanged.
///
/// # Panics
/// If the table is not one of a class token and a grid of this size.
#[must_use]
pub fn interpolate<F: Real>(table: ArrayView2<F>, from: (usize, usize), to: (usize, usize)) -> Array2<F> {
    let width = table.ncols();
    assert_eq!(table.nrows(), 1 + from.0 * from.1, "a class token and a grid of {from:?}");
    if from == to {
        return table.to_owned();
    }
    let (rows, columns) = (taps(from.0, to.0), taps(from.1, to.1));
    let mut out = Array2::zeros((1 + to.0 * to.1, width));
    out.row_mut(0).assign(&table.row(0));
    let grid = table.slice(s![1.., ..]);
    for (place, mut features) in out.outer_iter_mut().skip(1).enumerate() {
        for &(row, weight_of_row) in &rows[place / to.1] {
            for &(column, weight) in &columns[place % to.1] {
                features.scaled_add(F::of(weight_of_row * weight), &grid.row(row * from.1 + column));
            }
        }
    }
    out
}

/// For each of `to` cells the four of `from` cells around its centre, and their weights, which sum to 1.
fn taps(from: usize, to: usize) -> Vec<[(usize, f64); 4]> {
    let scale = from as f64 / to as f64;
    let of = |cell: usize| {
        let centre = scale * (cell as f64 + 0.5) - 0.5;
        [-1.0, 0.0, 1.0, 2.0].map(|offset| {
            let at = centre.floor() + offset;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside the grid")]
            let index = at.clamp(0.0, (from - 1) as f64) as usize;
            (index, cubic((centre - at).abs()))
        })
    };
    (0..to).map(of).collect()
}

/// Keys' cubic convolution kernel at distance `x` (Keys 1981).
fn cubic(x: f64) -> f64 {
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cubic convolution reproduces exactly: constants, at every place.
    #[test]
    fn weights_sum_to_one() {
        for (from, to) in [(4, 6), (14, 24), (7, 3), (1, 5)] {
            for taps in taps(from, to) {
                let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
                assert!((sum - 1.0).abs() < 1e-15, "{from} to {to}: {taps:?}");
            }
        }
    }
}
