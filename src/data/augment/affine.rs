//! Shear, translation and rotation, sampled bicubically, to the bit as Pillow does them.
//!
//! The pixel at `(x, y)` comes from the place `(a x' + b y' + c, d x' + e y' + f)` of the image, with `x' = x + ½` and
//! `y' = y + ½` at the pixel's centre. Where this lies outside of the image there is the fill colour. Bicubic here
//! always means 4 × 4 pixels with Keys' `a = −1`, while resizing ([`super::super::resample`]) has `a = −½`.

use super::super::Image;

/// `x ← x + factor · y`: rows slide, the top one stays.
pub fn shear_x(image: &mut Image, factor: f64, fill: &[u8]) {
    transform(image, [1.0, factor, 0.0, 0.0, 1.0, 0.0], fill);
}

/// `y ← y + factor · x`: columns slide, the left one stays.
pub fn shear_y(image: &mut Image, factor: f64, fill: &[u8]) {
    transform(image, [1.0, 0.0, 0.0, factor, 1.0, 0.0], fill);
}

/// Moves the image to the left by this fraction of its width.
pub fn translate_x(image: &mut Image, share: f64, fill: &[u8]) {
    transform(image, [1.0, 0.0, share * image.width as f64, 0.0, 1.0, 0.0], fill);
}

/// Moves the image up by this fraction of its height.
pub fn translate_y(image: &mut Image, share: f64, fill: &[u8]) {
    transform(image, [1.0, 0.0, 0.0, 0.0, 1.0, share * image.height as f64], fill);
}

/// Rotates about the centre, counter-clockwise.
pub fn rotate(image: &mut Image, degrees: f64, fill: &[u8]) {
    let degrees = degrees.rem_euclid(360.0);
    if degrees == 0.0 {
        return;
    }
    // Rounded to 15 decimals, as Python's `round` does it; `libm`'s functions are the same on every platform.
    let decimals = |value: f64| format!("{value:.15}").parse::<f64>().expect("digits of a number");
    let angle = -degrees.to_radians();
    let (sin, cos) = (libm::sin(angle), libm::cos(angle));
    let (a, b, d, e) = (decimals(cos), decimals(sin), decimals(-sin), decimals(cos));
    let (cx, cy) = (image.width as f64 / 2.0, image.height as f64 / 2.0);
    transform(image, [a, b, a * -cx + b * -cy + cx, d, e, d * -cx + e * -cy + cy], fill);
}

/// Replaces the image by its view through the map `[a, b, c, d, e, f]`.
fn transform(image: &mut Image, [a, b, c, d, e, f]: [f64; 6], fill: &[u8]) {
    let mut out = Vec::with_capacity(image.pixels.len());
    for y in 0..image.height {
        for x in 0..image.width {
            let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
            let (x, y) = (a * x + b * y + c, d * x + e * y + f);
            let inside = (0.0..image.width as f64).contains(&x) && (0.0..image.height as f64).contains(&y);
            if inside {
                let (columns, rows) = (Taps::around(x, image.width), Taps::around(y, image.height));
                out.extend((0..image.channels).map(|channel| sample(image, channel, &rows, &columns)));
            } else {
                out.extend_from_slice(fill);
            }
        }
    }
    image.pixels = out;
}

/// The four pixels of a line around a place, and how far it lies from the second.
struct Taps {
    at: [usize; 4],
    offset: f64,
}

impl Taps {
    /// Pixels beyond an end are the one at the end.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "places lie inside of the image"
    )]
    fn around(place: f64, length: usize) -> Self {
        let place = place - 0.5;
        let second = place.floor();
        let at = [-1.0, 0.0, 1.0, 2.0].map(|step| (second + step).clamp(0.0, length as f64 - 1.0) as usize);
        Self { at, offset: place - second }
    }
}

/// The bicubic mean of 4 × 4 values, rows first, truncated.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn sample(image: &Image, channel: usize, rows: &Taps, columns: &Taps) -> u8 {
    let along_row = rows.at.map(|y| {
        let pixel = |x: usize| f64::from(image.pixels[(y * image.width + x) * image.channels + channel]);
        cubic(columns.at.map(pixel), columns.offset)
    });
    cubic(along_row, rows.offset) as u8
}

/// The cubic through `v₁` at 0 and `v₂` at 1 with the slopes `v₂ − v₀` and `v₃ − v₁` there.
fn cubic([v0, v1, v2, v3]: [f64; 4], at: f64) -> f64 {
    let slope = -v0 + v2;
    let square = 2.0 * (v0 - v1) + v2 - v3;
    let cube = -v0 + v1 - v2 + v3;
    v1 + at * (slope + at * (square + at * cube))
}
