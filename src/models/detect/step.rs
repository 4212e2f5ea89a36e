//! The second half of a step: losses on what was sampled, and the gradient of everything.

use super::detector::{Detector, Forward};
use super::region_heads::RegionHeadsCache;
use super::rpn_head::RpnOutput;
use super::rpn_loss::rpn_losses;
use super::samples::{Denominators, DetectLosses, ImageSamples};
use crate::base::Real;
use crate::exec::Exec;
use ndarray::Array2;

/// What [`Detector::backward`] needs of the losses.
#[must_use]
pub struct LossCache<F> {
    drpn: RpnOutput<F>,
    heads: RegionHeadsCache<F>,
}

impl<F: Real> Detector<F> {
    /// The losses of some images of a batch, and the way back from them. Anchors and regions are constants.
    ///
    /// # Panics
    /// If there are no samples for each image, or an anchor or class is none.
    pub fn losses(
        &self,
        forward: &Forward<F>,
        samples: &[ImageSamples<F>],
        of: Denominators,
        cx: &mut Exec<F>,
    ) -> (DetectLosses, LossCache<F>) {
        let mut losses = DetectLosses::default();
        // Nothing is sampled  ⇒  nothing is lost, whatever the denominator
        let of = Denominators {
            anchors: of.anchors.max(1),
            regions: of.regions.max(1),
            foreground: of.foreground.max(1),
        };
        let scale = 1.0 / of.anchors as f64;
        let drpn = rpn_losses(&forward.rpn, &self.anchors, samples, scale, &mut losses, cx);
        let heads = self.heads.losses(&forward.maps, samples, of, &mut losses, cx);
        (losses, LossCache { drpn, heads })
    }

    /// Adds the gradient of everything that is trained. Returns the gradient with respect to the patch embedding's output,
    /// `[B·L, D]`, if that is trained.
    pub fn backward(
        &self,
        forward: Forward<F>,
        losses: LossCache<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Option<Array2<F>> {
        let Forward { maps, rpn, cache } = forward;
        for map in maps {
            cx.recycle(map);
        }
        rpn.recycle(cx);
        // A map went to the anchors and to the regions  ⇒  its gradient is the sum of both
        let mut dmaps = self.rpn.backward(cache.rpn, &losses.drpn, &mut grad.rpn, cx);
        losses.drpn.recycle(cx);
        self.heads.backward(losses.heads, &mut dmaps, &mut grad.heads, cx);
        let dlevels = self.fpn.backward(cache.fpn, dmaps, &mut grad.fpn, cx);
        let mut dtaps = self.pyramid.backward(cache.pyramid, dlevels, &mut grad.pyramid, cx);
        let dx = dtaps.pop().expect("of the last block");
        self.vit.encode_images_backward(cache.trunk, dx, dtaps, &mut grad.vit, cx)
    }

    /// The second half of a step on some images of a batch: their losses, and the gradient of [`DetectLosses::total`] added to
    /// `grad`.
    ///
    /// # Panics
    /// As [`Detector::losses`].
    pub fn loss_and_gradient(
        &self,
        forward: Forward<F>,
        samples: &[ImageSamples<F>],
        of: Denominators,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> DetectLosses {
        let (losses, cache) = self.losses(&forward, samples, of, cx);
        if let Some(dpatches) = self.backward(forward, cache, grad, cx) {
            cx.recycle(dpatches);
        }
        losses
    }
}
