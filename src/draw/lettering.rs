//! Letters on a picture: a bitmap font, black on white paper.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// The height of a line of text.
pub(crate) const LINE: u32 = 16;
/// What pictures are drawn on, whatever surrounds them: they must be readable on a dark page, too.
pub(crate) const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
/// What matters.
pub(crate) const INK: [u8; 3] = [38, 43, 52];
/// What explains it.
pub(crate) const QUIET: [u8; 3] = [112, 120, 132];

const WEIGHT: FontWeight = FontWeight::Regular;
const SIZE: RasterHeight = RasterHeight::Size16;

/// Breaks a text at spaces into lines of at most `limit` pixels; a longer word stays whole.
pub(crate) fn wrapped(text: &str, limit: u32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + width(" ") + width(word) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

pub(crate) fn height(lines: &[String]) -> u32 {
    LINE * to_u32(lines.len())
}

pub(crate) fn width(text: &str) -> u32 {
    to_u32(text.chars().count() * get_raster_width(WEIGHT, SIZE))
}

/// Mixes the letters' ink into the paper; what would fall off the sheet is left out.
pub(crate) fn write(sheet: &mut RgbImage, text: &str, (left, top): (u32, u32), ink: [u8; 3]) {
    for (i, letter) in text.chars().enumerate() {
        // The font has Latin letters; anything else shows as a question mark.
        let Some(glyph) = get_raster(letter, WEIGHT, SIZE).or_else(|| get_raster('?', WEIGHT, SIZE)) else {
            continue;
        };
        let left = left + to_u32(i * glyph.width());
        for (y, row) in (top..).zip(glyph.raster()) {
            for (x, &strength) in (left..).zip(*row) {
                if let Some(pixel) = sheet.get_pixel_mut_checked(x, y) {
                    for (paper, ink) in pixel.0.iter_mut().zip(ink) {
                        *paper = mixed(*paper, ink, strength);
                    }
                }
            }
        }
    }
}

/// `paper` at strength 0, `ink` at strength 255.
pub(crate) fn mixed(paper: u8, ink: u8, strength: u8) -> u8 {
    let (paper, ink, strength) = (u32::from(paper), u32::from(ink), u32::from(strength));
    u8::try_from((paper * (255 - strength) + ink * strength + 127) / 255).unwrap_or(u8::MAX)
}

/// A text of at most `limit` pixels; of a longer one the beginning, and two dots.
pub(crate) fn shortened(text: &str, limit: u32) -> String {
    let letters = (limit / width("m")).max(3) as usize;
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters - 2).collect();
    format!("{}..", kept.trim_end())
}

/// As [`write`], from the bottom up: the text's first letter stands at `(left, bottom)`.
pub(crate) fn write_upwards(sheet: &mut RgbImage, text: &str, (left, bottom): (u32, u32), ink: [u8; 3]) {
    let mut line = RgbImage::from_pixel(width(text).max(1), LINE, PAPER);
    write(&mut line, text, (0, 0), ink);
    let line = image::imageops::rotate270(&line);
    let top = i64::from(bottom) - i64::from(line.height());
    image::imageops::replace(sheet, &line, left.into(), top);
}

/// A count in pixels.
pub(crate) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
