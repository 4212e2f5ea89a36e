//! The convolutions that both heads on regions begin with.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::ConvNormRelu;
use crate::layers::conv_norm_relu::ConvNormReluCache;
use crate::layers::conv3x3::{Conv3x3, Conv3x3Cache};
use crate::params;
use ndarray::Array2;
use std::mem;

/// How many.
pub(super) const CONVS: usize = 4;

params! {
    /// Four times 3 × 3 conv-LN-ReLU on the `P × P` pixels of each region.
    pub struct RegionConvs {
        flat {
            /// `C → C`.
            layers: Vec<ConvNormRelu<F, Conv3x3<F>>>,
        }
        plain {
            /// `P`.
            side: usize,
        }
    }
}

/// What [`RegionConvs::backward`] needs.
#[must_use]
pub struct RegionConvsCache<F>(Vec<ConvNormReluCache<F, Conv3x3Cache<F>>>);

impl<F: Real> RegionConvsCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.0.into_iter().for_each(|cache| ConvNormRelu::<_, Conv3x3<_>>::recycle(cache, cx));
    }
}

impl<F: Real> RegionConvs<F> {
    /// All zeros; regions of `side × side` pixels.
    #[must_use]
    pub fn new(channels: usize, side: usize, eps: f64) -> Self {
        Self { layers: vec![ConvNormRelu::new(channels, channels, eps); CONVS], side }
    }

    /// `x: [R·P·P, C] → y: [R·P·P, C]`.
    pub fn forward(&self, mut x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, RegionConvsCache<F>) {
        let mut caches = Vec::with_capacity(CONVS);
        for (i, layer) in self.layers.iter().enumerate() {
            let (y, cache) = cx.inside(format_args!("convs.{i}"), |cx| layer.forward(x, [self.side; 2], cx));
            caches.push(cache);
            x = y;
        }
        (x, RegionConvsCache(caches))
    }

    /// Adds the gradient of all layers; returns `dx`.
    pub fn backward(
        &self,
        cache: RegionConvsCache<F>,
        mut dx: Array2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        for ((layer, cache), grad) in self.layers.iter().zip(cache.0).zip(&mut grad.layers).rev() {
            let below = layer.backward(cache, dx.view(), grad, cx);
            cx.recycle(mem::replace(&mut dx, below));
        }
        dx
    }
}
