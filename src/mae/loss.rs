//! The loss: mean squared error per removed patch, against pixels or per-patch normalised pixels.

use super::masking::Masks;
use super::patchify::{patchify, unpatchify};
use crate::base::Real;
use crate::exec::Exec;
use ndarray::{Array1, Array2, Array4, ArrayView4, Zip};

/// Added to a patch's variance before the root (the reference's `1e-6`).
pub const TARGET_EPS: f64 = 1e-6;

/// What the decoder should predict: the pixels of each patch, or with `norm_pix_loss` the pixels with the
/// patch's own mean and standard deviation taken out (He et al. 2022, §3, "Reconstruction target").
#[derive(Clone, Copy, Debug)]
pub struct PixelTarget {
    /// Patch side.
    pub patch_size: usize,
    /// Whether each patch is normalised.
    pub norm_pix_loss: bool,
}

impl PixelTarget {
    /// `images: [B, C, H, W] → target: [B·L, P]`; normalised `(x − μ) / √(s² + 1e-6)`, `s²` with divisor
    /// `P − 1`.
    pub fn target<F: Real>(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        let mut target = patchify(images, self.patch_size, cx);
        if self.norm_pix_loss {
            for mut patch in target.outer_iter_mut() {
                let (mean, std) = patch_stats(patch.as_slice().expect("patches are row-major"));
                patch.mapv_inplace(|x| (x - mean) / std);
            }
        }
        target
    }

    /// The gradient with respect to the images through the target alone, from `dtarget: [B·L, P]`.
    ///
    /// Normalised: `dx = (dt − mean(dt) − t · Σ(dt ⊙ t) / (P − 1)) / √(s² + 1e-6)`.
    pub fn images_gradient<F: Real>(
        &self,
        images: ArrayView4<F>,
        mut dtarget: Array2<F>,
        cx: &mut Exec<F>,
    ) -> Array4<F> {
        let (_, c, h, w) = images.dim();
        if self.norm_pix_loss {
            let pixels = patchify(images, self.patch_size, cx);
            for (mut dt, x) in dtarget.outer_iter_mut().zip(pixels.outer_iter()) {
                let (mean, std) = patch_stats(x.as_slice().expect("patches are row-major"));
                let n = F::of(x.len() as f64);
                let dt_mean = dt.sum() / n;
                let t = x.mapv(|x| (x - mean) / std);
                let along = (&dt * &t).sum() / (n - F::one());
                Zip::from(&mut dt).and(&t).for_each(|dt, &t| *dt = (*dt - dt_mean - t * along) / std);
            }
        }
        unpatchify(dtarget.view(), (c, h, w), self.patch_size)
    }
}

/// A patch's mean and `√(s² + 1e-6)`, `s²` with divisor `P − 1`: what `norm_pix_loss` takes out.
pub fn patch_stats<F: Real>(patch: &[F]) -> (F, F) {
    let n = F::of(patch.len() as f64);
    let mean = patch.iter().copied().sum::<F>() / n;
    let variance = patch.iter().map(|&x| (x - mean) * (x - mean)).sum::<F>() / (n - F::one());
    (mean, (variance + F::of(TARGET_EPS)).sqrt())
}

/// `[B·L]`: the mean over the pixels of `(pred − target)²`, for all patches.
pub fn loss_per_patch<F: Real>(pred: &Array2<F>, target: &Array2<F>) -> Array1<F> {
    let n = F::of(pred.ncols() as f64);
    Zip::from(pred.rows())
        .and(target.rows())
        .map_collect(|p, t| Zip::from(p).and(t).fold(F::zero(), |sum, &p, &t| sum + (p - t) * (p - t)) / n)
}

/// `Σ loss_per_patch · mask`: the sum over the removed patches of these images, in f64.
///
/// A sum and not a mean: the denominator is the number of removed patches of the whole batch, so that a
/// loss does not depend on how the batch was cut into chunks.
pub fn masked_sum<F: Real>(loss_per_patch: &Array1<F>, masks: &Masks) -> f64 {
    removed(masks).zip(loss_per_patch).filter(|(removed, _)| *removed).map(|(_, loss)| loss.f64()).sum()
}

/// `dpred = 2 (pred − target) · mask / (P · removed_in_batch)`.
pub fn backward<F: Real>(
    pred: &Array2<F>,
    target: &Array2<F>,
    masks: &Masks,
    removed_in_batch: usize,
    cx: &mut Exec<F>,
) -> Array2<F> {
    let mut dpred = cx.take(pred.nrows(), pred.ncols());
    let scale = F::of(2.0 / (pred.ncols() * removed_in_batch) as f64);
    for (((mut dpred, pred), target), removed) in
        dpred.outer_iter_mut().zip(pred.outer_iter()).zip(target.outer_iter()).zip(removed(masks))
    {
        if removed {
            Zip::from(&mut dpred).and(pred).and(target).for_each(|d, &p, &t| *d = scale * (p - t));
        } else {
            dpred.fill(F::zero());
        }
    }
    dpred
}

/// Whether each patch of the batch is removed, image by image.
fn removed(masks: &Masks) -> impl Iterator<Item = bool> + '_ {
    masks.iter().flat_map(|mask| (0..mask.ids_shuffle.len()).map(|l| mask.removes(l)))
}
