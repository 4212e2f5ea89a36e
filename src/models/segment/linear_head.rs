//! The linear head: a layer norm and a linear map of every patch's token. What a trunk knows without a decoder.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::layer_norm::LayerNormCache;
use crate::layers::linear::LinearCache;
use crate::layers::{LayerNorm, Linear};
use crate::models::pyramid::tokens::{to_maps, to_maps_backward};
use crate::params;
use ndarray::{Array2, ArrayView2};

params! {
    /// `logits = W LN(x) + b`, token by token.
    pub struct LinearHead {
        layers {
            /// Of the last block's tokens.
            norm: LayerNorm<F>,
            /// `D → K`.
            classify: Linear<F>,
        }
    }
}

/// What [`LinearHead::backward`] needs.
#[must_use]
pub struct LinearHeadCache<F> {
    norm: LayerNormCache<F>,
    classify: LinearCache<F>,
}

impl<F: Real> LinearHeadCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.norm.recycle(cx);
        self.classify.recycle(cx);
    }
}

impl<F: Real> LinearHead<F> {
    /// All zeros.
    #[must_use]
    pub fn new(width: usize, classes: usize, eps: f64) -> Self {
        Self { norm: LayerNorm::new(width, eps), classify: Linear::new(width, classes) }
    }

    /// `x: [B·N, D] → logits: [B·(N − 1), K]`, the class token left out.
    pub fn forward(&self, x: Array2<F>, tokens: usize, cx: &mut Exec<F>) -> (Array2<F>, LinearHeadCache<F>) {
        let map = to_maps(x, tokens, cx);
        cx.trace("tokens", &map);
        let (features, norm) = self.norm.forward(map, cx);
        cx.trace("features", &features);
        let (logits, classify) = self.classify.forward(features, cx);
        cx.trace("logits_low", &logits);
        (logits, LinearHeadCache { norm, classify })
    }

    /// Adds the head's gradient; returns `dx: [B·N, D]`, 0 for class tokens.
    pub fn backward(
        &self,
        cache: LinearHeadCache<F>,
        dlogits: ArrayView2<F>,
        tokens: usize,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.trace_gradient("logits_low", &dlogits);
        let dfeatures = self.classify.backward(cache.classify, dlogits, &mut grad.classify, cx);
        cx.trace_gradient("features", &dfeatures);
        let dmap = self.norm.backward(cache.norm, dfeatures.view(), &mut grad.norm, cx);
        cx.recycle(dfeatures);
        cx.trace_gradient("tokens", &dmap);
        let dx = to_maps_backward(dmap.view(), tokens, cx);
        cx.recycle(dmap);
        dx
    }
}
