//! Segmentation as a whole: the trunk sees every patch, a head gives logits, every labelled pixel counts in the loss.

use super::config::SegmenterConfig;
use super::head::{Head, HeadCache, LowLogits};
use super::pixel_loss::PixelLoss;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::init::{self, init};
use crate::models::mae::Encoder;
use crate::models::pyramid::levels::STRIDES;
use crate::models::vit::{ForwardOptions, ImagesCache, Positions, Vit};
use crate::params;
use crate::params::Params;
use ndarray::{Array2, Array3, ArrayView2, ArrayView4};

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
    trunk: ImagesCache<F>,
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
        let mut model = Self::new(config);
        init(&mut model, seed);
        for tensor in model.tensors_mut().into_iter().filter(|t| t.name.ends_with("classify.weight")) {
            init::normal(tensor.data.write(), &tensor.name, CLASSIFY_STD, seed);
        }
        model.vit.take_over(&encoder.vit);
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
        let o = ForwardOptions { taps: self.head.taps(), ..*o };
        let (encoded, trunk) = self.vit.encode_images(images, &o, cx);
        let (logits, head) = self.head.forward(encoded, tokens, cx);
        (logits, SegmenterCache { trunk, head })
    }

    /// As [`Segmenter::forward`], for evaluation: the main logits at the head's size, nothing left out and nothing kept.
    pub fn infer(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        let tokens = self.vit.config.tokens();
        let o = ForwardOptions { taps: self.head.taps(), ..ForwardOptions::inference() };
        let (encoded, _) = self.vit.encode_images(images, &o, cx);
        self.head.infer(encoded, tokens, cx)
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
        let tokens = self.vit.config.tokens();
        let (dx, dtaps) = self.head.backward(cache.head, dlogits, tokens, &mut grad.head, cx);
        self.vit.encode_images_backward(cache.trunk, dx, dtaps, &mut grad.vit, cx)
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
