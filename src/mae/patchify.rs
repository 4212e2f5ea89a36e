//! Patchify and its inverse: an image as a row of pixels per patch, in the order of the *target*.
//!
//! The order is (row, column, channel), the channel fastest. The patch projection's kernel has another
//! order, `[C, p, p]`; see [`crate::layers::patch_embed`].

use crate::base::Real;
use crate::exec::Exec;
use ndarray::{Array2, Array4, ArrayView2, ArrayView4};

/// `[B, C, H, W] → [B·L, p·p·C]`, patches in row-major order.
///
/// # Panics
/// If `p` does not divide height and width.
pub fn patchify<F: Real>(images: ArrayView4<F>, p: usize, cx: &mut Exec<F>) -> Array2<F> {
    let (b, c, h, w) = images.dim();
    assert!(h % p == 0 && w % p == 0, "patches of {p} do not tile {h}×{w}");
    let mut patches = cx.take(b * (h / p) * (w / p), p * p * c);
    for (i, mut patch) in patches.outer_iter_mut().enumerate() {
        for (j, value) in patch.iter_mut().enumerate() {
            *value = images[pixel(i, j, (c, h, w), p)];
        }
    }
    patches
}

/// The inverse of [`patchify`]: `[B·L, p·p·C] → [B, C, H, W]`. As `patchify` only moves numbers, this is
/// its adjoint, too.
///
/// # Panics
/// If the patches do not make up whole images.
pub fn unpatchify<F: Real>(patches: ArrayView2<F>, (c, h, w): (usize, usize, usize), p: usize) -> Array4<F> {
    let per_image = (h / p) * (w / p);
    assert!(patches.ncols() == p * p * c && patches.nrows().is_multiple_of(per_image), "{:?}", patches.dim());
    let mut images = Array4::zeros((patches.nrows() / per_image, c, h, w));
    for (i, patch) in patches.outer_iter().enumerate() {
        for (j, &value) in patch.iter().enumerate() {
            images[pixel(i, j, (c, h, w), p)] = value;
        }
    }
    images
}

/// Where value `j` of patch `i` stands in `[B, C, H, W]`.
fn pixel(i: usize, j: usize, (c, h, w): (usize, usize, usize), p: usize) -> [usize; 4] {
    let columns = w / p;
    let (image, patch) = (i / (columns * (h / p)), i % (columns * (h / p)));
    let (row, column, channel) = (j / (p * c), j / c % p, j % c);
    [image, channel, patch / columns * p + row, patch % columns * p + column]
}
