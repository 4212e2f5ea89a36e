//! The heads: a projector of three layers and a predictor of two, with batch norm over the whole batch of one crop.

use super::config::MocoConfig;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::affine_batch_norm::AffineBatchNormCache;
use crate::layers::batch_norm::{BatchNormCache, Statistics};
use crate::layers::linear_map::LinearMapCache;
use crate::layers::relu::ReluCache;
use crate::layers::{AffineBatchNorm, BatchNorm, LinearMap, Relu};
use crate::params;
use ndarray::{Array2, ArrayView2};

params! {
    /// `fc1 → norm1 → ReLU → fc2 → norm2 → ReLU → fc3 → norm3`, widths `D → h → h → d`. No layer has a bias; the last norm
    /// has no scale and shift (Chen et al. 2021, code: `_build_mlp`).
    pub struct Projector {
        layers {
            /// `D → h`.
            fc1: LinearMap<F>,
            /// Of `h` features.
            norm1: AffineBatchNorm<F>,
            /// `h → h`.
            fc2: LinearMap<F>,
            /// Of `h` features.
            norm2: AffineBatchNorm<F>,
            /// `h → d`.
            fc3: LinearMap<F>,
            /// Of `d` features.
            norm3: BatchNorm<F>,
        }
    }
}

params! {
    /// `fc1 → norm1 → ReLU → fc2 → norm2`, widths `d → h → d`, as [`Projector`].
    pub struct Predictor {
        layers {
            /// `d → h`.
            fc1: LinearMap<F>,
            /// Of `h` features.
            norm1: AffineBatchNorm<F>,
            /// `h → d`.
            fc2: LinearMap<F>,
            /// Of `d` features.
            norm2: BatchNorm<F>,
        }
    }
}

/// What [`Projector::backward`] needs.
#[must_use]
pub struct ProjectorCache<F> {
    first: HiddenCache<F>,
    second: HiddenCache<F>,
    last: LastCache<F>,
}

/// What [`Predictor::backward`] needs.
#[must_use]
pub struct PredictorCache<F> {
    first: HiddenCache<F>,
    last: LastCache<F>,
}

/// Of `fc → norm → ReLU`.
struct HiddenCache<F> {
    fc: LinearMapCache<F>,
    norm: AffineBatchNormCache<F>,
    relu: ReluCache<F>,
}

/// Of `fc → norm`.
struct LastCache<F> {
    fc: LinearMapCache<F>,
    norm: BatchNormCache<F>,
}

impl<F: Real> ProjectorCache<F> {
    /// The batch's statistics in every norm, for [`Projector::track`].
    pub fn statistics(&self) -> Vec<Statistics<F>> {
        let norms =
            [self.first.norm.statistics(), self.second.norm.statistics(), self.last.norm.statistics()];
        norms.into_iter().flatten().cloned().collect()
    }
}

impl<F: Real> PredictorCache<F> {
    /// The batch's statistics in every norm, for [`Predictor::track`].
    pub fn statistics(&self) -> Vec<Statistics<F>> {
        [self.first.norm.statistics(), self.last.norm.statistics()].into_iter().flatten().cloned().collect()
    }
}

impl<F: Real> Projector<F> {
    /// All zeros.
    #[must_use]
    pub fn new(c: &MocoConfig) -> Self {
        let (h, d) = (c.mlp_dim, c.out_dim);
        Self {
            fc1: LinearMap::new(c.vit.embed_dim, h),
            norm1: affine(c, h),
            fc2: LinearMap::new(h, h),
            norm2: affine(c, h),
            fc3: LinearMap::new(h, d),
            norm3: plain(c, d),
        }
    }

    /// `features: [B, D] → projected: [B, d]`; the rows are the whole batch of one crop.
    pub fn forward(&self, features: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, ProjectorCache<F>) {
        let (x, first) = hidden(&self.fc1, &self.norm1, ["fc1", "norm1"], features, cx);
        let (x, second) = hidden(&self.fc2, &self.norm2, ["fc2", "norm2"], x, cx);
        let (x, last) = last(&self.fc3, &self.norm3, "fc3", x, cx);
        (x, ProjectorCache { first, second, last })
    }

    /// Adds the projector's gradient; returns `dfeatures`.
    pub fn backward(
        &self,
        cache: ProjectorCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dx =
            last_backward((&self.fc3, &self.norm3), cache.last, dy, (&mut grad.fc3, &mut grad.norm3), cx);
        let dx =
            hidden_backward((&self.fc2, &self.norm2), cache.second, dx, (&mut grad.fc2, &mut grad.norm2), cx);
        hidden_backward((&self.fc1, &self.norm1), cache.first, dx, (&mut grad.fc1, &mut grad.norm1), cx)
    }

