//! What predictors that learn nothing reach: the yardstick beside every loss.

use super::loss::{PixelTarget, loss_per_patch, masked_sum};
use super::masking::Masks;
use crate::base::Real;
use crate::exec::Exec;
use ndarray::{ArrayView4, Axis};

/// Sums, over the removed patches of these images, of the loss of two trivial predictions; divide both by
/// the number of removed patches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Baselines {
    /// Predicting 0 everywhere: the data set's mean colour, or under `norm_pix_loss` each patch's own mean,
    /// which gives (P − 1)/P.
    pub zero: f64,
    /// Predicting for every removed patch the mean of its image's visible patches, pixel by pixel.
    pub visible_mean: f64,
}

/// The baselines on images `[B, C, H, W]` with their masks.
pub fn baselines<F: Real>(
    target: PixelTarget,
    images: ArrayView4<F>,
    masks: &Masks,
    cx: &mut Exec<F>,
) -> Baselines {
    let target = target.target(images, cx);
    let mut pred = cx.zeros(target.nrows(), target.ncols());
    let zero = masked_sum(&loss_per_patch(&pred, &target), masks);
    let patches = masks[0].ids_shuffle.len();
    let images = target.axis_chunks_iter(Axis(0), patches).zip(pred.axis_chunks_iter_mut(Axis(0), patches));
    for ((target, mut pred), mask) in images.zip(masks) {
        let visible = target.select(Axis(0), mask.ids_keep());
        pred.assign(&(visible.sum_axis(Axis(0)) / F::of(mask.len_keep as f64)));
    }
    let visible_mean = masked_sum(&loss_per_patch(&pred, &target), masks);
    cx.recycle(target);
    cx.recycle(pred);
    Baselines { zero, visible_mean }
}
