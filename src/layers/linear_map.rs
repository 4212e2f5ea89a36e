//! A linear map: `y = x Wᵀ`, [`super::Linear`] without its bias.

use crate::base::Real;
use crate::exec::Exec;
use crate::exec::matrix::Matrix;
use crate::params;
use ndarray::{Array2, ArrayView2};

params! {
    /// `y = x Wᵀ`, row by row: in front of a batch norm, which would take a bias out again.
    pub struct LinearMap {
        tensors {
            /// `W: [out, in]`, as checkpoints store it.
            weight: Matrix<F> = Weight,
        }
    }
}

/// What [`LinearMap::backward`] needs: the input.
#[must_use]
pub struct LinearMapCache<F> {
    x: Array2<F>,
}

impl<F: Real> LinearMapCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.x);
    }
}

impl<F: Real> LinearMap<F> {
    /// All zeros; [`super::init`] gives the initial values.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize) -> Self {
        Self { weight: Array2::zeros((d_out, d_in)).into() }
    }

    /// `x: [R, in] → y: [R, out]`.
    ///
    /// # Panics
    /// If `x` does not have `in` columns.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, LinearMapCache<F>) {
        (cx.matmul(x.view(), self.weight.t()), LinearMapCache { x })
    }

    /// `dW += dyᵀ x`; returns `dx = dy W`.
    pub fn backward(
        &self,
        cache: LinearMapCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.gemm(F::one(), dy.t(), cache.x.view(), F::one(), grad.weight.view_mut());
        cx.recycle(cache.x);
        cx.matmul(dy, self.weight.view())
    }
}
