//! A random shift: the image is padded with zeros on all sides, and a part of its own size cut out.

use rand::Rng;

use super::super::Image;
use crate::base::rng::below;

/// Moves the image by `−pad` to `pad` pixels up or down, then left or right; where nothing comes from there is 0,
/// black. The usual augmentation of CIFAR (He et al. 2016, §4.2), torchvision's `RandomCrop` with a padding.
pub fn shift(image: &mut Image, pad: usize, rng: &mut impl Rng) {
    let (down, right) = (below(rng, 2 * pad + 1), below(rng, 2 * pad + 1));
    let (row, step) = (image.width * image.channels, image.channels);
    let mut out = vec![0; image.pixels.len()];
    // Row y of the result is row y + down of the padded image, which is row y + down − pad of the image.
    for y in 0..image.height {
        let Some(from) = (y + down).checked_sub(pad).filter(|&from| from < image.height) else { continue };
        let (skipped, missing) = (right.saturating_sub(pad) * step, pad.saturating_sub(right) * step);
        let Some(kept) = row.checked_sub(skipped + missing) else { continue };
        let source = from * row + skipped;
        out[y * row + missing..][..kept].copy_from_slice(&image.pixels[source..source + kept]);
    }
    image.pixels = out;
}
