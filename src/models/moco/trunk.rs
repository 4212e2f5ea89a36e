//! From images to features: the trunk, and the norm of its class token.

use super::config::MocoConfig;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::LayerNorm;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::models::classify::pooling::{PoolNorm, PoolNormCache, Pooling};
use crate::models::vit::{ForwardOptions, Positions, StackCache, Vit};
use crate::params;
use ndarray::{Array2, ArrayView2, ArrayView4, Axis};

params! {
    /// A trunk with fixed positions that sees every patch, and the norm of its class token's row.
    pub struct Trunk {
        first {
            /// Patch embedding, class token, positions, blocks.
            vit: Vit<F>,
        }
        flat {
            /// Takes the class token's row and normalises it; `norm` in a checkpoint.
            pool: PoolNorm<F>,
        }
        plain {
            /// Whether the patch projection gets no gradient.
            stop_grad_conv1: bool,
        }
    }
}

/// What [`Trunk::backward`] needs.
#[must_use]
pub struct TrunkCache<F> {
    /// If the patch projection is trained.
    patch_embed: Option<PatchEmbedCache<F>>,
    blocks: StackCache<F>,
    norm: PoolNormCache<F>,
}

impl<F: Real> Trunk<F> {
    /// All zeros but the fixed positions.
    #[must_use]
    pub fn new(c: &MocoConfig) -> Self {
        let norm = LayerNorm::new(c.vit.embed_dim, c.vit.layer_norm_eps);
        Self {
            vit: Vit::new(&c.vit, Positions::Fixed),
            pool: PoolNorm { pooling: Pooling::Class, norm },
            stop_grad_conv1: c.stop_grad_conv1,
        }
    }

    /// `images: [B, C, H, W] → features: [B, D]`, with the cache for the backward pass.
    pub fn forward(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> (Array2<F>, TrunkCache<F>) {
        // Every block is trained either way; what comes before them only if all is.
        let frozen = self.stop_grad_conv1.then_some(self.vit.blocks.len());
        self.forward_with(images, &ForwardOptions { tune_blocks: frozen, ..ForwardOptions::default() }, cx)
    }

    /// As [`Trunk::forward`], keeping nothing for a backward pass: memory does not grow with the depth.
    pub fn infer(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        let (features, cache) = self.forward_with(images, &ForwardOptions::inference(), cx);
        cache.norm.recycle(cx);
        features
    }

    fn forward_with(
        &self,
        images: ArrayView4<F>,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, TrunkCache<F>) {
        let (mut patches, patch_embed) = self.vit.embed(images, o, cx);
        self.vit.add_positions(&mut patches);
        let (all, tokens) = (self.vit.every_patch(), self.vit.config.tokens());
        let x = self.vit.tokens(&patches, |_| &all, cx);
        cx.recycle(patches);
        let rows = self.pool.pooling.rows(images.len_of(Axis(0)), tokens, cx);
        let o = ForwardOptions { rows: rows.as_deref(), ..*o };
        let (encoded, blocks) = self.vit.encode(x, tokens, &o, cx);
        let (features, norm) = self.pool.forward(encoded.x, images.len_of(Axis(0)), cx);
        (features, TrunkCache { patch_embed, blocks, norm })
    }

    /// Adds the gradient of everything but a frozen patch projection; returns the gradient with respect to the patch
    /// embedding's output, `[B·L, D]`.
    pub fn backward(
        &self,
        cache: TrunkCache<F>,
        dfeatures: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dx = self.pool.backward(cache.norm, dfeatures, &mut grad.pool, cx);
        let dx = self.vit.encode_backward(cache.blocks, dx, &[], &mut grad.vit, cx);
        let all = self.vit.every_patch();
        let dpatches = self.vit.tokens_backward(dx.view(), |_| &all, &mut grad.vit, cx);
        cx.recycle(dx);
        if let Some(patch_embed) = cache.patch_embed {
            self.vit.embed_backward(patch_embed, dpatches.view(), &mut grad.vit, cx);
        }
        dpatches
    }
}
