//! Classification by fine-tuning: the trunk sees every patch, one pooled token of each image goes to a linear head.

use super::config::ClassifierConfig;
use super::pooling::{PoolNorm, PoolNormCache, Pooling};
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::init::{self, init};
use crate::layers::linear::LinearCache;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::layers::{LayerNorm, Linear, pos_interp};
use crate::models::mae::Encoder;
use crate::models::vit::{ForwardOptions, Positions, StackCache, Vit};
use crate::params;
use ndarray::{Array2, ArrayView2, ArrayView4, Axis, s};

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
    patch_embed: Option<PatchEmbedCache<F>>,
    blocks: StackCache<F>,
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
        let (mut model, trunk) = (Self::new(config), &encoder.vit);
        config.vit().fits(&trunk.config).expect("an encoder of this architecture");

        let positions = trunk.pos_embed.slice(s![0, .., ..]);
        let positions = pos_interp::interpolate(positions, trunk.config.grid(), config.vit().grid());
        model.vit.pos_embed = positions.insert_axis(Axis(0));
        model.vit.cls_token.clone_from(&trunk.cls_token);
        model.vit.patch_embed.clone_from(&trunk.patch_embed);
        model.vit.blocks.clone_from(&trunk.blocks);
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
        let (mut patches, patch_embed) = self.vit.embed(images, o, cx);
        self.vit.add_positions(&mut patches);
        let (all, tokens) = (self.vit.every_patch(), self.vit.config.tokens());
        let x = self.vit.tokens(&patches, |_| &all, cx);
        cx.recycle(patches);
        let rows = self.config.pooling.rows(images.len_of(Axis(0)), tokens, cx);
        let o = ForwardOptions { rows: rows.as_deref(), ..*o };
        let (encoded, blocks) = self.vit.encode(x, tokens, &o, cx);
        let (features, norm) = self.pool.forward(encoded.x, images.len_of(Axis(0)), cx);
        let norm = if o.tune_blocks == Some(0) {
            norm.recycle(cx);
            None
        } else {
            Some(norm)
        };
        (features, BodyCache { patch_embed, blocks, norm })
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
        let ClassifierCache { body: BodyCache { patch_embed, blocks, norm }, head } = cache;
        let Some(norm) = norm else {
            self.head.backward_weights(head, dlogits, &mut grad.head, cx);
            return None;
        };
        let dfeatures = self.head.backward(head, dlogits, &mut grad.head, cx);
        let dx = self.pool.backward(norm, dfeatures.view(), &mut grad.pool, cx);
        cx.recycle(dfeatures);
        let dx = self.vit.encode_backward(blocks, dx, &[], &mut grad.vit, cx);
        let Some(patch_embed) = patch_embed else {
            cx.recycle(dx);
            return None;
        };
        let all = self.vit.every_patch();
        let dpatches = self.vit.tokens_backward(dx.view(), |_| &all, &mut grad.vit, cx);
        cx.recycle(dx);
        self.vit.embed_backward(patch_embed, dpatches.view(), &mut grad.vit, cx);
        Some(dpatches)
    }
}
