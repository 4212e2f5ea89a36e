//! The masked autoencoder as a whole: forward, loss, backward.

use super::config::MaeConfig;
use super::decoder::{Decoder, DecoderCache};
use super::encoder::{Encoder, EncoderCache};
use super::loss::{self, PixelTarget};
use super::masking::Masks;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::init::init;
use crate::params;
use ndarray::{Array1, Array2, Array4, ArrayView4};

params! {
    /// Encoder and decoder; the tensors carry the reference's names without a prefix.
    pub struct Mae {
        flat {
            /// Sees what was kept.
            encoder: Encoder<F>,
            /// Predicts what was removed.
            decoder: Decoder<F>,
        }
        plain {
            /// The architecture.
            config: MaeConfig,
        }
    }
}

/// What a forward pass yields.
#[derive(Debug)]
pub struct MaeOutput<F> {
    /// `[B·L, P]`: the prediction for every patch, in the units of the target.
    pub pred: Array2<F>,
    /// `[B·L, P]`: what it should have been.
    pub target: Array2<F>,
    /// `[B·L]`: mean squared error of every patch, kept ones included.
    pub loss_per_patch: Array1<F>,
    /// `Σ` of the removed patches' losses; divide by the batch's number of removed patches.
    pub loss_sum: f64,
}

impl<F: Real> MaeOutput<F> {
    /// Gives the matrices back to the pool.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.pred);
        cx.recycle(self.target);
    }
}

/// What [`Mae::backward`] needs.
#[must_use]
pub struct MaeCache<F> {
    encoder: EncoderCache<F>,
    decoder: DecoderCache<F>,
}

impl<F: Real> Mae<F> {
    /// All zeros but the fixed positions.
    #[must_use]
    pub fn new(config: MaeConfig) -> Self {
        Self { encoder: Encoder::new(&config.vit()), decoder: Decoder::new(&config), config }
    }

    /// With the reference's initial values, drawn from `seed`.
    #[must_use]
    pub fn initialised(config: MaeConfig, seed: u64) -> Self {
        let mut model = Self::new(config);
        init(&mut model, seed);
        model
    }

    /// `images: [B, C, H, W]`, one mask an image.
    pub fn forward(
        &self,
        images: ArrayView4<F>,
        masks: &Masks,
        cx: &mut Exec<F>,
    ) -> (MaeOutput<F>, MaeCache<F>) {
        let (latent, encoder) = self.encoder.forward(images, masks, cx);
        let (pred, decoder) = self.decoder.forward(latent, masks, cx);
        (self.with_loss(pred, images, masks, cx), MaeCache { encoder, decoder })
    }

    /// As [`Mae::forward`], keeping nothing for a backward pass: memory does not grow with the depth.
    pub fn infer(&self, images: ArrayView4<F>, masks: &Masks, cx: &mut Exec<F>) -> MaeOutput<F> {
        let latent = self.encoder.infer(images, masks, cx);
        let pred = self.decoder.infer(latent, masks, cx);
        self.with_loss(pred, images, masks, cx)
    }

    /// A prediction with what it should have been, and the error of each patch.
    fn with_loss(
        &self,
        pred: Array2<F>,
        images: ArrayView4<F>,
        masks: &Masks,
        cx: &mut Exec<F>,
    ) -> MaeOutput<F> {
        let target = self.target().target(images, cx);
        let loss_per_patch = loss::loss_per_patch(&pred, &target);
        let loss_sum = loss::masked_sum(&loss_per_patch, masks);
        MaeOutput { pred, target, loss_per_patch, loss_sum }
    }

    /// Adds the gradient of `loss = Σ loss_sum / removed_in_batch` to `grad`; returns the gradient with
    /// respect to the patch embedding's output, from which [`Mae::images_gradient`] continues.
    pub fn backward(
        &self,
        cache: MaeCache<F>,
        output: &MaeOutput<F>,
        masks: &Masks,
        removed_in_batch: usize,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dpred = loss::backward(&output.pred, &output.target, masks, removed_in_batch, cx);
        cx.trace_gradient("pred", &dpred);
        let dlatent = self.decoder.backward(cache.decoder, masks, dpred.view(), &mut grad.decoder, cx);
        let dpatches = self.encoder.backward(cache.encoder, masks, dlatent.view(), &mut grad.encoder, cx);
        cx.recycle(dpred);
        cx.recycle(dlatent);
        dpatches
    }

    /// The gradient with respect to the images, for audits: `(through the network with the target held
    /// constant, through the target alone)`. The reference's graph has their sum.
    pub fn images_gradient(
        &self,
        images: ArrayView4<F>,
        output: &MaeOutput<F>,
        masks: &Masks,
        dpatches: &Array2<F>,
        cx: &mut Exec<F>,
    ) -> (Array4<F>, Array4<F>) {
        let network = self.encoder.vit.images_gradient(dpatches, cx);
        let removed = masks.iter().map(super::Mask::removed).sum();
        // loss = mean((pred − target)²)  ⇒  dtarget = −dpred
        let dtarget = -loss::backward(&output.pred, &output.target, masks, removed, cx);
        (network, self.target().images_gradient(images, dtarget, cx))
    }

    /// What the decoder predicts.
    #[must_use]
    pub fn target(&self) -> PixelTarget {
        self.config.target()
    }
}
