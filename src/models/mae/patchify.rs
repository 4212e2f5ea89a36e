//! Patchify and its inverse: an image as a row of pixels per patch, in the order of the *target*.
//!
//! The order is (row, column, channel), the channel fastest. The patch projection's kernel has another
//! order, `[C, p, p]`; see [`crate::layers::patch_embed`].

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::patch_embed::{Run, runs};
use ndarray::{Array2, Array4, ArrayView2, ArrayView4};

/// `[B, C, H, W] → [B·L, p·p·C]`, patches in row-major order.
///
/// # Panics
/// If `p` does not divide height and width.
pub fn patchify<F: Real>(images: ArrayView4<F>, p: usize, cx: &mut Exec<F>) -> Array2<F> {
    let (b, c, h, w) = images.dim();
    assert!(h % p == 0 && w % p == 0, "patches of {p} do not tile {h}×{w}");
    let mut patches = cx.take(b * (h / p) * (w / p), p * p * c);
    let values = patches.as_slice_mut().expect("activations are row-major");
    let images = images.as_standard_layout();
    let pixels = images.as_slice().expect("in standard layout");
    for (run, source) in runs(images.dim(), p).zip(pixels.chunks_exact(p)) {
        for (value, &pixel) in values[first(run, c, p)..].iter_mut().step_by(c).zip(source) {
            *value = pixel;
        }
    }
    patches
}

/// The inverse of [`patchify`]: `[B·L, p·p·C] → [B, C, H, W]`. As `patchify` only moves elements, this is
/// its adjoint, too.
///
/// # Panics
/// If the patches do not make up whole images.
pub fn unpatchify<F: Real>(patches: ArrayView2<F>, (c, h, w): (usize, usize, usize), p: usize) -> Array4<F> {
    let per_image = (h / p) * (w / p);
    assert!(patches.ncols() == p * p * c && patches.nrows().is_multiple_of(per_image), "{:?}", patches.dim());
    let mut images = Array4::zeros((patches.nrows() / per_image, c, h, w));
    let shape = images.dim();
    let patches = patches.as_standard_layout();
    let values = patches.as_slice().expect("in standard layout");
    let pixels = images.as_slice_mut().expect("in standard layout");
    for (run, target) in runs(shape, p).zip(pixels.chunks_exact_mut(p)) {
        for (pixel, &value) in target.iter_mut().zip(values[first(run, c, p)..].iter().step_by(c)) {
            *pixel = value;
        }
    }
    images
}

/// Where a run's first pixel stands among the values of all patches; its next ones follow at every `c`-th.
fn first(run: Run, c: usize, p: usize) -> usize {
    (run.patch * p + run.row) * p * c + run.channel
}
