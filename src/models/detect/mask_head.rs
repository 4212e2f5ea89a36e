//! The mask head: from a region's features to a mask for every class (He et al. 2017).

use super::region_convs::{RegionConvs, RegionConvsCache};
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::conv_transpose2x2::ConvTranspose2x2Cache;
use crate::layers::linear::LinearCache;
use crate::layers::relu::ReluCache;
use crate::layers::{ConvTranspose2x2, Linear, Pointwise, Relu};
use crate::params;
use ndarray::{Array2, ArrayView2};

params! {
    /// Convolutions on a region's `P × P` pixels, doubled with ReLU, then 1 × 1: a logit for every class and pixel.
    pub struct MaskHead {
        layers {
            /// `C → C`.
            convs: RegionConvs<F>,
            /// `C → C`, to `2P × 2P` pixels.
            up: ConvTranspose2x2<F>,
            /// `C → K`.
            classify: Pointwise<Linear<F>>,
        }
    }
}

/// What [`MaskHead::backward`] needs.
#[must_use]
pub struct MaskHeadCache<F> {
    convs: RegionConvsCache<F>,
    up: ConvTranspose2x2Cache<F>,
    relu: ReluCache<F>,
    classify: LinearCache<F>,
}

impl<F: Real> MaskHeadCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.convs.recycle(cx);
        self.up.recycle(cx);
        self.relu.recycle(cx);
        self.classify.recycle(cx);
    }
}

impl<F: Real> MaskHead<F> {
    /// All zeros; regions of `side × side` pixels.
    #[must_use]
    pub fn new(channels: usize, classes: usize, side: usize, eps: f64) -> Self {
        Self {
            convs: RegionConvs::new(channels, side, eps),
            up: ConvTranspose2x2::new(channels, channels),
            classify: Pointwise(Linear::new(channels, classes)),
        }
    }

    /// `x: [R·P·P, C]`, the regions' features, to `logits: [R·2P·2P, K]`.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, MaskHeadCache<F>) {
        let (x, convs) = cx.inside("mask", |cx| self.convs.forward(x, cx));
        let (x, up) = self.up.forward(x, [self.convs.side; 2], cx);
        cx.trace("mask_up_before_relu", &x);
        let (x, relu) = Relu.forward(x, cx);
        let (logits, classify) = self.classify.0.forward(x, cx);
        cx.trace("mask_logits", &logits);
        (logits, MaskHeadCache { convs, up, relu, classify })
    }

    /// Adds the head's gradient; returns that of the regions' features.
    pub fn backward(
        &self,
        cache: MaskHeadCache<F>,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.trace_gradient("mask_logits", &dlogits);
        let dx = self.classify.0.backward(cache.classify, dlogits, &mut grad.classify.0, cx);
        let dup = Relu.backward(cache.relu, dx.view(), &mut Relu, cx);
        cx.recycle(dx);
        let dx = self.up.backward(cache.up, dup.view(), &mut grad.up, cx);
        cx.recycle(dup);
        self.convs.backward(cache.convs, dx, &mut grad.convs, cx)
    }
}
