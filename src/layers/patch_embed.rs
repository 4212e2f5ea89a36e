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

impl<F: Real> PatchEmbedCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.0.recycle(cx);
    }
}

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
        let rows = patches.as_slice_mut().expect("activations are row-major");
        let images = images.as_standard_layout();
        let pixels = images.as_slice().expect("in standard layout");
        for (run, source) in runs(images.dim(), p).zip(pixels.chunks_exact(p)) {
            let first = run.patch * c * p * p + (run.channel * p + run.row) * p;
            rows[first..first + p].copy_from_slice(source);
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
        let b = dpatches.nrows() / ((height / p) * (width / p));
        let mut images = Array4::zeros((b, c, height, width));
        let rows = dpatches.as_slice().expect("activations are row-major");
        let pixels = images.as_slice_mut().expect("in standard layout");
        for (run, target) in runs((b, c, height, width), p).zip(pixels.chunks_exact_mut(p)) {
            let first = run.patch * c * p * p + (run.channel * p + run.row) * p;
            target.copy_from_slice(&rows[first..first + p]);
        }
        cx.recycle(dpatches);
        images
    }

    /// The kernel's shape in a checkpoint, `[D, C, p, p]`.
    fn kernel_shape(&self) -> Vec<usize> {
        vec![self.proj.bias.len(), self.channels, self.patch_size, self.patch_size]
    }
}

/// `p` neighbouring pixels that belong to one patch.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Which patch of all the batch's, in row-major order.
    pub patch: usize,
    /// The channel.
    pub channel: usize,
    /// The row inside the patch.
    pub row: usize,
}

/// Where each run of `p` pixels of images `[B, C, H, W]`, in the order in which they are stored, belongs.
pub fn runs((b, c, h, w): (usize, usize, usize, usize), p: usize) -> impl Iterator<Item = Run> {
    let columns = w / p;
    (0..b * c * h).flat_map(move |line| {
        let (image, channel, y) = (line / (c * h), line / h % c, line % h);
        let first = (image * (h / p) + y / p) * columns;
        (first..first + columns).map(move |patch| Run { patch, channel, row: y % p })
    })
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
