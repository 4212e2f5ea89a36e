//! A turn of the colour circle by way of Pillow's 8-bit hue, saturation and value, to the bit.
//!
//! Both ways round, so even a turn by 0 changes an image by a level here and there. The precisions are those of Pillow's C:
//! single where it has a `float`, double where a literal such as `6.0` draws the expression up.

use super::super::Image;

/// Turns every pixel's hue by `turns` of the circle, truncated to 255ths. An image of one channel has no hue and stays.
///
/// # Panics
/// If the image has another number of channels than 1 or 3.
pub fn hue(image: &mut Image, turns: f64) {
    assert!(matches!(image.channels, 1 | 3), "the hue of {} channels", image.channels);
    if image.channels == 1 {
        return;
    }
    // The circle has 256 steps, a turn 255 of them: torchvision's `int(255 · turns)`, added to a byte.
    #[expect(clippy::cast_possible_truncation, reason = "truncated as meant")]
    let steps = (255.0 * turns) as i64;
    let steps = steps.rem_euclid(256).to_le_bytes()[0];
    for pixel in image.pixels.as_chunks_mut().0 {
        let [hue, saturation, value] = hsv_of(*pixel);
        *pixel = rgb_of([hue.wrapping_add(steps), saturation, value]);
    }
}

/// `V = M`, the largest of the three; `S = (M − m) / M`; `H` is where on the circle red 0, green ⅓, blue ⅔ the colour lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn hsv_of([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most == least {
        return [0, 0, most];
    }
    let chroma = f32::from(most - least);
    let [r, g, b] = [red, green, blue].map(|value| f32::from(most - value) / chroma);
    let wide = |sextant: f64, plus: f32, minus: f32| (sextant + f64::from(plus) - f64::from(minus)) as f32;
    let sextant = if red == most {
        b - g
    } else if green == most {
        wide(2.0, r, b)
    } else {
        wide(4.0, g, r)
    };
    // 5/6 to 11/6 before the fraction is taken, which is exact.
    let turn = (f64::from(sextant) / 6.0 + 1.0).fract() as f32;
    let byte = |fraction: f32| (255.0 * f64::from(fraction)) as u8;
    [byte(turn), byte(chroma / f32::from(most)), most]
}

/// The way back: the circle's six parts, in each of which one of the colours rises or falls.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn rgb_of([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let place = f64::from(hue) * 6.0 / 255.0;
    let part = place.floor();
    let (along, s) = ((place - part) as f32, (f64::from(saturation) / 255.0) as f32);
    // Halves away from zero, as C's `round`.
    let without = |fraction: f64| (f64::from(value) * (1.0 - fraction)).round() as u8;
    let low = without(f64::from(s));
    let falling = without(f64::from(s * along));
    let rising = without(f64::from(s) * (1.0 - f64::from(along)));
    match part as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The corners of the circle by hand: red 0, green 255/3 = 85, blue 170; a third of a turn is 85 steps.
    #[test]
    fn a_third_of_a_turn_takes_red_to_green_to_blue() {
        assert_eq!(hsv_of([200, 0, 0]), [0, 255, 200]);
        assert_eq!(hsv_of([0, 200, 0]), [85, 255, 200]);
        assert_eq!(hsv_of([0, 0, 200]), [170, 255, 200]);
        let mut image = Image::new(1, 3, 3, vec![200, 0, 0, 0, 200, 0, 9, 9, 9]);
        hue(&mut image, 1.0 / 3.0);
        assert_eq!(image.pixels, [0, 200, 0, 0, 0, 200, 9, 9, 9]);
    }
}
