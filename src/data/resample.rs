//! Bicubic and bilinear resampling with an antialiasing filter, to the bit as Pillow 13 does it.
//!
//! Each output pixel is a weighted sum of the input pixels around its centre. When an image shrinks, the
//! filter widens by the same factor, so that every input pixel is counted: this is what tells Pillow from
//! libraries whose filters always look at 4 × 4 or 2 × 2 pixels. One side is resized, then the other, with 8 bits in
//! between; `height_first` says which. The weights are rounded to 22-bit fixed point, so results are the same
//! everywhere; `tests/data/pillow.rs` compares them with recorded images. (The crate `fast_image_resize` 6.1, height
//! first and with coarser weights, is up to 8 of 255 levels off on them.)

use super::Image;

/// A rectangle of whole pixels inside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropBox {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl CropBox {
    /// All of an image.
    #[must_use]
    pub fn whole(image: &Image) -> Self {
        Self { top: 0, left: 0, height: image.height, width: image.width }
    }
}

/// How an output pixel weighs the input pixels at a distance of `x` from its centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Keys' cubic convolution with `a = −½`: 1 at 0, and 0 at all other whole numbers.
    Bicubic,
    /// `1 − |x|`.
    Bilinear,
}

impl Filter {
    /// The distance from which on weights are 0.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Bilinear => 1.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        if x >= self.support() {
            return 0.0;
        }
        match self {
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bilinear => 1.0 - x,
        }
    }
}

/// The part of `image` in `crop`, resized to `height × width`. As in torchvision's `RandomResizedCrop`, the
/// filter never sees what lies outside of the crop.
///
/// # Panics
/// If the crop is empty or reaches out of the image, or the new size is 0.
#[must_use]
pub fn crop_and_resize(image: &Image, crop: CropBox, height: usize, width: usize, filter: Filter) -> Image {
    assert!(
        crop.height * crop.width * height * width > 0
            && crop.top + crop.height <= image.height
            && crop.left + crop.width <= image.width,
        "{crop:?} of a {}×{} image to {height}×{width}",
        image.height,
        image.width
    );
    let image = cut(image, crop);
    if height_first(&image, height, width) {
        resize_width(resize_height(image, height, filter), width, filter)
    } else {
        resize_height(resize_width(image, width, filter), height, filter)
    }
}

/// Whether an image of `h × w` becomes one of `height × width` by way of `height × w`: since Pillow 13.0 if `height < h` and
/// `h − height > 2 (w − width)`, so that the second pass has less to do. Otherwise, and in all earlier versions, the way
/// leads over `h × width`. The two ways round differently.
fn height_first(image: &Image, height: usize, width: usize) -> bool {
    // `h − height > 2 (w − width)` without differences, which may be negative.
    height < image.height && image.height + 2 * width > height + 2 * image.width
}

/// The part of `image` in `crop`.
fn cut(image: &Image, crop: CropBox) -> Image {
    let channels = image.channels;
    let mut pixels = Vec::with_capacity(crop.height * crop.width * channels);
    for y in crop.top..crop.top + crop.height {
        let start = (y * image.width + crop.left) * channels;
        pixels.extend_from_slice(&image.pixels[start..start + crop.width * channels]);
    }
    Image::new(crop.height, crop.width, channels, pixels)
}

/// `out[y, x, c] = Σ_k w_x[k] · in[y, first_x + k, c]`.
fn resize_width(image: Image, width: usize, filter: Filter) -> Image {
    if width == image.width {
        return image;
    }
    let taps = taps(image.width, width, filter);
    let rows = image.pixels.chunks_exact(image.width * image.channels);
    let mut pixels = Vec::with_capacity(image.height * width * image.channels);
    match image.channels {
        1 => rows.for_each(|row| resize_row::<1>(row, &taps, &mut pixels)),
        2 => rows.for_each(|row| resize_row::<2>(row, &taps, &mut pixels)),
        3 => rows.for_each(|row| resize_row::<3>(row, &taps, &mut pixels)),
        4 => rows.for_each(|row| resize_row::<4>(row, &taps, &mut pixels)),
        more => rows.for_each(|row| resize_row_of(more, row, &taps, &mut pixels)),
    }
    Image::new(image.height, width, image.channels, pixels)
}

