//! The linear probe's head: batch norm without scale and shift, then one linear layer, on frozen features.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::batch_norm::BatchNormCache;
use crate::layers::linear::LinearCache;
use crate::layers::{BatchNorm, Linear};
use crate::params;
use ndarray::{Array2, ArrayView2};

params! {
    /// `logits = BatchNorm(features) Wᵀ + b` (He et al. 2022, appendix A.1, "Linear probing").
    pub struct LinearProbe {
        layers {
            /// `D → K`.
            head: Linear<F>,
        }
        plain {
            /// In front of it; its statistics are not trained but tracked.
            norm: BatchNorm<F>,
        }
    }
}

/// What [`LinearProbe::backward`] needs.
#[must_use]
pub struct LinearProbeCache<F> {
    norm: BatchNormCache<F>,
    head: LinearCache<F>,
}

impl<F: Real> LinearProbe<F> {
    /// All zeros; statistics of mean 0 and variance 1.
    #[must_use]
    pub fn new(width: usize, classes: usize, eps: f64) -> Self {
        Self { head: Linear::new(width, classes), norm: BatchNorm::new(width, eps) }
    }

    /// `features: [N, D] → logits: [N, K]` with the statistics of the batch, or with the running ones.
    pub fn forward(
        &self,
        features: Array2<F>,
        training: bool,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, LinearProbeCache<F>) {
        let norm = if training { BatchNorm::forward } else { BatchNorm::forward_eval };
        let (normed, norm) = norm(&self.norm, features, cx);
        cx.trace("bn_out", &normed);
        let (logits, head) = self.head.forward(normed, cx);
        (logits, LinearProbeCache { norm, head })
    }

    /// Takes a training batch into the running statistics.
    pub fn track(&mut self, cache: &LinearProbeCache<F>) {
        if let Some(batch) = cache.norm.statistics() {
            self.norm.track(batch);
        }
    }

    /// Adds the head's gradient; returns `dfeatures`, which a frozen encoder does not need.
    pub fn backward(
        &self,
        cache: LinearProbeCache<F>,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dnormed = self.head.backward(cache.head, dlogits, &mut grad.head, cx);
        let dfeatures = self.norm.backward(cache.norm, dnormed.view(), &mut grad.norm, cx);
        cx.recycle(dnormed);
        dfeatures
    }
}
