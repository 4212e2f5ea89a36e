//! BEiT-style masked image modelling as a whole: forward, loss, backward.

use super::config::BeitConfig;
use super::mask_token::MaskToken;
use super::masked_head::{MaskedHead, MaskedHeadCache, rows_of_masked};
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::LayerNorm;
use crate::layers::init::init;
use crate::layers::layer_norm::LayerNormCache;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::models::classify::cross_entropy;
use crate::models::vit::{ForwardOptions, Positions, StackCache, Vit};
use crate::params;
use ndarray::{Array2, ArrayView4};

params! {
    /// A trunk with fixed positions that sees all patches, masked ones as mask tokens; a norm; a head on what was masked.
    ///
    /// Differs from the original (microsoft/unilm), which has layer scale and a bias for relative positions, no absolute
    /// positions, and no bias for keys.
    pub struct Beit {
        first {
            /// Patch embedding, positions, class token, blocks.
            vit: Vit<F>,
        }
        layers {
            /// After the last block.
            norm: LayerNorm<F>,
        }
        flat {
            /// Replaces what is masked.
            mask: MaskToken<F>,
            /// Says which tokens it was.
            head: MaskedHead<F>,
        }
        plain {
            /// The architecture.
            config: BeitConfig,
        }
    }
}

/// What a forward pass yields, of the `M` masked patches in row-major order of (image, patch).
#[derive(Debug)]
pub struct BeitOutput<F> {
    /// `[M, V]`.
    pub logits: Array2<F>,
    /// `[M]`: their tokens.
    pub labels: Vec<usize>,
    /// `Σ` of the cross-entropies; divide by the batch's number of masked patches.
    pub loss_sum: f64,
}

impl<F: Real> BeitOutput<F> {
    /// How many labels have the largest logit; of equal ones the lowest token counts.
    #[must_use]
    pub fn hits(&self) -> usize {
        predictions(&self.logits).zip(&self.labels).filter(|(token, label)| token == *label).count()
    }
}

/// The token with the largest logit of each row; of equal ones the lowest.
pub fn predictions<F: Real>(logits: &Array2<F>) -> impl Iterator<Item = usize> + '_ {
    logits.outer_iter().map(|row| {
        let better = |best: usize, (token, logit): (usize, &F)| if *logit > row[best] { token } else { best };
        row.iter().enumerate().fold(0, better)
    })
}

/// What [`Beit::backward`] needs.
#[must_use]
pub struct BeitCache<F> {
    patch_embed: Option<PatchEmbedCache<F>>,
    blocks: StackCache<F>,
    norm: LayerNormCache<F>,
    head: MaskedHeadCache<F>,
}

impl<F: Real> Beit<F> {
    /// All zeros but the fixed positions.
    #[must_use]
    pub fn new(config: &BeitConfig) -> Self {
        let (vit, width) = (&config.vit, config.vit.embed_dim);
        Self {
            vit: Vit::new(vit, Positions::Fixed),
            norm: LayerNorm::new(width, vit.layer_norm_eps),
            mask: MaskToken::new(width),
            head: MaskedHead::new(width, config.vocab_size),
            config: config.clone(),
        }
    }

    /// With initial values drawn from `seed`; the trunk starts as a masked autoencoder's of this architecture and seed does.
    #[must_use]
    pub fn initialised(config: &BeitConfig, seed: u64) -> Self {
        let mut model = Self::new(config);
        init(&mut model, seed);
        model
    }

    /// `images: [B, C, H, W]`; `masked` and `ids`, `[B·L]`, say of each patch whether it is masked and its token.
    pub fn forward(
        &self,
        images: ArrayView4<F>,
        masked: &[bool],
        ids: &[usize],
        cx: &mut Exec<F>,
    ) -> (BeitOutput<F>, BeitCache<F>) {
        let (logits, cache) = self.forward_with(images, masked, &ForwardOptions::default(), cx);
        (self.with_loss(logits, masked, ids), cache)
    }

