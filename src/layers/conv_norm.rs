//! A convolution without bias and a layer norm over the channels of each pixel.

use super::conv3x3::{Conv3x3, Conv3x3Cache};
use super::layer_norm::{LayerNorm, LayerNormCache};
use super::linear_map::{LinearMap, LinearMapCache};
use super::pointwise::Pointwise;
use crate::base::Real;
use crate::exec::Exec;
use crate::params::{Params, Tensor, TensorMut};
use ndarray::{Array2, ArrayView2};

/// A convolution without bias, of stride 1, to maps of the same size.
pub trait Convolution<F: Real>: Params<F> {
    /// What [`Convolution::backward`] needs.
    type Cache;

    /// All zeros.
    fn new(d_in: usize, d_out: usize) -> Self;

    /// `x: [B·H·W, in] → y: [B·H·W, out]`, `size = [H, W]`.
    fn forward(&self, x: Array2<F>, size: [usize; 2], cx: &mut Exec<F>) -> (Array2<F>, Self::Cache);

    /// Adds the kernel's gradient; returns `dx`.
    fn backward(&self, cache: Self::Cache, dy: ArrayView2<F>, grad: &mut Self, cx: &mut Exec<F>)
    -> Array2<F>;

    /// Gives a cache's buffers back: there will be no backward pass.
    fn recycle(cache: Self::Cache, cx: &mut Exec<F>);
}

impl<F: Real> Convolution<F> for Conv3x3<F> {
    type Cache = Conv3x3Cache<F>;

    fn new(d_in: usize, d_out: usize) -> Self {
        Self::new(d_in, d_out)
    }

    fn forward(&self, x: Array2<F>, size: [usize; 2], cx: &mut Exec<F>) -> (Array2<F>, Self::Cache) {
        self.forward(x, size, cx)
    }

    fn backward(
        &self,
        cache: Self::Cache,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        self.backward(cache, dy, grad, cx)
    }

    fn recycle(cache: Self::Cache, cx: &mut Exec<F>) {
        cache.recycle(cx);
    }
}

impl<F: Real> Convolution<F> for Pointwise<LinearMap<F>> {
    type Cache = LinearMapCache<F>;

    fn new(d_in: usize, d_out: usize) -> Self {
        Self(LinearMap::new(d_in, d_out))
    }

    fn forward(&self, x: Array2<F>, _: [usize; 2], cx: &mut Exec<F>) -> (Array2<F>, Self::Cache) {
        self.0.forward(x, cx)
    }

    fn backward(
        &self,
        cache: Self::Cache,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        self.0.backward(cache, dy, &mut grad.0, cx)
    }

    fn recycle(cache: Self::Cache, cx: &mut Exec<F>) {
        cache.recycle(cx);
    }
}

/// `y = LN(conv(x))`.
#[derive(Clone, Debug)]
pub struct ConvNorm<F, C> {
    /// 1 × 1 or 3 × 3.
    pub conv: C,
    /// Over the channels of a pixel.
    pub norm: LayerNorm<F>,
}

/// What [`ConvNorm::backward`] needs.
#[must_use]
pub struct ConvNormCache<F, K> {
    conv: K,
    norm: LayerNormCache<F>,
}

impl<F: Real, C: Convolution<F>> ConvNorm<F, C> {
    /// All zeros.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize, eps: f64) -> Self {
        Self { conv: C::new(d_in, d_out), norm: LayerNorm::new(d_out, eps) }
    }

    /// `x: [B·H·W, in] → y: [B·H·W, out]`, `size = [H, W]`.
    pub fn forward(
        &self,
        x: Array2<F>,
        size: [usize; 2],
        cx: &mut Exec<F>,
    ) -> (Array2<F>, ConvNormCache<F, C::Cache>) {
        let (x, conv) = self.conv.forward(x, size, cx);
        let (y, norm) = self.norm.forward(x, cx);
        (y, ConvNormCache { conv, norm })
    }

    /// Adds the gradient of kernel and norm; returns `dx`.
    pub fn backward(
        &self,
        cache: ConvNormCache<F, C::Cache>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dmapped = self.norm.backward(cache.norm, dy, &mut grad.norm, cx);
        let dx = self.conv.backward(cache.conv, dmapped.view(), &mut grad.conv, cx);
        cx.recycle(dmapped);
        dx
    }

    /// Gives a cache's buffers back: there will be no backward pass.
    pub fn recycle(cache: ConvNormCache<F, C::Cache>, cx: &mut Exec<F>) {
        C::recycle(cache.conv, cx);
        cache.norm.recycle(cx);
    }
}

impl<F: Real, C: Convolution<F>> Params<F> for ConvNorm<F, C> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        self.conv.walk(&format!("{prefix}conv."), out);
        self.norm.walk(&format!("{prefix}norm."), out);
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        self.conv.walk_mut(&format!("{prefix}conv."), out);
        self.norm.walk_mut(&format!("{prefix}norm."), out);
    }
}
