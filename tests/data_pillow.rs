//! Claim: resampling and luma are Pillow's to the bit, and JPEG decoding is within rounding of Pillow's.

use std::path::PathBuf;

use vit_mae::data::resample::{CropBox, crop_and_resize};
use vit_mae::data::{Image, load_image};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pillow").join(name)
}

fn load(name: &str) -> Image {
    load_image(golden(name)).unwrap()
}

#[derive(serde::Deserialize)]
struct Case {
    input: String,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    output: String,
}

#[test]
fn crops_are_resized_as_pillow_does_it() {
    let cases = std::fs::read_to_string(golden("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let crop = CropBox { top: case.top, left: case.left, height: case.height, width: case.width };
        let expected = load(&case.output);
        let out = crop_and_resize(&load(&case.input), crop, expected.height, expected.width);
        assert!(out == expected, "{crop:?} of {} is not {}", case.input, case.output);
    }
}

#[test]
fn luma_is_pillows() {
    assert_eq!(load("colour.png").to_channels(1).unwrap(), load("colour_luma.png"));
}

#[test]
fn jpeg_decoding_is_within_rounding_of_pillows() {
    let (ours, pillows) = (load("colour.jpg"), load("colour_jpg.png"));
    assert_eq!((ours.height, ours.width, ours.channels), (pillows.height, pillows.width, pillows.channels));
    let worst = ours.pixels.iter().zip(&pillows.pixels).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(JPEG_TOLERANCE), "off by {worst:?}");
}

/// Two decoders may round the inverse cosine transform and the colour conversion differently.
const JPEG_TOLERANCE: u8 = 2;
