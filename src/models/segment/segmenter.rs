//! Segmentation as a whole: the trunk sees every patch, a head gives logits, every labelled pixel counts in the loss.

use super::config::SegmenterConfig;
use super::head::{Head, HeadCache, LowLogits};
use super::pixel_loss::PixelLoss;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::init::{self, init};
use crate::layers::patch_embed::PatchEmbedCache;
use crate::layers::pos_interp;
use crate::models::mae::Encoder;
use crate::models::pyramid::levels::STRIDES;
use crate::models::vit::{Encoded, ForwardOptions, Positions, StackCache, Vit};
use crate::params;
use crate::params::Params;
use ndarray::{Array2, Array3, ArrayView2, ArrayView4, Axis, s};

/// Standard deviation of the initial weights that give logits (that of `conv_seg` in mmsegmentation).
const CLASSIFY_STD: f64 = 0.01;

params! {
    /// A trunk whose positions are trained, without a norm behind its last block, and a head.
    pub struct Segmenter {
        first {
            /// Patch embedding, class token, positions, blocks.
            vit: Vit<F>,
        }
        flat {
            /// UperNet or linear.
            head: Head<F>,
        }
        plain {
            /// From the head's logits to the labels.
            pixels: PixelLoss<F>,
            /// From the auxiliary head's.
            auxiliary_pixels: PixelLoss<F>,
            /// The architecture.
            config: SegmenterConfig,
        }
    }
}

/// What [`Segmenter::backward`] needs: the caches of what is trained.
#[must_use]
pub struct SegmenterCache<F> {
    patch_embed: Option<PatchEmbedCache<F>>,
    blocks: StackCache<F>,
    head: HeadCache<F>,
}

/// Cross-entropies over the labelled pixels of some images: sums, whose denominator is the whole batch's number of such
/// pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SegmentLosses {
    /// Of the head that predicts.
    pub main: f64,
    /// Of the auxiliary head; 0 where there is none.
    pub auxiliary: f64,
}

impl SegmentLosses {
    /// `main + aux_weight · auxiliary`.
    #[must_use]
    pub fn total(&self, config: &SegmenterConfig) -> f64 {
        self.main + config.aux_weight * self.auxiliary
    }
}

impl<F: Real> Segmenter<F> {
    /// All zeros but the positions.
    #[must_use]
    pub fn new(config: &SegmenterConfig) -> Self {
        let auxiliary = config.img_size.map(|side| (side / STRIDES[2]).max(1));
        Self {
            vit: Vit::new(&config.vit(), Positions::Trained),
            head: Head::new(config),
            pixels: PixelLoss::new(config.logits_size(), config.img_size),
            auxiliary_pixels: PixelLoss::new(auxiliary, config.img_size),
            config: config.clone(),
        }
    }

    /// From scratch: the encoder that a masked autoencoder of this architecture and seed starts from, and a new head.
    #[must_use]
    pub fn initialised(config: &SegmenterConfig, seed: u64) -> Self {
        let mut encoder = Encoder::new(&config.vit());
        init(&mut encoder, seed);
        Self::from_encoder(&encoder, config, seed)
    }

    /// A pre-trained encoder and a new head. Positions are interpolated where the images have another size. The linear head
    /// takes over the encoder's `norm`, which normalised the same tokens in pre-training; UperNet has none there.
    ///
    /// # Panics
    /// If the encoder is of another architecture: [`crate::models::vit::VitConfig::fits`] says so in words.
    #[must_use]
    pub fn from_encoder(encoder: &Encoder<F>, config: &SegmenterConfig, seed: u64) -> Self {
        let (mut model, trunk) = (Self::new(config), &encoder.vit);
        config.vit().fits(&trunk.config).expect("an encoder of this architecture");
        init(&mut model, seed);
        for tensor in model.tensors_mut().into_iter().filter(|t| t.name.ends_with("classify.weight")) {
            init::normal(tensor.data, &tensor.name, CLASSIFY_STD, seed);
        }

        let positions = trunk.pos_embed.slice(s![0, .., ..]);
        let positions = pos_interp::interpolate(positions, trunk.config.grid(), config.vit().grid());
        model.vit.pos_embed = positions.insert_axis(Axis(0));
        model.vit.cls_token.clone_from(&trunk.cls_token);
        model.vit.patch_embed.clone_from(&trunk.patch_embed);
        model.vit.blocks.clone_from(&trunk.blocks);
        if let Head::Linear(head) = &mut model.head {
            head.norm.clone_from(&encoder.norm);
        }
        model
    }

