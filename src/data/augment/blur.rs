//! Gaussian blur as three box blurs along the rows and three along the columns, to the bit as Pillow's `GaussianBlur`.
//!
//! A box of radius `r = n + a`, `n` whole and `0 ≤ a < 1`, is the mean over `2r + 1` pixels: `2n + 1` count in full, the one
//! beyond on either side by `a`. Three boxes whose variances sum to `σ²` are within 3 % of the bell curve and cost the
//! same for every `σ` (Gwosdek et al. 2011, "Theoretical foundations of Gaussian convolution by extended box filtering").

use super::super::Image;

/// Boxes along each axis.
const PASSES: usize = 3;
/// The largest standard deviation that is taken, in pixels.
pub const MAX_SIGMA: f32 = 1000.0;

/// Blurs with the standard deviation `sigma` in pixels, each channel on its own; beyond the border is the border's value.
///
/// # Panics
/// If `sigma` is not in `0..=MAX_SIGMA`.
pub fn gaussian_blur(image: &mut Image, sigma: f32) {
    assert!((0.0..=MAX_SIGMA).contains(&sigma), "a blur of {sigma} pixels");
    let kernel = BoxBlur::new(radius(sigma));
    let (height, width, channels) = (image.height, image.width, image.channels);
    let row = width * channels;
    let mut lines = [vec![0; width.max(height)], vec![0; width.max(height)]];
    for start in (0..height).flat_map(|y| y * row..y * row + channels) {
        kernel.blur(&mut image.pixels[start..], channels, width, &mut lines);
    }
    for start in 0..row {
        kernel.blur(&mut image.pixels[start..], row, height, &mut lines);
    }
}

/// The radius of the boxes: `(r, a, l)` as in the source's equations 7, 11 and 14, in Pillow's mixture of precisions.
#[expect(clippy::cast_possible_truncation, reason = "rounded to single precision where Pillow does it")]
fn radius(sigma: f32) -> f32 {
    let variance = sigma * sigma / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let next = whole + 1.0;
    let part = (2.0 * whole + 1.0) * (whole * next - 3.0 * variance) / (6.0 * (variance - next * next));
    whole + part
}

/// A box in fixed point: weights in units of 2⁻²⁴ that sum to at most 1.
struct BoxBlur {
    /// Pixels on either side that count in full.
    whole: usize,
    /// Weight of each of those and of the centre.
    inner: u32,
    /// Weight of the next pixel on either side.
    outer: u32,
}

const ONE: u32 = 1 << 24;

impl BoxBlur {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ radius ≤ MAX_SIGMA")]
    fn new(radius: f32) -> Self {
        let whole = radius as u32;
        let inner = (ONE as f32 / (radius * 2.0 + 1.0)) as u32;
        Self { whole: whole as usize, inner, outer: (ONE - (2 * whole + 1) * inner) / 2 }
    }

    /// All passes over the `n` pixels that are `step` apart; `lines` are buffers of at least `n`.
    fn blur(&self, pixels: &mut [u8], step: usize, n: usize, lines: &mut [Vec<u8>; 2]) {
        let [from, to] = lines;
        from.iter_mut().zip(pixels.iter().step_by(step)).for_each(|(slot, &value)| *slot = value);
        for _ in 0..PASSES {
            self.pass(&from[..n], &mut to[..n]);
            std::mem::swap(from, to);
        }
        pixels.iter_mut().step_by(step).zip(&from[..n]).for_each(|(slot, &value)| *slot = value);
    }

    /// `out(x) = inner · Σ_{|k| ≤ whole} in(x + k) + outer · (in(x − whole − 1) + in(x + whole + 1))`, rounded.
    fn pass(&self, line: &[u8], out: &mut [u8]) {
        let last = line.len() - 1;
        let at = |x: usize| u32::from(line[x.min(last)]);
        // Around x = 0: the first whole + 1 of these pixels are the line's first.
        let mut sum: u32 = (0..=2 * self.whole).map(|x| at(x.saturating_sub(self.whole))).sum();
        for (x, out) in out.iter_mut().enumerate() {
            let next = at(x + self.whole + 1);
            let before = at(x.saturating_sub(self.whole + 1));
            *out = rounded(self.inner * sum + self.outer * (before + next));
            sum = sum + next - at(x.saturating_sub(self.whole));
        }
    }
}

/// From units of 2⁻²⁴.
fn rounded(weighted: u32) -> u8 {
    ((weighted + ONE / 2) >> 24) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// σ² = 2 is three boxes of three pixels: each has the variance (1 + 0 + 1) / 3 = ⅔.
    #[test]
    fn three_boxes_of_three_pixels_are_worked_out_by_hand() {
        let kernel = BoxBlur::new(radius(2f32.sqrt()));
        assert!(kernel.inner.abs_diff(ONE / 3) <= 2, "{} of {ONE}", kernel.inner);
        let mut image = Image::new(1, 7, 1, vec![0, 0, 0, 27, 0, 0, 0]);
        gaussian_blur(&mut image, 2f32.sqrt());
        // 27 → 9 9 9 → 3 6 9 6 3 → 1 3 6 7 6 3 1; the image has one row, which blurring down leaves.
        assert_eq!(image.pixels, [1, 3, 6, 7, 6, 3, 1]);
    }

    #[test]
    fn a_flat_image_and_a_blur_of_zero_change_nothing() {
        let flat = Image::new(5, 3, 3, [10, 128, 255].repeat(15));
        for sigma in [0.0, 0.1, 2.0, 40.0, MAX_SIGMA] {
            let mut image = flat.clone();
            gaussian_blur(&mut image, sigma);
            assert_eq!(image, flat, "{sigma}");
        }
        let steep = Image::new(2, 3, 1, vec![0, 255, 7, 90, 1, 3]);
        let mut image = steep.clone();
        gaussian_blur(&mut image, 0.0);
        assert_eq!(image, steep);
    }
}
