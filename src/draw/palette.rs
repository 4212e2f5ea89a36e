//! The colours of classes, Pascal VOC's, and label maps as files with them.
//!
//! Bits 0, 3, 6, … of a class's number are the bits of its red, the lowest of the number being the highest of the colour, bits 1, 4, 7, …
//! those of its green, bits 2, 5, 8, … those of its blue. So numbers that are near each other have colours that are not, and 2²⁴ numbers
//! have colours of their own; 0 is black, and 255 (ignored in label maps) a pale grey.

use std::path::Path;

use ndarray::Array2;

use crate::base::{Error, Result};
use crate::checkpoint::atomic::write_atomic;

/// The colour of a class: red, green, blue.
#[must_use]
pub fn colour(class: usize) -> [u8; 3] {
    let mut colour = [0; 3];
    for bit in 0..24 {
        colour[bit % 3] |= u8::from((class >> bit) & 1 == 1) << (7 - bit / 3);
    }
    colour
}

/// The colours of all labels, as a palette in a file has them.
#[must_use]
pub fn palette() -> Vec<u8> {
    (0..=255).flat_map(colour).collect()
}

/// A label map as a PNG file whose indices are the classes: [`crate::data::load_label_map`] reads it back, and other programs show
/// it in colours.
///
/// # Errors
/// If the encoder fails, which takes a map too large for a PNG, or an empty one.
pub fn label_map_png(map: &Array2<u8>) -> Result<Vec<u8>> {
    let failed = |error: png::EncodingError| Error::write("label_map.png")(std::io::Error::other(error));
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(map.ncols()), side(map.nrows()));
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette());
    let mut writer = encoder.write_header().map_err(failed)?;
    let values: Vec<u8> = map.iter().copied().collect();
    writer.write_image_data(&values).and_then(|()| writer.finish()).map_err(failed)?;
    Ok(bytes)
}

/// Writes a label map to a PNG file, whole or not at all.
///
/// # Errors
/// As [`label_map_png`], or if the file cannot be written.
pub fn write_palette_png(map: &Array2<u8>, path: &Path) -> Result<()> {
    write_atomic(path, &label_map_png(map)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load_label_map;

    #[test]
    fn the_colours_are_those_of_pascal_voc() {
        // From the development kit's `VOClabelcolormap`: background, aeroplane, bicycle, bird, bottle, cow, person, void.
        let known = [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (2, [0, 128, 0]),
            (3, [128, 128, 0]),
            (5, [128, 0, 128]),
            (10, [64, 128, 0]),
            (15, [192, 128, 128]),
            (255, [224, 224, 192]),
            (256, [0, 0, 32]), // the kit ends at 255; its rule does not
        ];
        for (class, expected) in known {
            assert_eq!(colour(class), expected, "{class}");
        }
    }

    #[test]
    fn a_label_map_comes_back_and_is_shown_in_its_colours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.png");
        let map = Array2::from_shape_fn((16, 17), |(y, x)| u8::try_from((y * 17 + x) % 256).unwrap());
        write_palette_png(&map, &path).unwrap();
        assert_eq!(load_label_map(&path).unwrap(), map);
        let shown = crate::data::load_image(&path).unwrap();
        let expected: Vec<u8> = map.iter().flat_map(|&class| colour(class.into())).collect();
        assert_eq!((shown.channels, shown.pixels), (3, expected));
    }
}