    /// Takes a batch of one crop into the running statistics, which no step of training reads.
    ///
    /// # Panics
    /// If these are not [`ProjectorCache::statistics`].
    pub fn track(&mut self, batch: &[Statistics<F>]) {
        let [first, second, last] = batch else { panic!("statistics of {} norms, not of 3", batch.len()) };
        self.norm1.track(first);
        self.norm2.track(second);
        self.norm3.track(last);
    }
}

impl<F: Real> Predictor<F> {
    /// All zeros.
    #[must_use]
    pub fn new(c: &MocoConfig) -> Self {
        let (h, d) = (c.mlp_dim, c.out_dim);
        let (fc1, fc2) = (LinearMap::new(d, h), LinearMap::new(h, d));
        Self { fc1, norm1: affine(c, h), fc2, norm2: plain(c, d) }
    }

    /// `projected: [B, d] → predicted: [B, d]`, the queries.
    pub fn forward(&self, projected: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, PredictorCache<F>) {
        let (x, first) = hidden(&self.fc1, &self.norm1, ["fc1", "norm1"], projected, cx);
        let (x, last) = last(&self.fc2, &self.norm2, "fc2", x, cx);
        (x, PredictorCache { first, last })
    }

    /// Adds the predictor's gradient; returns `dprojected`.
    pub fn backward(
        &self,
        cache: PredictorCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dx =
            last_backward((&self.fc2, &self.norm2), cache.last, dy, (&mut grad.fc2, &mut grad.norm2), cx);
        hidden_backward((&self.fc1, &self.norm1), cache.first, dx, (&mut grad.fc1, &mut grad.norm1), cx)
    }

    /// Takes a batch of one crop into the running statistics, which no step of training reads.
    ///
    /// # Panics
    /// If these are not [`PredictorCache::statistics`].
    pub fn track(&mut self, batch: &[Statistics<F>]) {
        let [first, last] = batch else { panic!("statistics of {} norms, not of 2", batch.len()) };
        self.norm1.track(first);
        self.norm2.track(last);
    }
}

fn affine<F: Real>(c: &MocoConfig, width: usize) -> AffineBatchNorm<F> {
    AffineBatchNorm { norm: plain(c, width), ..AffineBatchNorm::new(width, c.batch_norm_eps) }
}

fn plain<F: Real>(c: &MocoConfig, width: usize) -> BatchNorm<F> {
    BatchNorm { momentum: c.batch_norm_momentum, ..BatchNorm::new(width, c.batch_norm_eps) }
}

/// `ReLU(norm(fc(x)))`.
fn hidden<F: Real>(
    fc: &LinearMap<F>,
    norm: &AffineBatchNorm<F>,
    names: [&str; 2],
    x: Array2<F>,
    cx: &mut Exec<F>,
) -> (Array2<F>, HiddenCache<F>) {
    let (x, fc) = fc.forward(x, cx);
    cx.trace(names[0], &x);
    let (x, norm) = norm.forward(x, cx);
    cx.trace(names[1], &x);
    let (x, relu) = Relu.forward(x, cx);
    (x, HiddenCache { fc, norm, relu })
}

fn hidden_backward<F: Real>(
    (fc, norm): (&LinearMap<F>, &AffineBatchNorm<F>),
    cache: HiddenCache<F>,
    dy: Array2<F>,
    (dfc, dnorm): (&mut LinearMap<F>, &mut AffineBatchNorm<F>),
    cx: &mut Exec<F>,
) -> Array2<F> {
    let dx = Relu.backward(cache.relu, dy.view(), &mut Relu, cx);
    cx.recycle(dy);
    let dx = norm.backward(cache.norm, dx.view(), dnorm, cx);
    fc.backward(cache.fc, dx.view(), dfc, cx)
}

/// `norm(fc(x))`.
fn last<F: Real>(
    fc: &LinearMap<F>,
    norm: &BatchNorm<F>,
    name: &str,
    x: Array2<F>,
    cx: &mut Exec<F>,
) -> (Array2<F>, LastCache<F>) {
    let (x, fc) = fc.forward(x, cx);
    cx.trace(name, &x);
    let (x, norm) = norm.forward(x, cx);
    (x, LastCache { fc, norm })
}

fn last_backward<F: Real>(
    (fc, norm): (&LinearMap<F>, &BatchNorm<F>),
    cache: LastCache<F>,
    dy: ArrayView2<F>,
    (dfc, dnorm): (&mut LinearMap<F>, &mut BatchNorm<F>),
    cx: &mut Exec<F>,
) -> Array2<F> {
    let dx = norm.backward(cache.norm, dy, dnorm, cx);
    fc.backward(cache.fc, dx.view(), dfc, cx)
}
