//! One level: the map of patches, brought from a patch's side `p` to a stride.

use crate::base::Real;
use crate::exec::kernel::Multiply;
use crate::exec::{Exec, row_blocks};
use crate::layers::conv_transpose2x2::ConvTranspose2x2Cache;
use crate::layers::layer_norm::LayerNormCache;
use crate::layers::max_pool::MaxPoolCache;
use crate::layers::mlp::gelu;
use crate::layers::{ConvTranspose2x2, LayerNorm, MaxPool};
use crate::params::{Params, Tensor, TensorMut};
use ndarray::Array2;

/// What brings the map from `p` to the stride.
#[derive(Clone, Debug)]
pub enum Adapter<F> {
    /// `p / stride = 4`: doubled, normalised over the channels, GELU, doubled.
    Quadruple(Box<Quadruple<F>>),
    /// `p / stride = 2`: doubled.
    Double(ConvTranspose2x2<F>),
    /// `p = stride`: nothing.
    Same,
    /// `stride / p` = 2, 4, 8: the largest of as many pixels in a row and in a column.
    Pool(MaxPool),
}

/// `up2(GELU(LN(up1(x))))`.
#[derive(Clone, Debug)]
pub struct Quadruple<F> {
    /// `D → D`.
    pub up1: ConvTranspose2x2<F>,
    /// Over the channels of each pixel.
    pub norm: LayerNorm<F>,
    /// `D → D`.
    pub up2: ConvTranspose2x2<F>,
}

/// What [`Adapter::backward`] needs.
#[must_use]
pub enum AdapterCache<F> {
    /// Of the layers.
    Quadruple(Box<QuadrupleCache<F>>),
    /// Of the doubling.
    Double(ConvTranspose2x2Cache<F>),
    /// Nothing.
    Same,
    /// Which pixels were the largest.
    Pool(MaxPoolCache<F>),
}

/// Of both doublings, the norm, and GELU's slope.
pub struct QuadrupleCache<F> {
    up1: ConvTranspose2x2Cache<F>,
    norm: LayerNormCache<F>,
    slope: Array2<F>,
    up2: ConvTranspose2x2Cache<F>,
}

impl<F: Real> AdapterCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        match self {
            Self::Quadruple(cache) => {
                let QuadrupleCache { up1, norm, slope, up2 } = *cache;
                up1.recycle(cx);
                norm.recycle(cx);
                cx.recycle(slope);
                up2.recycle(cx);
            }
            Self::Double(up1) => up1.recycle(cx),
            Self::Same => {}
            Self::Pool(pool) => pool.recycle(cx),
        }
    }
}

impl<F: Real> Adapter<F> {
    /// All zeros.
    ///
    /// # Panics
    /// If the stride is not reached: [`super::levels::validate`] says so in words.
    #[must_use]
    pub fn new(patch_size: usize, stride: usize, width: usize, eps: f64) -> Self {
        let up = || ConvTranspose2x2::new(width, width);
        match (patch_size / stride, stride / patch_size) {
            (4, _) => Self::Quadruple(Box::new(Quadruple {
                up1: up(),
                norm: LayerNorm::new(width, eps),
                up2: up(),
            })),
            (2, _) => Self::Double(up()),
            (1, _) => Self::Same,
            (_, window @ (2 | 4 | 8)) => Self::Pool(MaxPool { window }),
            _ => panic!("no adapter from patches of {patch_size} to stride {stride}"),
        }
    }

    /// `x: [B·H·W, D]`, `size = [H, W]`, to the map of this stride.
    pub fn forward(&self, x: Array2<F>, size: [usize; 2], cx: &mut Exec<F>) -> (Array2<F>, AdapterCache<F>) {
        match self {
            Self::Quadruple(layers) => {
                let (x, up1) = layers.up1.forward(x, size, cx);
                let (x, norm) = layers.norm.forward(x, cx);
                let (x, slope) = gelu(x, cx);
                let (y, up2) = layers.up2.forward(x, size.map(|n| 2 * n), cx);
                (y, AdapterCache::Quadruple(Box::new(QuadrupleCache { up1, norm, slope, up2 })))
            }
            Self::Double(up1) => {
                let (y, up1) = up1.forward(x, size, cx);
                (y, AdapterCache::Double(up1))
            }
            Self::Same => (x, AdapterCache::Same),
            Self::Pool(pool) => {
                let (y, pool) = pool.forward(x, size, cx);
                (y, AdapterCache::Pool(pool))
            }
        }
    }

    /// Adds the adapter's gradient; returns `dx`.
    ///
    /// # Panics
    /// If the cache or the gradient is of another adapter.
    pub fn backward(
        &self,
        cache: AdapterCache<F>,
        dy: Array2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dx = match (self, cache, grad) {
            (Self::Quadruple(layers), AdapterCache::Quadruple(cache), Self::Quadruple(grad)) => {
                let QuadrupleCache { up1, norm, slope, up2 } = *cache;
                let mut dx = layers.up2.backward(up2, dy.view(), &mut grad.up2, cx);
                // a = GELU(h)  ⇒  dh = GELU′(h) ⊙ da
                cx.rows(row_blocks::of_mut(&mut dx).zip(row_blocks::of(&slope)), Multiply);
                cx.recycle(slope);
                let dnormed = layers.norm.backward(norm, dx.view(), &mut grad.norm, cx);
                cx.recycle(dx);
                let dx = layers.up1.backward(up1, dnormed.view(), &mut grad.up1, cx);
                cx.recycle(dnormed);
                dx
            }
            (Self::Double(layer), AdapterCache::Double(up1), Self::Double(grad)) => {
                layer.backward(up1, dy.view(), grad, cx)
            }
            (Self::Same, AdapterCache::Same, Self::Same) => return dy,
            (Self::Pool(pool), AdapterCache::Pool(cache), Self::Pool(grad)) => {
                pool.backward(cache, dy.view(), grad, cx)
            }
            _ => panic!("cache and gradient of another adapter"),
        };
        cx.recycle(dy);
        dx
    }
}

impl<F: Real> Params<F> for Adapter<F> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        match self {
            Self::Quadruple(layers) => {
                layers.up1.walk(&format!("{prefix}up1."), out);
                layers.norm.walk(&format!("{prefix}norm."), out);
                layers.up2.walk(&format!("{prefix}up2."), out);
            }
            Self::Double(up1) => up1.walk(&format!("{prefix}up1."), out),
            Self::Same | Self::Pool(_) => {}
        }
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        match self {
            Self::Quadruple(layers) => {
                layers.up1.walk_mut(&format!("{prefix}up1."), out);
                layers.norm.walk_mut(&format!("{prefix}norm."), out);
                layers.up2.walk_mut(&format!("{prefix}up2."), out);
            }
            Self::Double(up1) => up1.walk_mut(&format!("{prefix}up1."), out),
            Self::Same | Self::Pool(_) => {}
        }
    }
}