/// One row of [`resize_width`], with the number of channels known to the compiler.
fn resize_row<const C: usize>(row: &[u8], taps: &[Tap], out: &mut Vec<u8>) {
    let (row, _) = row.as_chunks::<C>();
    for tap in taps {
        let mut sums = [HALF; C];
        for (&weight, pixel) in tap.weights.iter().zip(&row[tap.first..]) {
            for c in 0..C {
                sums[c] += weight * i32::from(pixel[c]);
            }
        }
        out.extend(sums.map(to_8_bits));
    }
}

/// The same for any number of channels.
fn resize_row_of(channels: usize, row: &[u8], taps: &[Tap], out: &mut Vec<u8>) {
    let mut sums = vec![HALF; channels];
    for tap in taps {
        sums.fill(HALF);
        let pixels = row[tap.first * channels..].chunks_exact(channels);
        for (&weight, pixel) in tap.weights.iter().zip(pixels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += weight * i32::from(value);
            }
        }
        out.extend(sums.iter().map(|&sum| to_8_bits(sum)));
    }
}

/// `out[y, x, c] = Σ_k w_y[k] · in[first_y + k, x, c]`, a whole row at a time.
fn resize_height(image: Image, height: usize, filter: Filter) -> Image {
    if height == image.height {
        return image;
    }
    let row_len = image.width * image.channels;
    let mut sums = vec![0; row_len];
    let mut pixels = Vec::with_capacity(height * row_len);
    for tap in taps(image.height, height, filter) {
        sums.fill(HALF);
        let rows = image.pixels[tap.first * row_len..].chunks_exact(row_len);
        for (&weight, row) in tap.weights.iter().zip(rows) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(value);
            }
        }
        pixels.extend(sums.iter().map(|&sum| to_8_bits(sum)));
    }
    Image::new(height, image.width, image.channels, pixels)
}

/// Bits after the point of a weight: 8 of 32 go to the pixel, 2 to overshoot and sign.
const PRECISION_BITS: u32 = 32 - 8 - 2;
/// One half, which makes the shift of [`to_8_bits`] round.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

#[expect(clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn to_8_bits(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The input positions that one output position is made of.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of a line of `from` pixels that becomes one of `to`.
#[expect(clippy::cast_precision_loss, reason = "sides of images are far below 2⁵²")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions lie in 0..=from")]
fn taps(from: usize, to: usize, filter: Filter) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0); // shrinking widens the filter: this is the antialiasing
    let support = filter.support() * stretch;
    (0..to)
        .map(|position| {
            let centre = (position as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let raw = (first..end).map(|x| filter.weight((x as f64 - centre + 0.5) * (1.0 / stretch)));
            let raw: Vec<f64> = raw.collect();
            let total: f64 = raw.iter().sum();
            let one = f64::from(1 << PRECISION_BITS);
            Tap { first, weights: raw.iter().map(|w| (w / total * one).round() as i32).collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one() {
        for (from, to) in [(28, 28), (1, 9), (100, 7), (7, 100), (1000, 999)] {
            for tap in
                [Filter::Bicubic, Filter::Bilinear].into_iter().flat_map(|filter| taps(from, to, filter))
            {
                assert!(tap.first + tap.weights.len() <= from);
                let sum: i32 = tap.weights.iter().sum();
                let rounding = i32::try_from(tap.weights.len()).unwrap();
                assert!((sum - (1 << PRECISION_BITS)).abs() <= rounding, "{from} → {to}: {sum}");
            }
        }
    }

    #[test]
    fn a_flat_image_stays_flat() {
        let image = Image::new(9, 13, 3, [10, 128, 255].repeat(9 * 13));
        for filter in [Filter::Bicubic, Filter::Bilinear] {
            let out =
                crop_and_resize(&image, CropBox { top: 1, left: 2, height: 7, width: 5 }, 16, 4, filter);
            assert_eq!(out, Image::new(16, 4, 3, [10, 128, 255].repeat(16 * 4)));
        }
    }

    #[test]
    fn the_same_size_is_the_same_image() {
        let image = Image::new(2, 2, 1, vec![1, 200, 3, 4]);
        assert_eq!(crop_and_resize(&image, CropBox::whole(&image), 2, 2, Filter::Bilinear), image);
    }
}
