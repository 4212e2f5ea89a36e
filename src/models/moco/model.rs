//! MoCo v3 as a whole: queries of both crops against the other's keys, forward and backward.
//!
//! All that mixes images is in the heads and the loss. So a step ([`super::step`]) takes two passes: the trunk's features of
//! a few images at a time, nothing kept; [`Moco::forward`] and [`Moco::backward`] once, on all of them; then
//! [`Moco::backward_chunk`] takes a few images at a time through the trunk again, and back from their rows of the features'
//! gradient.

use super::config::MocoConfig;
use super::heads::{Predictor, PredictorCache, Projector, ProjectorCache};
use super::loss::{InfoNce, InfoNceGradient};
use super::trunk::Trunk;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::batch_norm::Statistics;
use crate::layers::init::init;
use crate::optim::{Group, groups};
use crate::params;
use ndarray::{Array2, ArrayView4, s};
use std::array;
use std::ops::Range;

/// The names of the patch projection's tensors begin with this.
const CONV1: &str = "patch_embed.";

params! {
    /// Trunk and projector, of which the momentum encoder is the moving average.
    pub struct BaseEncoder {
        first {
            /// Images to features.
            trunk: Trunk<F>,
        }
        layers {
            /// Features to what is compared.
            projector: Projector<F>,
        }
    }
}

params! {
    /// The online network. The tensors of its trunk carry the reference's names without a prefix.
    pub struct Moco {
        first {
            /// Trunk and projector.
            base: BaseEncoder<F>,
        }
        layers {
            /// What a query has and a key has not.
            predictor: Predictor<F>,
        }
        plain {
            /// The architecture.
            config: MocoConfig,
        }
    }
}

/// What the heads and the loss give of a whole batch; `[0]` is of crop 1 as the query.
#[derive(Clone, Debug)]
pub struct Contrast<F> {
    /// The two terms; the loss is their sum.
    pub losses: [f64; 2],
    /// Of each term, the fraction of queries that are nearest to their own key.
    pub accuracies: [f64; 2],
    /// [`super::loss::Unit::spread`] of the normalised queries, the mean of both crops.
    pub query_std: f64,
    /// For [`Moco::track`].
    pub statistics: [QueryStatistics<F>; 2],
}

/// Statistics of one crop in every batch norm of the two heads.
#[derive(Clone, Debug)]
pub struct QueryStatistics<F> {
    projector: Vec<Statistics<F>>,
    predictor: Vec<Statistics<F>>,
}

/// What [`Moco::backward`] needs, of each crop.
#[must_use]
pub struct MocoCache<F>([CropCache<F>; 2]);

struct CropCache<F> {
    projector: ProjectorCache<F>,
    predictor: PredictorCache<F>,
    loss: InfoNce<F>,
}

impl<F: Real> Contrast<F> {
    /// `ctr(q₁, k₂) + ctr(q₂, k₁)`.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.losses[0] + self.losses[1]
    }

    /// The mean of both crops.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        f64::midpoint(self.accuracies[0], self.accuracies[1])
    }
}

impl<F: Real> BaseEncoder<F> {
    /// All zeros but the fixed positions.
    #[must_use]
    pub fn new(c: &MocoConfig) -> Self {
        Self { trunk: Trunk::new(c), projector: Projector::new(c) }
    }

    /// The momentum encoder's keys from its features of both crops, `[B, D] → [B, d]` each, one crop after the other; and
    /// for [`BaseEncoder::track`] the batch's statistics. Nothing is kept: keys are constants.
    pub fn keys(
        &self,
        features: [Array2<F>; 2],
        cx: &mut Exec<F>,
    ) -> ([Array2<F>; 2], [Vec<Statistics<F>>; 2]) {
        let mut crop = 0;
        let keys = features.map(|features| {
            crop += 1;
            cx.trace(&format!("key_trunk{crop}"), &features);
            let (key, cache) =
                cx.inside(format_args!("key_projector{crop}"), |cx| self.projector.forward(features, cx));
            cx.trace(&format!("key{crop}"), &key);
            (key, cache.statistics())
        });
        let [(key1, statistics1), (key2, statistics2)] = keys;
        ([key1, key2], [statistics1, statistics2])
    }

    /// Takes both crops' statistics into the running ones.
    pub fn track(&mut self, crops: &[Vec<Statistics<F>>; 2]) {
        for crop in crops {
            self.projector.track(crop);
        }
    }
}

impl<F: Real> Moco<F> {
    /// All zeros but the fixed positions.
    #[must_use]
    pub fn new(config: MocoConfig) -> Self {
        Self { base: BaseEncoder::new(&config), predictor: Predictor::new(&config), config }
    }

