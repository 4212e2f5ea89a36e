//! The encoder: a Vision Transformer that sees only the patches that were kept.

use super::masking::Masks;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::LayerNorm;
use crate::layers::layer_norm::LayerNormCache;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::models::vit::{ForwardOptions, Positions, StackCache, Vit, VitConfig};
use crate::params;
use ndarray::{Array2, ArrayView2, ArrayView4};

params! {
    /// A trunk with fixed positions, and a norm of all its tokens.
    pub struct Encoder {
        first {
            /// Patch embedding, positions, class token, blocks.
            vit: Vit<F>,
        }
        layers {
            /// After the last block.
            norm: LayerNorm<F>,
        }
    }
}

/// What [`Encoder::backward`] needs.
#[must_use]
pub struct EncoderCache<F> {
    patch_embed: Option<PatchEmbedCache<F>>,
    blocks: StackCache<F>,
    norm: LayerNormCache<F>,
}

impl<F: Real> Encoder<F> {
    /// All zeros but the fixed positions.
    #[must_use]
    pub fn new(c: &VitConfig) -> Self {
        Self { vit: Vit::new(c, Positions::Fixed), norm: LayerNorm::new(c.embed_dim, c.layer_norm_eps) }
    }

    /// `images: [B, C, H, W] → latent: [B·(1 + K), D]`, `K` kept patches an image in `ids_keep` order
    /// behind the class token.
    pub fn forward(
        &self,
        images: ArrayView4<F>,
        masks: &Masks,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, EncoderCache<F>) {
        self.forward_with(images, masks, &ForwardOptions::default(), cx)
    }

    /// As [`Encoder::forward`], keeping nothing for a backward pass: memory does not grow with the depth.
    pub fn infer(&self, images: ArrayView4<F>, masks: &Masks, cx: &mut Exec<F>) -> Array2<F> {
        self.infer_rows(images, masks, None, cx)
    }

    /// As [`Encoder::infer`], `[M, D]`, for those rows alone that are named, if any are.
    pub fn infer_rows(
        &self,
        images: ArrayView4<F>,
        masks: &Masks,
        rows: Option<&[usize]>,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let o = ForwardOptions { rows, ..ForwardOptions::inference() };
        let (latent, cache) = self.forward_with(images, masks, &o, cx);
        cache.norm.recycle(cx);
        latent
    }

    fn forward_with(
        &self,
        images: ArrayView4<F>,
        masks: &Masks,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, EncoderCache<F>) {
        let (mut patches, patch_embed) = self.vit.embed(images, o, cx);
        // Positions before masking: a kept patch brings its place along.
        self.vit.add_positions(&mut patches);
        cx.trace("patch_embed_pos", &patches);
        let x = self.vit.tokens(&patches, |b| masks[b].ids_keep(), cx);
        cx.recycle(patches);
        let (encoded, blocks) = self.vit.encode(x, 1 + masks[0].len_keep, o, cx);
        let (latent, norm) = self.norm.forward(encoded.x, cx);
        cx.trace("latent", &latent);
        (latent, EncoderCache { patch_embed, blocks, norm })
    }

    /// Accumulates every gradient; returns the gradient with respect to the patch embedding's output,
    /// `[B·L, D]`, 0 for the patches that were removed.
    ///
    /// # Panics
    /// If the cache is not of [`Encoder::forward`].
    pub fn backward(
        &self,
        cache: EncoderCache<F>,
        masks: &Masks,
        dlatent: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dx = self.norm.backward(cache.norm, dlatent, &mut grad.norm, cx);
        let dx = self.vit.encode_backward(cache.blocks, dx, &[], &mut grad.vit, cx);
        let dpatches = self.vit.tokens_backward(dx.view(), |b| masks[b].ids_keep(), &mut grad.vit, cx);
        cx.recycle(dx);
        // Positions are added, so the gradient passes unchanged: both names stand for one tensor.
        cx.trace_gradient("patch_embed_pos", &dpatches);
        let patch_embed = cache.patch_embed.expect("forward trains everything");
        self.vit.embed_backward(patch_embed, dpatches.view(), &mut grad.vit, cx);
        dpatches
    }
}
