//! The loss: mean squared error per removed patch, against pixels or per-patch normalised pixels.

use super::masking::Masks;
use super::patchify::{patchify, unpatchify};
use crate::base::Real;
use crate::exec::kernel::{self, Kernel};
use crate::exec::{Exec, row_blocks, rows};
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
            normalise(&mut target, cx);
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

/// `x ← (x − μ) / √(s² + 1e-6)` in each row of `patches: [R, P]`, `s²` with divisor `P − 1`.
pub fn normalise<F: Real>(patches: &mut Array2<F>, cx: &Exec<F>) {
    let len = patches.ncols();
    cx.rows(row_blocks::of_mut(patches), Normalise { len });
}

/// A patch's mean and `√(s² + 1e-6)`, `s²` with divisor `P − 1`: what `norm_pix_loss` takes out.
#[inline(always)]
pub fn patch_stats<F: Real>(patch: &[F]) -> (F, F) {
    let n = F::of(patch.len() as f64);
    let mean = rows::sum(patch) / n;
    let variance = rows::sum_of(patch, |x| (x - mean) * (x - mean)) / (n - F::one());
    (mean, (variance + F::of(TARGET_EPS)).sqrt())
}

/// `x ← (x − μ) / √(s² + 1e-6)` in each patch of `len` values.
struct Normalise {
    len: usize,
}

impl<F: Real> Kernel<&mut [F]> for Normalise {
    #[inline(always)]
    fn run(&self, patches: &mut [F]) {
        for patch in patches.chunks_exact_mut(self.len) {
            let (mean, std) = patch_stats(patch);
            for x in patch {
                *x = (*x - mean) / std;
            }
        }
    }
}

/// `[B·L]`: the mean over the pixels of `(pred − target)²`, for all patches.
pub fn loss_per_patch<F: Real>(pred: &Array2<F>, target: &Array2<F>) -> Array1<F> {
    let mut loss = Array1::zeros(pred.nrows());
    let (pred, target, len) = (row_major(pred), row_major(target), pred.ncols());
    let loss_rows = loss.as_slice_mut().expect("contiguous");
    kernel::widest(&MeanSquares { len }, LossRows { pred, target, loss: loss_rows });
    loss
}

fn row_major<F>(x: &Array2<F>) -> &[F] {
    x.as_slice().expect("activations are row-major")
}

/// The mean of `(pred − target)²` in each patch of `len` values.
struct MeanSquares {
    len: usize,
}

/// Patches, and the loss of each to be written.
struct LossRows<'a, F> {
    pred: &'a [F],
    target: &'a [F],
    loss: &'a mut [F],
}

impl<F: Real> Kernel<LossRows<'_, F>> for MeanSquares {
    #[inline(always)]
    fn run(&self, block: LossRows<F>) {
        let n = F::of(self.len as f64);
        for (l, loss) in block.loss.iter_mut().enumerate() {
            let (pred, target) =
                (&block.pred[l * self.len..][..self.len], &block.target[l * self.len..][..self.len]);
            *loss = rows::sum_of_two(pred, target, |p, t| (p - t) * (p - t)) / n;
        }
    }
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
    let len = pred.ncols();
    let scale = F::of(2.0 / (len * removed_in_batch) as f64);
    let removed: Vec<bool> = removed(masks).collect();
    let inputs = row_blocks::of(pred).zip(row_blocks::of(target)).zip(removed.chunks(row_blocks::ROWS));
    let rows = row_blocks::of_mut(&mut dpred)
        .zip(inputs)
        .map(|(dpred, ((pred, target), removed))| BackwardRows { dpred, pred, target, removed });
    cx.rows(rows, Backward { len, scale });
    dpred
}

struct Backward<F> {
    len: usize,
    scale: F,
}

/// A block of patches, and whether each was removed.
struct BackwardRows<'a, F> {
    dpred: &'a mut [F],
    pred: &'a [F],
    target: &'a [F],
    removed: &'a [bool],
}

impl<F: Real> Kernel<BackwardRows<'_, F>> for Backward<F> {
    #[inline(always)]
    fn run(&self, block: BackwardRows<F>) {
        for (l, &removed) in block.removed.iter().enumerate() {
            let (pred, target) =
                (&block.pred[l * self.len..][..self.len], &block.target[l * self.len..][..self.len]);
            let dpred = &mut block.dpred[l * self.len..][..self.len];
            if removed {
                for ((d, &p), &t) in dpred.iter_mut().zip(pred).zip(target) {
                    *d = self.scale * (p - t);
                }
            } else {
                dpred.fill(F::zero());
            }
        }
    }
}

/// Whether each patch of the batch is removed, image by image.
fn removed(masks: &Masks) -> impl Iterator<Item = bool> + '_ {
    masks.iter().flat_map(|mask| (0..mask.ids_shuffle.len()).map(|l| mask.removes(l)))
}
