//! A 3 × 3 convolution with a bias: [`Conv3x3`], and the same number added to every pixel of a channel.

use super::conv3x3::{Conv3x3, Conv3x3Cache};
use crate::base::Real;
use crate::exec::kernel::Kernel;
use crate::exec::{Exec, row_blocks};
use crate::params;
use ndarray::{Array1, Array2, ArrayView2};

params! {
    /// `y[i, j] = (W ∗ x)[i, j] + b`.
    pub struct BiasedConv3x3 {
        first {
            /// `W ∗ x`; its weight stands beside the bias in a checkpoint.
            map: Conv3x3<F>,
        }
        tensors {
            /// `b: [out]`.
            bias: Array1<F> = Bias,
        }
    }
}

impl<F: Real> BiasedConv3x3<F> {
    /// All zeros.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize) -> Self {
        Self { map: Conv3x3::new(d_in, d_out), bias: Array1::zeros(d_out) }
    }

    /// `x: [B·H·W, in] → y: [B·H·W, out]`, `size = [H, W]`.
    pub fn forward(&self, x: Array2<F>, size: [usize; 2], cx: &mut Exec<F>) -> (Array2<F>, Conv3x3Cache<F>) {
        let (mut y, cache) = self.map.forward(x, size, cx);
        let bias = self.bias.as_slice().expect("a vector is contiguous");
        cx.rows(row_blocks::of_mut(&mut y), AddBias { bias });
        (y, cache)
    }

    /// As [`Conv3x3::backward`], and `db += Σ_ij dy[i, j]`.
    pub fn backward(
        &self,
        cache: Conv3x3Cache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.add_column_sums(&dy, grad.bias.as_slice_mut().expect("a vector is contiguous"));
        self.map.backward(cache, dy, &mut grad.map, cx)
    }
}

struct AddBias<'a, F> {
    bias: &'a [F],
}

impl<F: Real> Kernel<&mut [F]> for AddBias<'_, F> {
    #[inline(always)]
    fn run(&self, y: &mut [F]) {
        for row in y.chunks_exact_mut(self.bias.len()) {
            for (y, &b) in row.iter_mut().zip(self.bias) {
                *y += b;
            }
        }
    }
}
