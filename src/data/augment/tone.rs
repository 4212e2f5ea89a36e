//! Operations that send each value of a channel through a table, to the bit as Pillow does them.

use super::super::Image;

/// Stretches each channel so that its least value becomes 0 and its largest 255; a flat channel stays.
pub fn autocontrast(image: &mut Image) {
    for channel in 0..image.channels {
        let counts = histogram(image, channel);
        let (Some(low), Some(high)) =
            (counts.iter().position(|&n| n > 0), counts.iter().rposition(|&n| n > 0))
        else {
            continue;
        };
        if high > low {
            let scale = 255.0 / (high - low) as f64;
            let offset = -(low as f64) * scale;
            through(image, channel, |value| byte(f64::from(value) * scale + offset));
        }
    }
}

/// Makes the values of each channel about equally frequent: a value becomes the number of smaller ones, in units
/// of the 255th part of all that are not the largest.
pub fn equalize(image: &mut Image) {
    for channel in 0..image.channels {
        let counts = histogram(image, channel);
        let largest = counts.iter().rev().find(|&&n| n > 0).copied().unwrap_or(0);
        let step = (counts.iter().sum::<usize>() - largest) / 255;
        if step == 0 {
            continue;
        }
        let mut below = step / 2;
        let table = counts.map(|count| {
            let level = below / step;
            below += count;
            u8::try_from(level).unwrap_or(u8::MAX)
        });
        through(image, channel, |value| table[usize::from(value)]);
    }
}

/// The negative: `255 − x`.
pub fn invert(image: &mut Image) {
    solarize(image, 0);
}

/// Keeps the first `bits` bits of each value, 0 to 8; with 0 the image is black.
pub fn posterize(image: &mut Image, bits: u32) {
    let mask = !0xff_u8.checked_shr(bits).unwrap_or(0);
    image.pixels.iter_mut().for_each(|value| *value &= mask);
}

/// Inverts values of at least `threshold`.
pub fn solarize(image: &mut Image, threshold: u32) {
    image
        .pixels
        .iter_mut()
        .filter(|value| u32::from(**value) >= threshold)
        .for_each(|value| *value = 255 - *value);
}

/// Adds to values below 128, up to 255.
pub fn solarize_add(image: &mut Image, add: u8) {
    image
        .pixels
        .iter_mut()
        .filter(|value| **value < 128)
        .for_each(|value| *value = value.saturating_add(add));
}

/// How often a channel has each value.
fn histogram(image: &Image, channel: usize) -> [usize; 256] {
    let mut counts = [0; 256];
    for &value in image.pixels[channel..].iter().step_by(image.channels) {
        counts[usize::from(value)] += 1;
    }
    counts
}

/// Replaces the values of one channel.
fn through(image: &mut Image, channel: usize, new: impl Fn(u8) -> u8) {
    let channels = image.channels;
    image.pixels[channel..].iter_mut().step_by(channels).for_each(|value| *value = new(*value));
}

/// Truncated, and into the range of a byte.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn byte(value: f64) -> u8 {
    value as u8
}
