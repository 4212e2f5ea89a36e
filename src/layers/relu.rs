//! ReLU: `y = max(x, 0)`, element by element.

use crate::base::Real;
use crate::exec::kernel::{Kernel, Multiply};
use crate::exec::{Exec, row_blocks};
use ndarray::{Array2, ArrayView2};

/// `y = max(x, 0)`; there is nothing to train.
#[derive(Clone, Copy, Debug)]
pub struct Relu;

/// What [`Relu::backward`] needs: the slope, 1 where `x > 0`, else 0.
#[must_use]
pub struct ReluCache<F> {
    slope: Array2<F>,
}

impl<F: Real> ReluCache<F> {
    /// Gives the buffer back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.slope);
    }
}

impl Relu {
    /// `x: [R, D] → y: [R, D]`.
    pub fn forward<F: Real>(self, mut x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, ReluCache<F>) {
        let mut y = cx.take(x.nrows(), x.ncols());
        cx.rows(row_blocks::of_mut(&mut x).zip(row_blocks::of_mut(&mut y)), Forward);
        (y, ReluCache { slope: x })
    }

    /// `dx = dy` where `x > 0`, else 0, at the kink, too.
    pub fn backward<F: Real>(
        self,
        cache: ReluCache<F>,
        dy: ArrayView2<F>,
        _grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let mut dx = cache.slope;
        cx.rows(row_blocks::of_mut(&mut dx).zip(row_blocks::of(&dy)), Multiply);
        dx
    }
}

/// `y`, and the slope over `x`.
struct Forward;

impl<F: Real> Kernel<(&mut [F], &mut [F])> for Forward {
    #[inline(always)]
    fn run(&self, (x, y): (&mut [F], &mut [F])) {
        for (x, y) in x.iter_mut().zip(y) {
            let positive = *x > F::zero();
            (*y, *x) = if positive { (*x, F::one()) } else { (F::zero(), F::zero()) };
        }
    }
}
