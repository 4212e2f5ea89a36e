//! Gather: some rows of a matrix, `y_m = x_row(m)`, and the way back of their gradient.

use crate::base::Real;
use crate::exec::Exec;
use ndarray::Array2;

/// `x: [N, D] → y: [M, D]`, `y_m = x_row(m)`; without `rows` it is `x` itself.
pub fn gather<F: Real>(x: Array2<F>, rows: Option<&[usize]>, cx: &mut Exec<F>) -> Array2<F> {
    let Some(rows) = rows else { return x };
    let mut y = cx.take(rows.len(), x.ncols());
    for (mut y, &row) in y.outer_iter_mut().zip(rows) {
        y.assign(&x.row(row));
    }
    cx.recycle(x);
    y
}

/// The adjoint: `dx_row(m) = dy_m` in `dx: [N, D]`, `N = count`, and 0 in rows that nobody took.
pub fn scatter<F: Real>(dy: Array2<F>, rows: Option<&[usize]>, count: usize, cx: &mut Exec<F>) -> Array2<F> {
    let Some(rows) = rows else { return dy };
    let mut dx = cx.zeros(count, dy.ncols());
    for (dy, &row) in dy.outer_iter().zip(rows) {
        dx.row_mut(row).assign(&dy);
    }
    cx.recycle(dy);
    dx
}
