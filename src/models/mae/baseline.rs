//! What predictors that learn nothing reach: the yardstick beside every loss.

use super::loss::{PixelTarget, loss_per_patch, masked_sum};
use super::masking::{Mask, Masks};
use crate::base::Real;
use crate::exec::Exec;
use ndarray::{Array2, ArrayView2, ArrayView4, ArrayViewMut2, Axis};
use serde::Serialize;

/// The loss of three trivial predictions over the removed patches of some images: first sums, then, divided
/// by the number of removed patches, means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Baselines {
    /// Predicting 0 everywhere: the data set's mean colour, or under `norm_pix_loss` each patch's own mean,
    /// which gives (P − 1)/P.
    pub zero: f64,
    /// Predicting for every removed patch the mean of its image's visible patches, pixel by pixel.
    pub visible_mean: f64,
    /// Predicting for every removed patch a copy of the visible patch that [`nearest_visible`] names.
    pub nearest_visible: f64,
}

impl Baselines {
    /// Sums over `removed` patches as means.
    #[must_use]
    pub fn per_patch(self, removed: usize) -> Self {
        let n = removed as f64;
        Self {
            zero: self.zero / n,
            visible_mean: self.visible_mean / n,
            nearest_visible: self.nearest_visible / n,
        }
    }

    /// Each predictor's name and loss; the name completes "predicting …".
    #[must_use]
    pub fn named(&self, norm_pix_loss: bool) -> [(&'static str, f64); 3] {
        let zero = if norm_pix_loss { "each patch's own mean" } else { "the mean colour" };
        [
            (zero, self.zero),
            ("the mean of the visible patches", self.visible_mean),
            ("a copy of the nearest visible patch", self.nearest_visible),
        ]
    }
}

/// The visible patch whose centre is closest to that of patch `l` in a grid of `columns`; of several at the
/// same distance the one that comes first row by row.
#[must_use]
pub fn nearest_visible(mask: &Mask, columns: usize, l: usize) -> usize {
    let squared = |v: usize| {
        let (rows, across) = ((l / columns).abs_diff(v / columns), (l % columns).abs_diff(v % columns));
        rows * rows + across * across
    };
    let nearest = mask.ids_keep().iter().copied().min_by_key(|&v| (squared(v), v));
    nearest.expect("a mask keeps at least one patch")
}

/// The baselines on images `[B, C, H, W]` with their masks, as sums over the removed patches.
pub fn baselines<F: Real>(
    target: PixelTarget,
    images: ArrayView4<F>,
    masks: &Masks,
    cx: &mut Exec<F>,
) -> Baselines {
    let columns = images.dim().3 / target.patch_size;
    let target = target.target(images, cx);
    let mut pred = cx.zeros(target.nrows(), target.ncols());
    let zero = masked_sum(&loss_per_patch(&pred, &target), masks);
    let visible_mean = judge(&mut pred, &target, masks, |mut pred, target, mask| {
        let visible = target.select(Axis(0), mask.ids_keep());
        pred.assign(&(visible.sum_axis(Axis(0)) / F::of(mask.len_keep as f64)));
    });
    let nearest_visible = judge(&mut pred, &target, masks, |mut pred, target, mask| {
        for (l, mut patch) in pred.outer_iter_mut().enumerate() {
            patch.assign(&target.row(nearest_visible(mask, columns, l)));
        }
    });
    cx.recycle(target);
    cx.recycle(pred);
    Baselines { zero, visible_mean, nearest_visible }
}

/// The loss of what `predict(pred, target, mask)` writes for each image.
fn judge<F: Real>(
    pred: &mut Array2<F>,
    target: &Array2<F>,
    masks: &Masks,
    predict: impl Fn(ArrayViewMut2<F>, ArrayView2<F>, &Mask),
) -> f64 {
    let patches = masks[0].ids_shuffle.len();
    let images = pred.axis_chunks_iter_mut(Axis(0), patches).zip(target.axis_chunks_iter(Axis(0), patches));
    for ((pred, target), mask) in images.zip(masks) {
        predict(pred, target, mask);
    }
    masked_sum(&loss_per_patch(pred, target), masks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Backend;
    use ndarray::Array4;

    /// Patches of one pixel, 2 rows of 3; visible are 1 (value 5) and 5 (value 9).
    ///
    /// ```text
    /// 1 [5] 2        distances: 0 → 1 (1); 2 → 1 and 5 both at 1, 1 comes first;
    /// 3  4 [9]                  3 → 1 (√2); 4 → 1 and 5 both at 1, 1 comes first
    /// ```
    #[test]
    fn the_trivial_predictors_are_those_of_a_calculation_by_hand() {
        let images = Array4::from_shape_vec((1, 1, 2, 3), vec![1.0, 5.0, 2.0, 3.0, 4.0, 9.0]).unwrap();
        let masks = [Mask::from_removed(&[true, false, true, true, true, false])];
        let target = PixelTarget { patch_size: 1, norm_pix_loss: false };
        let mut cx = Exec::<f64>::new(Backend::default());
        let sums = baselines(target, images.view(), &masks, &mut cx);
        assert_eq!(sums.zero, 1.0 + 4.0 + 9.0 + 16.0);
        assert_eq!(sums.visible_mean, 36.0 + 25.0 + 16.0 + 9.0);
        assert_eq!(sums.nearest_visible, 16.0 + 9.0 + 4.0 + 1.0);
        assert_eq!(sums.per_patch(4).nearest_visible, 7.5);
    }

    #[test]
    fn predicting_a_normalised_patchs_own_mean_gives_p_minus_1_over_p() {
        let images = Array4::from_shape_fn((2, 1, 8, 8), |(b, _, y, x)| (b * 7 + y * x * x % 11) as f64);
        let masks = [0, 1].map(|b| Mask::from_removed(&[b == 0, true, b == 1, false]));
        let target = PixelTarget { patch_size: 4, norm_pix_loss: true };
        let mut cx = Exec::<f64>::new(Backend::default());
        let zero = baselines(target, images.view(), &masks, &mut cx).per_patch(4).zero;
        assert!((zero - 15.0 / 16.0).abs() < 1e-6, "{zero}");
    }
}
