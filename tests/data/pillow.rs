//! Claim: resampling and luma are Pillow's to the bit, and JPEG decoding is within rounding of Pillow's.

use std::path::PathBuf;

use vit_mae::data::resample::{CropBox, Filter, crop_and_resize};
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
    assert_eq!(cases.len(), 12);
    for case in cases {
        let crop = CropBox { top: case.top, left: case.left, height: case.height, width: case.width };
        let expected = load(&case.output);
        let out = crop_and_resize(&load(&case.input), crop, expected.height, expected.width, Filter::Bicubic);
        assert!(out == expected, "{crop:?} of {} is not {}", case.input, case.output);
    }
}

/// A crop and a new size at random, and the CRC-32 of what Pillow makes of it.
#[derive(Debug, serde::Deserialize)]
struct RandomCase {
    height: usize,
    width: usize,
    channels: usize,
    /// Top, left, height, width.
    crop: [usize; 4],
    /// Height, width.
    out: [usize; 2],
    crc32: u32,
}

/// The pixels of a case: a hash of case and position, as `noise` of `make.py` has it.
fn noise(case: u32, count: usize) -> Vec<u8> {
    let first = case.wrapping_mul(1_000_003);
    let hash = |i: u32| {
        let mix = |x: u32, factor: u32| (x ^ x >> 16).wrapping_mul(factor);
        mix(mix(first.wrapping_add(i), 0x7FEB_352D), 0x846C_A68B).to_be_bytes()[0]
    };
    (0..u32::try_from(count).unwrap()).map(hash).collect()
}

#[test]
fn random_crops_are_resized_as_pillow_does_it_whichever_side_goes_first() {
    let cases = std::fs::read_to_string(golden("random.json")).unwrap();
    let cases: Vec<RandomCase> = serde_json::from_str(&cases).unwrap();
    assert_eq!(cases.len(), 600);
    let mut wrong = Vec::new();
    for (i, case) in (0..).zip(&cases) {
        let pixels = noise(i, case.height * case.width * case.channels);
        let image = Image::new(case.height, case.width, case.channels, pixels);
        let [top, left, height, width] = case.crop;
        let out = crop_and_resize(
            &image,
            CropBox { top, left, height, width },
            case.out[0],
            case.out[1],
            Filter::Bicubic,
        );
        if crc32fast::hash(&out.pixels) != case.crc32 {
            wrong.push(case);
        }
    }
    assert!(wrong.is_empty(), "{} of {} are not Pillow's: {wrong:?}", wrong.len(), cases.len());
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
