//! Operations that go from a degenerate version of the image towards it, and with a factor above 1 beyond it:
//! `out = degenerate + factor · (image − degenerate)`, to the bit as Pillow's `ImageEnhance` does it.

use super::super::Image;

/// Towards (factor < 1) or away from the image in grey. An image of one channel stays as it is.
pub fn color(image: &mut Image, factor: f32) {
    let grey = luma(image);
    let channels = image.channels;
    blend(image, factor, |at| grey[at / channels]);
}

/// Towards or away from the image's mean grey, rounded.
pub fn contrast(image: &mut Image, factor: f32) {
    let grey = luma(image);
    let (sum, n) = (grey.iter().map(|&x| u64::from(x)).sum::<u64>(), grey.len() as u64);
    // ⌊sum / n + ½⌋
    let mean = u8::try_from((2 * sum + n) / (2 * n).max(1)).expect("a mean of bytes is a byte");
    blend(image, factor, |_| mean);
}

/// Towards or away from black.
pub fn brightness(image: &mut Image, factor: f32) {
    blend(image, factor, |_| 0);
}

/// Towards or away from the image smoothed over 3 × 3 pixels.
pub fn sharpness(image: &mut Image, factor: f32) {
    let smooth = smoothed(image);
    blend(image, factor, |at| smooth[at]);
}

/// `x ← d + factor · (x − d)`, in single precision and truncated; 1 changes nothing.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn blend(image: &mut Image, factor: f32, degenerate: impl Fn(usize) -> u8) {
    for (at, value) in image.pixels.iter_mut().enumerate() {
        let from = f32::from(degenerate(at));
        *value = (from + factor * (f32::from(*value) - from)) as u8;
    }
}

/// One grey value per pixel.
fn luma(image: &Image) -> Vec<u8> {
    image.to_channels(1).expect("an image of 1 or 3 channels").pixels
}

/// Each value's mean with its eight neighbours, in which it counts five times; the image's border stays, and so
/// does an image without an inside.
fn smoothed(image: &Image) -> Vec<u8> {
    let (row, step) = (image.width * image.channels, image.channels);
    let mut out = image.pixels.clone();
    if image.width < 3 {
        return out;
    }
    // The lowest row first, each row's sum on its own: in single precision the order shows.
    let sum = |centre: usize, weight: f32| {
        let at = |at: usize| f32::from(image.pixels[at]);
        at(centre - step) * OUTER + at(centre) * weight + at(centre + step) * OUTER
    };
    for y in 1..image.height.saturating_sub(1) {
        let inside = y * row + step..(y + 1) * row - step;
        for (at, out) in inside.clone().zip(&mut out[inside]) {
            *out = rounded(0.5 + sum(at + row, OUTER) + sum(at, INNER) + sum(at - row, OUTER));
        }
    }
    out
}

/// Weight of a neighbour.
const OUTER: f32 = 1.0 / 13.0;
/// Weight of the value itself.
const INNER: f32 = 5.0 / 13.0;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn rounded(sum_and_half: f32) -> u8 {
    sum_and_half as u8
}
