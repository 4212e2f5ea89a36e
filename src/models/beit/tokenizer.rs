//! The tokenizer: cuts images into patches and says of each which centroid of a codebook is the nearest.

use super::codebook::Codebook;
use crate::base::Real;
use crate::exec::Exec;
use crate::models::mae::loss::PixelTarget;
use ndarray::{Array2, ArrayView4};

/// A codebook of patches, as they are or each with its own mean and standard deviation taken out.
///
/// The paper's tokenizer is a discrete VAE, trained on 250 million images; this one can be made from the images at hand.
#[derive(Clone, Debug)]
pub struct Tokenizer<F> {
    /// The centroids, `[K, p·p·C]`.
    pub codebook: Codebook<F>,
    /// Side of a patch, and whether patches are normalised: `(x − μ) / √(s² + 1e-6)`, `s²` with divisor P − 1.
    pub patches: PixelTarget,
}

impl<F: Real> Tokenizer<F> {
    /// `images: [B, C, H, W] → [B·L, P]`: what is compared with the centroids.
    pub fn patches(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        self.patches.target(images, cx)
    }

    /// `images: [B, C, H, W] → [B·L]`: the token of each patch.
    pub fn ids(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Vec<usize> {
        let patches = self.patches(images, cx);
        let nearest = self.codebook.nearest(patches.view(), cx);
        cx.recycle(patches);
        nearest.ids
    }
}