    /// As [`Beit::forward`], keeping nothing for a backward pass: memory does not grow with the depth.
    pub fn infer(
        &self,
        images: ArrayView4<F>,
        masked: &[bool],
        ids: &[usize],
        cx: &mut Exec<F>,
    ) -> BeitOutput<F> {
        let (logits, cache) = self.forward_with(images, masked, &ForwardOptions::inference(), cx);
        cache.norm.recycle(cx);
        cache.head.recycle(cx);
        self.with_loss(logits, masked, ids)
    }

    fn forward_with(
        &self,
        images: ArrayView4<F>,
        masked: &[bool],
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, BeitCache<F>) {
        let (patches, patch_embed) = self.vit.embed(images, o, cx);
        // Replaced before positions are added: a mask token knows where it stands.
        let mut x = self.mask.forward(patches, masked);
        cx.trace("replaced", &x);
        self.vit.add_positions(&mut x);
        let (every, tokens) = (self.vit.every_patch(), self.config.vit.tokens());
        let input = self.vit.tokens(&x, |_| &every, cx);
        cx.recycle(x);
        let rows = rows_of_masked(masked, tokens);
        // Taken in the last block, so that it computes no others, or, where those are looked at, by the head.
        let (early, late) = if cx.is_traced() { (None, Some(&*rows)) } else { (Some(&*rows), None) };
        let (encoded, blocks) = self.vit.encode(input, tokens, &ForwardOptions { rows: early, ..*o }, cx);
        let (normed, norm) = self.norm.forward(encoded.x, cx);
        cx.trace("norm", &normed);
        let (logits, head) = self.head.forward(normed, late, cx);
        cx.trace("logits", &logits);
        (logits, BeitCache { patch_embed, blocks, norm, head })
    }

    fn with_loss(&self, logits: Array2<F>, masked: &[bool], ids: &[usize]) -> BeitOutput<F> {
        assert_eq!(masked.len(), ids.len(), "a token for every patch");
        let labels: Vec<usize> = (0..ids.len()).filter(|&l| masked[l]).map(|l| ids[l]).collect();
        let loss_sum = cross_entropy::sum(&logits, &self.targets(&labels));
        BeitOutput { logits, labels, loss_sum }
    }

    /// Adds the gradient of `loss = Σ loss_sum / masked_in_batch` to `grad`; returns the gradient with respect to the patch
    /// embedding's output, `[B·L, D]`, 0 for masked patches.
    ///
    /// The denominator is the number of masked patches of the whole batch, whatever their number in each image.
    pub fn backward(
        &self,
        cache: BeitCache<F>,
        output: &BeitOutput<F>,
        masked: &[bool],
        masked_in_batch: usize,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let BeitCache { patch_embed, blocks, norm, head } = cache;
        let every = self.vit.every_patch();
        let targets = self.targets(&output.labels);
        let dlogits = cross_entropy::backward(&output.logits, &targets, masked_in_batch);
        cx.trace_gradient("logits", &dlogits);
        let dnormed = self.head.backward(head, dlogits.view(), &mut grad.head, cx);
        cx.trace_gradient("norm", &dnormed);
        let dx = self.norm.backward(norm, dnormed.view(), &mut grad.norm, cx);
        cx.recycle(dnormed);
        let dx = self.vit.encode_backward(blocks, dx, &[], &mut grad.vit, cx);
        let dreplaced = self.vit.tokens_backward(dx.view(), |_| &every, &mut grad.vit, cx);
        cx.recycle(dx);
        // Positions are added, so the gradient passes them unchanged.
        cx.trace_gradient("replaced", &dreplaced);
        let dpatches = MaskToken::backward(masked, dreplaced, &mut grad.mask);
        let patch_embed = patch_embed.expect("forward trains everything");
        self.vit.embed_backward(patch_embed, dpatches.view(), &mut grad.vit, cx);
        dpatches
    }

    fn targets(&self, labels: &[usize]) -> Array2<F> {
        cross_entropy::targets(labels, self.config.vocab_size, 0.0)
    }
}
