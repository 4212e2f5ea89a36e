//! Claim: grey, colour, alpha, palettes, 16 bits, four inks and EXIF data are read as `docs/data.md` says: as Pillow's
//! `convert("RGB")` reads them, whose pixels are recorded in `tests/golden/kinds`.

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use vit_mae::data::{Image, load_image};

fn golden(name: &str) -> PathBuf {
    Path::new("tests/golden/kinds").join(name)
}

fn recorded() -> Value {
    serde_json::from_str(&fs::read_to_string(golden("pixels.json")).unwrap()).unwrap()
}

/// Reads a picture as colour and compares it with what Pillow made of it.
fn agrees_with_pillow(name: &str, tolerance: u8) {
    let image = load_image(golden(name)).unwrap().to_channels(3).unwrap();
    let recorded = &recorded()[name];
    let size: Vec<usize> = serde_json::from_value(recorded["size"].clone()).unwrap();
    let pixels: Vec<u8> = serde_json::from_value(recorded["rgb"].clone()).unwrap();
    assert_eq!([image.width, image.height], size[..], "{name}");
    assert_eq!(image.pixels.len(), pixels.len(), "{name}");
    let worst = image.pixels.iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(worst <= tolerance, "{name}: {worst} levels off");
}

/// Saves a picture as PNG and reads it.
fn through_png(image: impl Into<DynamicImage>) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.png");
    image.into().save(&path).unwrap();
    load_image(path).unwrap()
}

#[test]
fn four_inks_become_the_colours_that_pillow_makes_of_them() {
    agrees_with_pillow("cmyk.jpg", 2);
    agrees_with_pillow("ycck.jpg", 2);
}

#[test]
fn an_orientation_in_exif_data_is_not_applied() {
    // As torchvision's loader: the picture stays 16 wide and 8 high, red on the left.
    agrees_with_pillow("turned.jpg", 2);
    agrees_with_pillow("turned.png", 0);
}

#[test]
fn a_palette_becomes_colours_and_its_transparency_is_dropped() {
    agrees_with_pillow("palette.png", 0);
}

/// The nearest of 256 levels: `x / 257`, since 257 · 255 = 65535. A half does not occur, 257 being odd.
fn nearest_level(x: u16) -> u8 {
    u8::try_from((2 * u32::from(x) + 257) / 514).unwrap() // ⌊x / 257 + 1/2⌋
}

#[test]
fn sixteen_bits_become_the_nearest_of_eight() {
    let levels: Vec<u16> = serde_json::from_value(recorded()["deep.png"]["levels"].clone()).unwrap();
    let image = load_image(golden("deep.png")).unwrap();
    let expected: Vec<u8> = levels.iter().map(|&x| nearest_level(x)).collect();
    assert_eq!((image.channels, &image.pixels), (1, &expected));
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let expected: Vec<u8> = all.iter().map(|&x| nearest_level(x)).collect();
    let grey = ImageBuffer::<Luma<u16>, _>::from_raw(256, 256, all).unwrap();
    assert_eq!(through_png(DynamicImage::ImageLuma16(grey)).pixels, expected);
    let colour = ImageBuffer::from_pixel(1, 1, Rgb([0u16, 40_000, 65_535]));
    let image = through_png(DynamicImage::ImageRgb16(colour));
    assert_eq!((image.channels, image.pixels), (3, vec![0, 156, 255])); // 40000 / 257 = 155.6
    let alpha = ImageBuffer::from_pixel(1, 1, Rgba([257u16, 514, 771, 0]));
    let image = through_png(DynamicImage::ImageRgba16(alpha));
    assert_eq!((image.channels, image.pixels), (4, vec![1, 2, 3, 0]));
}

#[test]
fn few_bits_of_grey_are_stretched_to_eight() {
    // Written by hand, as the crate writes none: 4 × 1 pixels of 2 bits, 0 to 3 of 3.
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], content: &[u8]| {
        png.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        let body = [kind, content].concat();
        png.extend(&body);
        png.extend(crc32fast::hash(&body).to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0, 0, 0]);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(&[0, 0b00_01_10_11]).unwrap();
    chunk(b"IDAT", &zlib.finish().unwrap());
    chunk(b"IEND", &[]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.png");
    fs::write(&path, png).unwrap();
    let image = load_image(path).unwrap();
    assert_eq!((image.channels, image.pixels), (1, vec![0, 85, 170, 255]));
}

#[test]
fn grey_and_alpha_keep_their_channels_until_the_model_asks_for_others() {
    let grey = through_png(DynamicImage::ImageLuma8(ImageBuffer::from_pixel(2, 1, Luma([9u8]))));
    assert_eq!((grey.channels, grey.pixels), (1, vec![9, 9]));
    let alpha = ImageBuffer::from_pixel(1, 1, LumaA([9u8, 0]));
    let alpha = through_png(DynamicImage::ImageLumaA8(alpha));
    assert_eq!((alpha.channels, &alpha.pixels), (2, &vec![9, 0]));
    // Alpha is dropped: a pixel that cannot be seen keeps the colour that stands in the file.
    assert_eq!(alpha.to_channels(3).unwrap().pixels, [9, 9, 9]);
    let colour = ImageBuffer::from_pixel(1, 1, Rgba([200u8, 100, 50, 0]));
    let colour = through_png(DynamicImage::ImageRgba8(colour));
    assert_eq!((colour.channels, colour.to_channels(3).unwrap().pixels), (4, vec![200, 100, 50]));
}
