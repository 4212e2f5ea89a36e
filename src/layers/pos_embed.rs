//! Fixed sine–cosine position embeddings of a 2-D grid, exactly the reference's table.

use crate::base::Real;
use ndarray::{Array2, Array3, Axis};

/// The table of a class token and a grid as a model holds it, `[1, 1 + rows·columns, width]`: rounded to f32, as the
/// reference keeps it even where it computes in f64.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose")]
pub fn table<F: Real>(width: usize, rows: usize, columns: usize) -> Array3<F> {
    let positions = sincos(width, rows, columns, true);
    positions.mapv(|x| F::of(f64::from(x as f32))).insert_axis(Axis(0))
}

/// The table `[rows·columns, width]` of a grid, or `[1 + rows·columns, width]` with a first row of zeros
/// for the class token.
///
/// The first half of the features encodes the column, the second half the row ("w first", as the
/// reference's `meshgrid` has it). Each half is `[sin(p ω_i)…, cos(p ω_i)…]` with
/// `ω_i = 10000^(−i / (width/4))`, computed in f64.
///
/// # Panics
/// If four does not divide the width.
#[must_use]
pub fn sincos(width: usize, rows: usize, columns: usize, class_token: bool) -> Array2<f64> {
    assert!(width.is_multiple_of(4), "a 2-D sine-cosine table needs a width divisible by 4, not {width}");
    let quarter = width / 4;
    let first = usize::from(class_token);
    let mut table = Array2::zeros((first + rows * columns, width));
    for row in 0..rows {
        for column in 0..columns {
            let mut features = table.row_mut(first + row * columns + column);
            for (half, position) in [column as f64, row as f64].into_iter().enumerate() {
                for i in 0..quarter {
                    let omega = 1.0 / 10_000f64.powf(i as f64 / quarter as f64);
                    let angle = position * omega;
                    features[2 * half * quarter + i] = angle.sin();
                    features[(2 * half + 1) * quarter + i] = angle.cos();
                }
            }
        }
    }
    table
}
