//! Which part of an image a view shows, and how: drawn once, and applied alike to the image, its boxes, its masks and its
//! label map.
//!
//! ```text
//! cut out `crop`   →   resize it to `scale`   →   mirror it if `flip`   →   pad it to `out`, below and to the right
//! ```
//!
//! An image is resized as Pillow does it, by either filter. Masks and label maps take the nearest pixel, row `⌊(2i + 1) n / (2m)⌋` of `n` for
//! row `i` of `m`. Boxes are scaled by the ratio and not rounded.

use ndarray::{Array2, s};

use super::Image;
use super::resample::{CropBox, Filter, crop_and_resize};
use super::rle::Rle;
use super::target::{IGNORED, Instance, Target, mask_box};

/// The way from an image to a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The part that is seen, in the image's pixels.
    pub crop: CropBox,
    /// Rows and columns that this part becomes.
    pub scale: (usize, usize),
    /// Whether these are mirrored, left to right.
    pub flip: bool,
    /// Rows and columns of the view, at least those of `scale`.
    pub out: (usize, usize),
}

impl Geometry {
    /// All of an image of these rows and columns, resized to a view of others without regard to its proportions: what
    /// evaluation looks at.
    #[must_use]
    pub fn resized((height, width): (usize, usize), out: (usize, usize)) -> Self {
        Self { crop: CropBox { top: 0, left: 0, height, width }, scale: out, flip: false, out }
    }

    /// An image of these rows and columns as it is: what windows slide over.
    #[must_use]
    pub fn identity(size: (usize, usize)) -> Self {
        Self::resized(size, size)
    }

    /// The view of an image; `fill` is the colour of the padding.
    ///
    /// # Panics
    /// If the crop is empty or reaches out of the image, or `scale` out of `out`.
    #[must_use]
    pub fn image(&self, image: &Image, filter: Filter, fill: &[u8]) -> Image {
        let mut view = crop_and_resize(image, self.crop, self.scale.0, self.scale.1, filter);
        if self.flip {
            view.flip_horizontally();
        }
        self.padded(view, fill)
    }

    /// The last step: padding below and to the right.
    pub(super) fn padded(&self, view: Image, fill: &[u8]) -> Image {
        if self.scale == self.out { view } else { pad(&view, self.out, fill) }
    }

    /// The target of the view. Of the objects those stay that are seen; where the crop cuts one that has a mask, its box
    /// becomes that of the pixels that are left. An object whose mask has no pixel to begin with, as that of a polygon smaller than one,
    /// is known by its box alone.
    ///
    /// # Panics
    /// If the crop reaches out of a mask or label map.
    #[must_use]
    pub fn target(&self, target: &Target) -> Target {
        match target {
            Target::None | Target::Class(_) => target.clone(),
            Target::Instances(all) => {
                Target::Instances(all.iter().filter_map(|i| self.instance(i)).collect())
            }
            Target::LabelMap(labels) => Target::LabelMap(self.map(labels, IGNORED)),
        }
    }

    /// The object in the view, if any of it is seen.
    fn instance(&self, object: &Instance) -> Option<Instance> {
        let CropBox { top, left, height, width } = self.crop;
        // For x and y: where the crop starts, its length, and what that becomes.
        let axes = [(left, width, self.scale.1), (top, height, self.scale.0)].map(|(start, from, to)| {
            let [start, from, to] = [start, from, to].map(|pixels| pixels as f64);
            (start, from, to)
        });
        let moved: [f64; 4] = std::array::from_fn(|i| object.bbox[i] - axes[i % 2].0);
        let mut seen: [f64; 4] = std::array::from_fn(|i| moved[i].clamp(0.0, axes[i % 2].1));
        let known = object.mask.as_ref().filter(|mask| mask.area() > 0).map(Rle::mask);
        if let Some(mask) = known.as_ref().filter(|_| seen != moved) {
            seen = mask_box(mask.slice(s![top..top + height, left..left + width]))?;
        }
        let mask = known.map(|mask| Rle::of_mask(self.map(&mask, false).view()));
        let vanished = mask.as_ref().is_some_and(|mask| mask.area() == 0);
        if vanished || seen[0] >= seen[2] || seen[1] >= seen[3] {
            return None;
        }
        let [mut x1, y1, mut x2, y2] = std::array::from_fn(|i| seen[i] * axes[i % 2].2 / axes[i % 2].1);
        if self.flip {
            let columns = axes[0].2;
            (x1, x2) = (columns - x2, columns - x1);
        }
        Some(Instance { bbox: [x1, y1, x2, y2], mask, ..*object })
    }

    /// A map of the image's pixels as a map of the view's.
    pub(super) fn map<T: Copy>(&self, map: &Array2<T>, padding: T) -> Array2<T> {
        let nearest = |i: usize, n: usize, m: usize| (2 * i + 1) * n / (2 * m);
        let (height, width) = self.scale;
        Array2::from_shape_fn(self.out, |(y, x)| {
            if y >= height || x >= width {
                return padding;
            }
            let x = if self.flip { width - 1 - x } else { x };
            let (row, column) = (nearest(y, self.crop.height, height), nearest(x, self.crop.width, width));
            map[[self.crop.top + row, self.crop.left + column]]
        })
    }
}

/// The image in the upper left corner of one of `height × width`.
fn pad(image: &Image, (height, width): (usize, usize), fill: &[u8]) -> Image {
    assert!(image.height <= height && image.width <= width, "an image larger than {height}×{width}");
    let mut pixels = fill.repeat(height * width);
    let rows = image.pixels.chunks_exact(image.width * image.channels);
    for (out, row) in pixels.chunks_exact_mut(width * image.channels).zip(rows) {
        out[..row.len()].copy_from_slice(row);
    }
    Image::new(height, width, image.channels, pixels)
}

/// Rows and columns of an image of `height × width` scaled so that its shorter side is `short`, or its longer side
/// `longest` if that side would be longer: how detectors take images of every size.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides are positive")]
pub fn short_edge((height, width): (usize, usize), short: usize, longest: usize) -> (usize, usize) {
    let ratio = (short as f64 / height.min(width) as f64).min(longest as f64 / height.max(width) as f64);
    let scaled = |side: usize| (side as f64 * ratio + 0.5) as usize;
    (scaled(height), scaled(width))
}
