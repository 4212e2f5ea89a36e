//! Mixup and cutmix: each image of a batch is mixed with the one at the same place from the batch's end, and its
//! target with the same weights.
//!
//! ```text
//! mixup   x_b ← λ x_b + (1 − λ) x_{B−1−b}                          Zhang et al. 2018, λ ~ Beta(α, α)
//! cutmix  x_b ← x_{B−1−b} inside of a box, x_b outside             Yun et al. 2019, 1 − λ = the box's fraction
//! both    q_b ← λ q_b + (1 − λ) q_{B−1−b}
//! ```
//!
//! One λ, and one box, holds for the whole batch: `Mixup` of `timm` in its mode "batch", which the reference
//! fine-tunes with.

use ndarray::{Array2, Array4, Axis, Slice};
use rand::Rng;
use rand_distr::{Beta, Distribution};
use rayon::prelude::*;

use super::resample::CropBox;
use crate::base::rng::{Purpose, below, rng, uniform};
use crate::base::{Error, Real, Result};

/// How often batches are mixed, and how strongly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixing {
    /// `α` of mixup's λ; 0 never takes mixup.
    pub mixup_alpha: f64,
    /// `α` of cutmix's λ; 0 never takes cutmix.
    pub cutmix_alpha: f64,
    /// The fraction of batches that are mixed.
    pub prob: f64,
    /// If both are possible: the fraction of mixed batches that take cutmix.
    pub switch_prob: f64,
}

impl Mixing {
    /// The reference's in fine-tuning: mixup with 0.8, cutmix with 1, half of the batches each.
    pub const REFERENCE: Self = Self { mixup_alpha: 0.8, cutmix_alpha: 1.0, prob: 1.0, switch_prob: 0.5 };

    /// Checks the numbers.
    ///
    /// # Errors
    /// If one is no parameter of a beta distribution, or no probability; the message names its key.
    pub fn check(&self) -> Result<()> {
        for (key, alpha) in [("mixup_alpha", self.mixup_alpha), ("cutmix_alpha", self.cutmix_alpha)] {
            if !(alpha >= 0.0 && alpha.is_finite()) {
                return Err(Error::setting(format!("augment.{key}"), "0 (never) or more", alpha));
            }
        }
        for (key, prob) in [("mix_prob", self.prob), ("mix_switch_prob", self.switch_prob)] {
            if !(0.0..=1.0).contains(&prob) {
                return Err(Error::setting(format!("augment.{key}"), "0 to 1", prob));
            }
        }
        Ok(())
    }

    /// Whether any batch can be mixed.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.prob > 0.0 && (self.mixup_alpha > 0.0 || self.cutmix_alpha > 0.0)
    }

    /// What happens to batch `batch` of an epoch of images of `height × width`: a function of these and the seed.
    #[must_use]
    pub fn draw(&self, height: usize, width: usize, seed: u64, epoch: u64, batch: u64) -> Mix {
        let rng = &mut rng(seed, Purpose::Mix, epoch, batch);
        let (mixup, cutmix) = (self.mixup_alpha > 0.0, self.cutmix_alpha > 0.0);
        if uniform(rng) >= self.prob || !(mixup || cutmix) {
            return Mix::None;
        }
        if cutmix && (!mixup || uniform(rng) < self.switch_prob) {
            Mix::Cutmix(cutmix_box(height, width, beta(self.cutmix_alpha, rng), rng), height * width)
        } else {
            Mix::Mixup(beta(self.mixup_alpha, rng))
        }
    }
}

/// `λ ~ Beta(α, α)`.
fn beta(alpha: f64, rng: &mut impl Rng) -> f64 {
    Beta::new(alpha, alpha).expect("a positive parameter").sample(rng)
}

/// A box of about `1 − λ` of the image around a random pixel; what reaches out of the image is cut off.
///
/// Its sides are those of the image times `√(1 − λ)`, truncated; an odd side has its larger half behind the pixel.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ √(1 − λ) ≤ 1")]
fn cutmix_box(height: usize, width: usize, lambda: f64, rng: &mut impl Rng) -> CropBox {
    let mut span = |side: usize| {
        let cut = (side as f64 * (1.0 - lambda).sqrt()) as usize;
        let centre = below(rng, side);
        let (start, end) = (centre.saturating_sub(cut / 2), (centre + cut.div_ceil(2)).min(side));
        (start, end - start)
    };
    let ((top, height), (left, width)) = (span(height), span(width));
    CropBox { top, left, height, width }
}

/// What happens to one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// Nothing.
    None,
    /// Mixup with this λ.
    Mixup(f64),
    /// Cutmix in this box of an image of so many pixels.
    Cutmix(CropBox, usize),
}

impl Mix {
    /// The fraction of an image that stays its own, `λ`; of cutmix exactly what is outside of the box.
    #[must_use]
    pub fn lambda(&self) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Mixup(lambda) => *lambda,
            Self::Cutmix(cut, pixels) => 1.0 - (cut.height * cut.width) as f64 / *pixels as f64,
        }
    }

    /// Mixes the images `[B, C, H, W]` of a batch, in place. The middle one of an odd number stays as it is.
    ///
    /// # Panics
    /// If the images are not in standard order, or smaller than the box.
    pub fn images(&self, images: &mut Array4<f32>) {
        let (batch, channels, height, width) = images.dim();
        let size = channels * height * width;
        let pixels = images.as_slice_mut().expect("images in standard order");
        let (front, back) = pixels.split_at_mut(batch / 2 * size);
        // Pairs (0, B − 1), (1, B − 2), …: each is a task of its own and writes nothing but its two images.
        let pairs = front.par_chunks_mut(size.max(1)).zip(back.par_rchunks_mut(size.max(1)));
        pairs.for_each(|(one, other)| match self {
            Self::None => {}
            Self::Mixup(lambda) => mixup(*lambda, one, other),
            Self::Cutmix(cut, _) => swap_inside(*cut, (height, width), one, other),
        });
    }

    /// Mixes the target distributions `[B, K]` of a batch: `q_b ← λ q_b + (1 − λ) q_{B−1−b}`. Rows that sum to 1
    /// still do.
    #[must_use]
    pub fn targets<F: Real>(&self, targets: &Array2<F>) -> Array2<F> {
        let reversed = targets.slice_axis(Axis(0), Slice::from(..).step_by(-1));
        targets * F::of(self.lambda()) + &reversed * F::of(1.0 - self.lambda())
    }
}

/// `(x, y) ← (λ x + (1 − λ) y, λ y + (1 − λ) x)`.
fn mixup(lambda: f64, one: &mut [f32], other: &mut [f32]) {
    let (own, others) = (f32::of(lambda), f32::of(1.0 - lambda));
    for (x, y) in one.iter_mut().zip(other) {
        (*x, *y) = (own * *x + others * *y, own * *y + others * *x);
    }
}

/// Swaps what two images `[C, H, W]` have inside of the box.
fn swap_inside(cut: CropBox, (height, width): (usize, usize), one: &mut [f32], other: &mut [f32]) {
    let planes = one.chunks_exact_mut(height * width).zip(other.chunks_exact_mut(height * width));
    for (one, other) in planes {
        for row in cut.top..cut.top + cut.height {
            let columns = row * width + cut.left..row * width + cut.left + cut.width;
            one[columns.clone()].swap_with_slice(&mut other[columns]);
        }
    }
}
