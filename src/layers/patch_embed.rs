//! Patch embedding: a linear map of each `p × p` patch, stored as the convolution it is in the reference.

use super::linear::{Linear, LinearCache};
use crate::base::Real;
use crate::exec::Exec;
use crate::params::{Params, Tensor, TensorMut};
use ndarray::{Array2, Array4, ArrayView2, ArrayView4};

/// `token = W · patch + b` for every patch, in row-major patch order.
#[derive(Clone, Debug)]
pub struct PatchEmbed<F> {
    /// The convolution with kernel and stride `p`, seen as a matrix `[D, C·p·p]`.
    pub proj: Linear<F>,
    channels: usize,
    patch_size: usize,
}

/// What [`PatchEmbed::backward`] needs: the patches.
#[must_use]
pub struct PatchEmbedCache<F>(LinearCache<F>);

impl<F: Real> PatchEmbed<F> {
    /// All zeros.
    #[must_use]
    pub fn new(channels: usize, patch_size: usize, width: usize) -> Self {
        Self { proj: Linear::new(channels * patch_size * patch_size, width), channels, patch_size }
    }

    /// `images: [B, C, H, W] → tokens: [B·L, D]`.
    ///
    /// # Panics
    /// If the images do not fit the kernel.
    pub fn forward(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> (Array2<F>, PatchEmbedCache<F>) {
        let (b, c, h, w) = images.dim();
        let p = self.patch_size;
        assert!(c == self.channels && h % p == 0 && w % p == 0, "patches of {p} do not tile {h}×{w}×{c}");
        let mut patches = cx.take(b * (h / p) * (w / p), c * p * p);
        for (image, mut rows) in
            images.outer_iter().zip(patches.axis_chunks_iter_mut(ndarray::Axis(0), (h / p) * (w / p)))
        {
            for (patch, mut row) in image.exact_chunks((c, p, p)).into_iter().zip(rows.rows_mut()) {
                row.iter_mut().zip(patch).for_each(|(value, &pixel)| *value = pixel);
            }
        }
        let (tokens, cache) = self.proj.forward(patches, cx);
        (tokens, PatchEmbedCache(cache))
    }

    /// `dW += dyᵀ · patches`, `db += Σ dy`. The images are data: [`PatchEmbed::images_gradient`] gives
    /// their gradient to those who ask.
    pub fn backward(&self, cache: PatchEmbedCache<F>, dy: ArrayView2<F>, grad: &mut Self, cx: &mut Exec<F>) {
        self.proj.backward_weights(cache.0, dy, &mut grad.proj, cx);
    }

    /// `dimages: [B, C, H, W]` from `dy: [B·L, D]`: each patch receives `dy W`. For audits.
    pub fn images_gradient(
        &self,
        dy: ArrayView2<F>,
        height: usize,
        width: usize,
        cx: &mut Exec<F>,
    ) -> Array4<F> {
        let (c, p) = (self.channels, self.patch_size);
        let dpatches = cx.matmul(dy, self.proj.weight.view());
        let patches_per_image = (height / p) * (width / p);
        let mut images = Array4::zeros((dpatches.nrows() / patches_per_image, c, height, width));
        for (mut image, rows) in
            images.outer_iter_mut().zip(dpatches.axis_chunks_iter(ndarray::Axis(0), patches_per_image))
        {
            for (mut patch, row) in image.exact_chunks_mut((c, p, p)).into_iter().zip(rows.rows()) {
                patch.iter_mut().zip(row).for_each(|(pixel, &value)| *pixel = value);
            }
        }
        cx.recycle(dpatches);
        images
    }

    /// The kernel's shape in a checkpoint, `[D, C, p, p]`.
    fn kernel_shape(&self) -> Vec<usize> {
        vec![self.proj.bias.len(), self.channels, self.patch_size, self.patch_size]
    }
}

/// The walk of `proj`, but with the weight in the shape of a convolution: the one tensor whose checkpoint
/// shape is not the shape in which it is multiplied.
impl<F: Real> Params<F> for PatchEmbed<F> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        let weight = out.len();
        self.proj.walk(&format!("{prefix}proj."), out);
        out[weight].shape = self.kernel_shape();
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        let (weight, shape) = (out.len(), self.kernel_shape());
        self.proj.walk_mut(&format!("{prefix}proj."), out);
        out[weight].shape = shape;
    }
}