    /// With initial values drawn from `seed`: the trunk that a masked autoencoder of this architecture and seed starts from,
    /// and heads by the same rule. (The original draws the heads' matrices uniformly from ±1/√in, which the batch norm
    /// behind each makes a question of the learning rate.)
    #[must_use]
    pub fn initialised(config: MocoConfig, seed: u64) -> Self {
        let mut model = Self::new(config);
        init(&mut model, seed);
        model
    }

    /// `features: [B, D]` of both crops against `keys: [B, d]` of both, the whole batch at once: crops go through the heads
    /// one after the other, so that a batch norm sees one crop, never both.
    pub fn forward(
        &self,
        features: [Array2<F>; 2],
        keys: &[Array2<F>; 2],
        cx: &mut Exec<F>,
    ) -> (Contrast<F>, MocoCache<F>) {
        let mut crop = 0;
        let crops = features.map(|features| {
            let key = &keys[1 - crop];
            crop += 1;
            cx.trace(&format!("trunk{crop}"), &features);
            let (x, projector) =
                cx.inside(format_args!("projector{crop}"), |cx| self.base.projector.forward(features, cx));
            cx.trace(&format!("projected{crop}"), &x);
            let (q, predictor) =
                cx.inside(format_args!("predictor{crop}"), |cx| self.predictor.forward(x, cx));
            cx.trace(&format!("predicted{crop}"), &q);
            let loss = InfoNce::new(&q, key, self.config.temperature, cx);
            cx.trace(&format!("predicted{crop}_unit"), &loss.query.rows);
            cx.trace(&format!("key{}_unit", 3 - crop), &loss.key.rows);
            cx.trace(&format!("logits{crop}{}", 3 - crop), &loss.logits);
            CropCache { projector, predictor, loss }
        });
        let contrast = Contrast {
            losses: array::from_fn(|i| crops[i].loss.loss),
            accuracies: array::from_fn(|i| crops[i].loss.accuracy),
            query_std: f64::midpoint(crops[0].loss.query.spread(), crops[1].loss.query.spread()),
            statistics: array::from_fn(|i| QueryStatistics {
                projector: crops[i].projector.statistics(),
                predictor: crops[i].predictor.statistics(),
            }),
        };
        (contrast, MocoCache(crops))
    }

    /// Adds the heads' gradient of the loss; returns the features', `[B, D]` of each crop.
    pub fn backward(&self, cache: MocoCache<F>, grad: &mut Self, cx: &mut Exec<F>) -> [Array2<F>; 2] {
        let mut crop = 0;
        cache.0.map(|CropCache { projector, predictor, loss }| {
            crop += 1;
            let InfoNceGradient { dlogits, dq } = loss.backward(cx);
            cx.trace_gradient(&format!("logits{crop}{}", 3 - crop), &dlogits);
            cx.trace_gradient(&format!("predicted{crop}"), &dq);
            let dx = self.predictor.backward(predictor, dq.view(), &mut grad.predictor, cx);
            cx.trace_gradient(&format!("projected{crop}"), &dx);
            let dfeatures = self.base.projector.backward(projector, dx.view(), &mut grad.base.projector, cx);
            cx.recycle(dx);
            cx.trace_gradient(&format!("trunk{crop}"), &dfeatures);
            dfeatures
        })
    }

    /// Takes some of the batch's images, `crops: [b, C, H, W]` each, through the trunk again and back from their `rows` of
    /// the features' gradient; adds the trunk's. Returns the gradient with respect to the patch embedding's output.
    pub fn backward_chunk(
        &self,
        crops: [ArrayView4<F>; 2],
        dfeatures: &[Array2<F>; 2],
        rows: Range<usize>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> [Array2<F>; 2] {
        let mut crop = 0;
        crops.map(|images| {
            let (features, cache) = self.base.trunk.forward(images, cx);
            cx.recycle(features);
            let dfeatures = dfeatures[crop].slice(s![rows.clone(), ..]);
            crop += 1;
            self.base.trunk.backward(cache, dfeatures, &mut grad.base.trunk, cx)
        })
    }

    /// How each tensor is updated: as in any pre-training, but for a frozen patch projection.
    #[must_use]
    pub fn groups(&self, weight_decay: f64) -> Vec<Group> {
        let groups = groups::pretraining(self, weight_decay);
        if self.config.stop_grad_conv1 { groups::frozen(groups, CONV1) } else { groups }
    }

    /// Takes both crops' statistics into the running ones, crop 1 first.
    pub fn track(&mut self, crops: &[QueryStatistics<F>; 2]) {
        for crop in crops {
            self.base.projector.track(&crop.projector);
            self.predictor.track(&crop.predictor);
        }
    }
}
