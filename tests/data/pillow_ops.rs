//! Claim: every operation of RandAugment gives Pillow's result to the bit, in colour, in grey, and on an image whose
//! histogram is nearly empty.

use std::path::PathBuf;

use vit_mae::data::augment::rand_augment::Op;
use vit_mae::data::{Image, load_image};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pillow").join(name)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers where they are meant"
)]
fn op(name: &str, value: f64) -> Op {
    match name {
        "AutoContrast" => Op::AutoContrast,
        "Equalize" => Op::Equalize,
        "Invert" => Op::Invert,
        "Rotate" => Op::Rotate(value),
        "Posterize" => Op::Posterize(value as u32),
        "Solarize" => Op::Solarize(value as u32),
        "SolarizeAdd" => Op::SolarizeAdd(value as u8),
        "Color" => Op::Color(value as f32),
        "Contrast" => Op::Contrast(value as f32),
        "Brightness" => Op::Brightness(value as f32),
        "Sharpness" => Op::Sharpness(value as f32),
        "ShearX" => Op::ShearX(value),
        "ShearY" => Op::ShearY(value),
        "TranslateX" => Op::TranslateX(value),
        "TranslateY" => Op::TranslateY(value),
        other => panic!("Pillow recorded {other}"),
    }
}

/// Applies every recorded operation to an image and compares with the tiles of `ops_NAME.png`, one below the other.
fn operations_are_pillows(name: &str) {
    let cases = std::fs::read_to_string(golden("ops.json")).unwrap();
    let cases: Vec<(String, f64)> = serde_json::from_str(&cases).unwrap();
    let input = load_image(golden(&format!("{name}.png"))).unwrap();
    let recorded = load_image(golden(&format!("ops_{name}.png"))).unwrap();
    let tiles = recorded.pixels.chunks_exact(input.pixels.len());
    assert_eq!(tiles.len(), cases.len());
    let mut wrong = Vec::new();
    for ((op_name, value), expected) in cases.iter().zip(tiles) {
        let mut image: Image = input.clone();
        op(op_name, *value).apply(&mut image, &[124, 116, 104][..input.channels]);
        let differing = image.pixels.iter().zip(expected).filter(|(a, b)| a != b).count();
        if differing > 0 {
            wrong.push(format!("{op_name}({value}): {differing} values"));
        }
    }
    assert!(wrong.is_empty(), "{name}, not Pillow's: {wrong:?}");
}

#[test]
fn operations_on_colour_are_pillows() {
    operations_are_pillows("colour");
}

#[test]
fn operations_on_grey_are_pillows() {
    operations_are_pillows("grey");
}

#[test]
fn operations_on_few_values_are_pillows() {
    operations_are_pillows("dull");
}
