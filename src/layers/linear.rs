//! Linear: `y = x Wᵀ + b`, the layer that every other layer is made of.

use crate::base::Real;
use crate::exec::matrix::Matrix;
use crate::exec::{Exec, row_blocks};
use crate::params;
use ndarray::{Array1, Array2, ArrayView2};

params! {
    /// `y = x Wᵀ + b`, row by row.
    pub struct Linear {
        tensors {
            /// `W: [out, in]`, as checkpoints store it.
            weight: Matrix<F> = Weight,
            /// `b: [out]`.
            bias: Array1<F> = Bias,
        }
    }
}

/// What [`Linear::backward`] needs: the input.
#[must_use]
pub struct LinearCache<F> {
    x: Array2<F>,
}

impl<F: Real> LinearCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.x);
    }
}

impl<F: Real> Linear<F> {
    /// All zeros; [`super::init`] gives the initial values.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize) -> Self {
        Self { weight: Array2::zeros((d_out, d_in)).into(), bias: Array1::zeros(d_out) }
    }

    /// `y = x Wᵀ + b`; `x: [R, in] → y: [R, out]`.
    ///
    /// # Panics
    /// If `x` does not have `in` columns.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, LinearCache<F>) {
        let mut y = cx.take(x.nrows(), self.bias.len());
        let bias = self.bias.as_slice().expect("a vector is contiguous");
        cx.each(row_blocks::of_mut(&mut y), |y| {
            for row in y.chunks_exact_mut(bias.len()) {
                row.copy_from_slice(bias);
            }
        });
        cx.gemm(F::one(), x.view(), self.weight.t(), F::one(), y.view_mut());
        (y, LinearCache { x })
    }

    /// `dW += dyᵀ x`, `db += Σ_r dy_r`; returns `dx = dy W`.
    pub fn backward(
        &self,
        cache: LinearCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        self.backward_weights(cache, dy, grad, cx);
        // y = x Wᵀ  ⇒  dx = dy W
        cx.matmul(dy, self.weight.view())
    }

    /// As [`Linear::backward`] without `dx`, for a layer whose input is data.
    pub fn backward_weights(
        &self,
        cache: LinearCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) {
        // y = x Wᵀ  ⇒  dW = dyᵀ x
        cx.gemm(F::one(), dy.t(), cache.x.view(), F::one(), grad.weight.view_mut());
        // y = … + b  ⇒  db = Σ_r dy_r
        cx.add_column_sums(&dy, grad.bias.as_slice_mut().expect("a vector is contiguous"));
        cx.recycle(cache.x);
    }
}
