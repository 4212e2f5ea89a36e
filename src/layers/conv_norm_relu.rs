//! A convolution without bias, a layer norm over the channels of each pixel, ReLU: what the heads on maps are made of.

use super::conv_norm::{ConvNorm, ConvNormCache, Convolution};
use super::relu::{Relu, ReluCache};
use crate::base::Real;
use crate::exec::Exec;
use crate::params::{Params, Tensor, TensorMut};
use ndarray::{Array2, ArrayView2};

/// `y = ReLU(LN(conv(x)))`.
#[derive(Clone, Debug)]
pub struct ConvNormRelu<F, C>(pub ConvNorm<F, C>);

/// What [`ConvNormRelu::backward`] needs.
#[must_use]
pub struct ConvNormReluCache<F, K> {
    normed: ConvNormCache<F, K>,
    relu: ReluCache<F>,
}

impl<F: Real, C: Convolution<F>> ConvNormRelu<F, C> {
    /// All zeros.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize, eps: f64) -> Self {
        Self(ConvNorm::new(d_in, d_out, eps))
    }

    /// `x: [B·H·W, in] → y: [B·H·W, out]`, `size = [H, W]`.
    pub fn forward(
        &self,
        x: Array2<F>,
        size: [usize; 2],
        cx: &mut Exec<F>,
    ) -> (Array2<F>, ConvNormReluCache<F, C::Cache>) {
        let (x, normed) = self.0.forward(x, size, cx);
        cx.trace("norm", &x);
        let (y, relu) = Relu.forward(x, cx);
        (y, ConvNormReluCache { normed, relu })
    }

    /// Adds the gradient of kernel and norm; returns `dx`.
    pub fn backward(
        &self,
        cache: ConvNormReluCache<F, C::Cache>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dnormed = Relu.backward(cache.relu, dy, &mut Relu, cx);
        let dx = self.0.backward(cache.normed, dnormed.view(), &mut grad.0, cx);
        cx.recycle(dnormed);
        dx
    }

    /// Gives a cache's buffers back: there will be no backward pass.
    pub fn recycle(cache: ConvNormReluCache<F, C::Cache>, cx: &mut Exec<F>) {
        ConvNorm::<_, C>::recycle(cache.normed, cx);
        cache.relu.recycle(cx);
    }
}

impl<F: Real, C: Convolution<F>> Params<F> for ConvNormRelu<F, C> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        self.0.walk(prefix, out);
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        self.0.walk_mut(prefix, out);
    }
}
