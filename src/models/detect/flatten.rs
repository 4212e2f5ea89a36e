//! Between the map of a region and one vector of all its numbers, in the order that a linear layer expects.

use crate::base::Real;
use crate::exec::Exec;
use crate::exec::kernel::Kernel;
use ndarray::{Array2, ArrayView2};

/// `x: [R·P, C] → y: [R, C·P]`, regions of `P = pixels`: channel by channel, as maps in PyTorch lie in memory.
///
/// # Panics
/// If the rows are not whole regions.
pub fn flatten<F: Real>(x: ArrayView2<F>, pixels: usize, cx: &mut Exec<F>) -> Array2<F> {
    let (rows, channels) = x.dim();
    assert!(rows.is_multiple_of(pixels), "{rows} rows are not whole regions of {pixels}");
    let mut y = cx.take(rows / pixels, pixels * channels);
    let flat = y.as_slice_mut().expect("in standard layout");
    transpose(x, flat, pixels * channels, channels, cx);
    y
}

/// The adjoint, and the inverse: `dx: [R·P, C]`.
pub fn flatten_backward<F: Real>(dy: ArrayView2<F>, pixels: usize, cx: &mut Exec<F>) -> Array2<F> {
    let (regions, numbers) = dy.dim();
    let mut dx = cx.take(regions * pixels, numbers / pixels);
    let maps = dx.as_slice_mut().expect("in standard layout");
    transpose(dy, maps, numbers, pixels, cx);
    dx
}

/// Of every region's `numbers`, a matrix of so many columns, the transpose.
fn transpose<F: Real>(x: ArrayView2<F>, y: &mut [F], numbers: usize, columns: usize, cx: &Exec<F>) {
    let x = x.as_slice().expect("activations are row-major").chunks_exact(numbers);
    cx.rows(y.chunks_exact_mut(numbers).zip(x), Transpose { columns });
}

struct Transpose {
    columns: usize,
}

impl<F: Real> Kernel<(&mut [F], &[F])> for Transpose {
    #[inline(always)]
    fn run(&self, (y, x): (&mut [F], &[F])) {
        let rows = x.len() / self.columns;
        for (column, y) in y.chunks_exact_mut(rows).enumerate() {
            for (y, x) in y.iter_mut().zip(x[column..].iter().step_by(self.columns)) {
                *y = *x;
            }
        }
    }
}