    /// `images: [B, C, H, W]` to logits at the head's size, with the cache for the backward pass. The head decides which
    /// blocks are tapped.
    ///
    /// # Panics
    /// If drop path's factors are not those of as many blocks and images.
    pub fn forward(
        &self,
        images: ArrayView4<F>,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (LowLogits<F>, SegmenterCache<F>) {
        let tokens = self.vit.config.tokens();
        let (encoded, patch_embed, blocks) = self.encode(images, o, cx);
        let (logits, head) = self.head.forward(encoded, tokens, cx);
        (logits, SegmenterCache { patch_embed, blocks, head })
    }

    /// As [`Segmenter::forward`], for evaluation: the main logits at the head's size, nothing left out and nothing kept.
    pub fn infer(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        let tokens = self.vit.config.tokens();
        let (encoded, ..) = self.encode(images, &ForwardOptions::inference(), cx);
        self.head.infer(encoded, tokens, cx)
    }

    /// The trunk, with the blocks tapped that the head needs.
    fn encode(
        &self,
        images: ArrayView4<F>,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Encoded<F>, Option<PatchEmbedCache<F>>, StackCache<F>) {
        let o = ForwardOptions { taps: self.head.taps(), ..*o };
        let (mut patches, patch_embed) = self.vit.embed(images, &o, cx);
        self.vit.add_positions(&mut patches);
        let all = self.vit.every_patch();
        let x = self.vit.tokens(&patches, |_| &all, cx);
        cx.recycle(patches);
        let (encoded, blocks) = self.vit.encode(x, self.vit.config.tokens(), &o, cx);
        (encoded, patch_embed, blocks)
    }

    /// The logits of every pixel, `[B·H·W, K]`, for evaluation.
    pub fn logits(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        let low = self.infer(images, cx);
        let logits = self.pixels.resized(&low, cx);
        cx.recycle(low);
        logits
    }

    /// The class of every pixel, `[B, H, W]`, without their logits ever being in memory.
    pub fn predict(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array3<u8> {
        let low = self.infer(images, cx);
        let classes = self.pixels.predict(&low, cx);
        cx.recycle(low);
        classes
    }

    /// The losses of some images of a batch with `labelled` labelled pixels in all, and their gradients with respect to the
    /// logits: of `Σ (main + aux_weight · auxiliary) / labelled`.
    ///
    /// # Panics
    /// If there is no label map for each image, or a label is neither a class nor ignored.
    pub fn losses(
        &self,
        logits: &LowLogits<F>,
        labels: &[ArrayView2<u8>],
        labelled: usize,
        cx: &mut Exec<F>,
    ) -> (SegmentLosses, LowLogits<F>) {
        // Nothing is labelled  ⇒  nothing is lost, whatever the denominator
        let scale = 1.0 / labelled.max(1) as f64;
        let (main, dmain) = self.pixels.sum_and_gradient(&logits.main, labels, F::of(scale), cx);
        let mut losses = SegmentLosses { main, auxiliary: 0.0 };
        let dauxiliary = logits.auxiliary.as_ref().map(|logits| {
            let scale = F::of(self.config.aux_weight * scale);
            let (sum, dlogits) = self.auxiliary_pixels.sum_and_gradient(logits, labels, scale, cx);
            losses.auxiliary = sum;
            dlogits
        });
        (losses, LowLogits { main: dmain, auxiliary: dauxiliary })
    }

    /// Adds the gradient of everything that is trained. Returns the gradient with respect to the patch embedding's output,
    /// `[B·L, D]`, if that is trained.
    pub fn backward(
        &self,
        cache: SegmenterCache<F>,
        dlogits: &LowLogits<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Option<Array2<F>> {
        let SegmenterCache { patch_embed, blocks, head } = cache;
        let tokens = self.vit.config.tokens();
        let (dx, dtaps) = self.head.backward(head, dlogits, tokens, &mut grad.head, cx);
        let dx = self.vit.encode_backward(blocks, dx, &dtaps, &mut grad.vit, cx);
        for dtap in dtaps {
            cx.recycle(dtap);
        }
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

    /// A chunk of a batch, there and back: the losses of its images, and the gradient of `Σ (main + aux_weight · auxiliary) /
    /// labelled` added to `grad`; `labelled` is the number of labelled pixels of the whole batch.
    pub fn loss_and_gradient(
        &self,
        images: ArrayView4<F>,
        labels: &[ArrayView2<u8>],
        labelled: usize,
        o: &ForwardOptions<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> SegmentLosses {
        let (logits, cache) = self.forward(images, o, cx);
        let (losses, dlogits) = self.losses(&logits, labels, labelled, cx);
        if let Some(dpatches) = self.backward(cache, &dlogits, grad, cx) {
            cx.recycle(dpatches);
        }
        for LowLogits { main, auxiliary } in [logits, dlogits] {
            cx.recycle(main);
            if let Some(logits) = auxiliary {
                cx.recycle(logits);
            }
        }
        losses
    }
}
