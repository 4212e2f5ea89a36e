//! A random scale and a random crop, padded where the image is smaller: what segmentation and detection train on.
//!
//! ```text
//! base  = max(H / h, W / w)            the smallest scale at which an image of h × w covers the view of H × W,
//!         min(H / h, W / w)            or the largest at which it fits into it
//! scale = base · u,  u ~ U(low, high)
//! ```
//!
//! For each side, where the scaled image is longer than the view, a part of `view / scale` pixels is cut out at a random place;
//! where it is shorter, all of it is seen and the rest is padding.

use rand::Rng;

use super::super::Geometry;
use super::super::resample::CropBox;
use crate::base::rng::{below, uniform};

/// The range of `u`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleCrop {
    /// The smallest factor.
    pub low: f64,
    /// The largest one.
    pub high: f64,
    /// Whether 1 is the scale at which the image fits into the view, instead of that at which it covers it.
    pub fits: bool,
}

impl ScaleCrop {
    /// "random scaling in [0.5, 2]" as the segmentation recipes of `BEiT` and MAE have it, which are mmsegmentation's
    /// `Resize(ratio_range=(0.5, 2))` and `RandomCrop`. Those scale first and cut whole pixels of the scaled image; here whole
    /// pixels of the image are cut out and then scaled, so that a crop is up to a pixel of the image off. A crop in which one
    /// class takes nearly everything is not drawn again.
    pub const REFERENCE: Self = Self { low: 0.5, high: 2.0, fits: false };

    /// Draws a view of `height × width` of an image, not mirrored.
    #[must_use]
    pub fn draw(
        self,
        (image_height, image_width): (usize, usize),
        (height, width): (usize, usize),
        rng: &mut impl Rng,
    ) -> Geometry {
        let [down, across] = [height as f64 / image_height as f64, width as f64 / image_width as f64];
        let base = if self.fits { down.min(across) } else { down.max(across) };
        let scale = base * (self.low + (self.high - self.low) * uniform(rng));
        let (top, rows, scaled_rows) = side(image_height, height, scale, rng);
        let (left, columns, scaled_columns) = side(image_width, width, scale, rng);
        Geometry {
            crop: CropBox { top, left, height: rows, width: columns },
            scale: (scaled_rows, scaled_columns),
            flip: false,
            out: (height, width),
        }
    }
}

/// Of a side of `n` pixels of which the view has `m`: where the part that is seen starts, its length, and what becomes of it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths are positive")]
fn side(n: usize, m: usize, scale: f64, rng: &mut impl Rng) -> (usize, usize, usize) {
    let scaled = (n as f64 * scale).round_ties_even() as usize;
    if scaled <= m {
        return (0, n, scaled.max(1));
    }
    let seen = ((m as f64 / scale).round_ties_even() as usize).clamp(1, n);
    (below(rng, n - seen + 1), seen, m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{Purpose, rng};

    #[test]
    fn a_view_shows_what_its_scale_leaves_room_for_in_the_images_proportions() {
        for image in [(224, 224), (160, 320), (500, 333), (30, 64), (7, 5), (1, 400)] {
            let (mut padded, mut cut) = (0, 0);
            for sample in 0..500 {
                let out = (48, 64);
                let g = ScaleCrop::REFERENCE.draw(image, out, &mut rng(1, Purpose::Augment, 0, sample));
                let (c, (rows, columns)) = (g.crop, g.scale);
                assert!(c.top + c.height <= image.0 && c.left + c.width <= image.1, "{g:?} of {image:?}");
                assert!(rows <= 48 && columns <= 64 && rows * columns * c.height * c.width > 0, "{g:?}");
                // Both sides have the same scale, up to the rounding of whole pixels.
                let base = (48.0 / image.0 as f64).max(64.0 / image.1 as f64);
                for (from, to) in [(c.height, rows), (c.width, columns)] {
                    let (low, high) = (to as f64 - 0.5, to as f64 + 0.5);
                    let least = low / (from as f64 + 0.5);
                    let most = high / (from as f64 - 0.5);
                    assert!(least <= 2.0 * base && most >= 0.5 * base, "{g:?} of {image:?}");
                }
                padded += usize::from(g.scale != out);
                cut += usize::from((c.height, c.width) != image);
            }
            // A third of [0.5, 2] lies below 1, where something is padded.
            assert!((100..250).contains(&padded), "{padded} of 500 are padded for {image:?}");
            assert!(cut > 300, "{cut} of 500 are cut for {image:?}");
        }
    }

    #[test]
    fn at_twice_the_size_of_the_view_a_quarter_of_a_square_is_seen() {
        let twice = ScaleCrop { low: 2.0, high: 2.0, fits: false };
        let geometry = twice.draw((100, 100), (50, 50), &mut rng(1, Purpose::Augment, 0, 0));
        assert_eq!((geometry.crop.height, geometry.crop.width, geometry.scale), (50, 50, (50, 50)));
        let half = ScaleCrop { low: 0.5, high: 0.5, fits: false };
        let geometry = half.draw((100, 200), (50, 50), &mut rng(1, Purpose::Augment, 0, 0));
        assert_eq!((geometry.crop.height, geometry.crop.width, geometry.scale), (100, 200, (25, 50)));
        let whole = ScaleCrop { low: 1.0, high: 1.0, fits: true };
        let geometry = whole.draw((100, 200), (50, 50), &mut rng(1, Purpose::Augment, 0, 0));
        assert_eq!((geometry.crop.height, geometry.crop.width, geometry.scale), (100, 200, (25, 50)));
    }
}
