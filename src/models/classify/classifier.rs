//! Classification by fine-tuning: the trunk sees every patch, one pooled token of each image goes to a linear head.

use super::config::ClassifierConfig;
use super::pooling::{PoolNorm, PoolNormCache, Pooling};
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::init::{self, init};
use crate::layers::linear::LinearCache;
use crate::layers::{LayerNorm, Linear};
use crate::models::mae::Encoder;
use crate::models::vit::{ForwardOptions, ImagesCache, Positions, Vit};
use crate::params;
use ndarray::{Array2, ArrayView2, ArrayView4, Axis};

/// Standard deviation of the head's initial weights. (He et al. 2022, code: `trunc_normal_(std=2e-5)`, which cuts at
/// ±2, a hundred thousand standard deviations away, so not at all.)
const HEAD_STD: f64 = 2e-5;

params! {
    /// A trunk whose positions are trained, pooling with its norm, head.
    pub struct Classifier {
        first {
            /// Patch embedding, class token, positions, blocks.
            vit: Vit<F>,
        }
        layers {
            /// `D → K`.
            head: Linear<F>,
        }
        flat {
            /// Tokens to features; `norm` or `fc_norm` in a checkpoint.
            pool: PoolNorm<F>,
        }
        plain {
            /// The architecture.
            config: ClassifierConfig,
        }
    }
}

/// What [`Classifier::backward`] needs: the caches of what is trained.
#[must_use]
pub struct ClassifierCache<F> {
    body: BodyCache<F>,
    head: LinearCache<F>,
}

/// Of what is below the head.
struct BodyCache<F> {
    vit: ImagesCache<F>,
    norm: Option<PoolNormCache<F>>,
}

impl<F: Real> Classifier<F> {
    /// All zeros but the positions.
    #[must_use]
    pub fn new(config: &ClassifierConfig) -> Self {
        let norm = LayerNorm::new(config.embed_dim, config.layer_norm_eps);
        Self {
            vit: Vit::new(&config.vit(), Positions::Trained),
            head: Linear::new(config.embed_dim, config.num_classes),
            pool: PoolNorm { pooling: config.pooling, norm },
            config: config.clone(),
        }
    }

    /// From scratch: the encoder that a masked autoencoder of this architecture and seed starts from, and a new head.
    #[must_use]
    pub fn initialised(config: &ClassifierConfig, seed: u64) -> Self {
        let mut encoder = Encoder::new(&config.vit());
        init(&mut encoder, seed);
        Self::from_encoder(&encoder, config, seed)
    }

    /// A pre-trained encoder and a new head: weights normal with a standard deviation of 2e-5, bias 0.
    ///
    /// Positions are interpolated where the images have another size. The encoder's `norm` is taken over if the class
    /// token is pooled; the mean over patches gets a new `fc_norm`, as in the reference.
    ///
    /// # Panics
    /// If the encoder is of another architecture: [`crate::models::vit::VitConfig::fits`] says so in words.
    #[must_use]
    pub fn from_encoder(encoder: &Encoder<F>, config: &ClassifierConfig, seed: u64) -> Self {
        let mut model = Self::new(config);
        model.vit.take_over(&encoder.vit);
        match config.pooling {
            Pooling::Class => model.pool.norm.clone_from(&encoder.norm),
            Pooling::Mean => model.pool.norm.weight.fill(F::one()),
        }
        let weight = model.head.weight.as_slice_mut().expect("tensors are stored in row-major order");
        init::normal(weight, "head.weight", HEAD_STD, seed);
        model
    }

    /// `images: [B, C, H, W] → logits: [B, K]`, with the cache for the backward pass.
    ///
    /// # Panics
    /// If drop path's factors are not those of as many blocks and images.
    pub fn forward(
        &self,
        images: ArrayView4<F>,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, ClassifierCache<F>) {
        let (features, body) = self.features_with(images, o, cx);
        let (logits, head) = self.head.forward(features, cx);
        cx.trace("logits", &logits);
        (logits, ClassifierCache { body, head })
    }

    /// `images: [B, C, H, W] → features: [B, D]`, what the head sees; nothing is kept for a backward pass.
    pub fn features(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        self.features_with(images, &ForwardOptions::inference(), cx).0
    }

    /// As [`Classifier::forward`], for evaluation: nothing is left out and nothing kept.
    pub fn logits(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        let features = self.features(images, cx);
        let (logits, head) = self.head.forward(features, cx);
        head.recycle(cx);
        logits
    }

    fn features_with(
        &self,
        images: ArrayView4<F>,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, BodyCache<F>) {
        let count = images.len_of(Axis(0));
        let rows = self.config.pooling.rows(count, self.vit.config.tokens(), cx);
        let o = ForwardOptions { rows: rows.as_deref(), ..*o };
        let (encoded, vit) = self.vit.encode_images(images, &o, cx);
        let (features, norm) = self.pool.forward(encoded.x, count, cx);
        let norm = if o.tune_blocks == Some(0) {
            norm.recycle(cx);
            None
        } else {
            Some(norm)
        };
        (features, BodyCache { vit, norm })
    }

    /// Adds the gradient of everything that is trained; nothing is computed below the lowest of it. Returns the gradient
    /// with respect to the patch embedding's output, `[B·L, D]`, if that is trained.
    pub fn backward(
        &self,
        cache: ClassifierCache<F>,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Option<Array2<F>> {
        cx.trace_gradient("logits", &dlogits);
        let ClassifierCache { body: BodyCache { vit, norm }, head } = cache;
        let Some(norm) = norm else {
            self.head.backward_weights(head, dlogits, &mut grad.head, cx);
            return None;
        };
        let dfeatures = self.head.backward(head, dlogits, &mut grad.head, cx);
        let dx = self.pool.backward(norm, dfeatures.view(), &mut grad.pool, cx);
        cx.recycle(dfeatures);
        self.vit.encode_images_backward(vit, dx, Vec::new(), &mut grad.vit, cx)
    }
}
