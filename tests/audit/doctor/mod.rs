//! Claim: the doctor finds each sick run's sickness and calls healthy runs healthy; whatever is missing or damaged
//! is said, and nothing damaged is called healthy.

mod curves;
mod damage;
mod finetuned;
mod healthy;
mod sick;

use crate::common::Place;
use serde_json::Value;
use std::fs;

/// Learns smooth pictures of 8 × 8 within a second.
pub(crate) const SMALL: &str = "
[model]
img_size = [8, 8]
patch_size = 2
embed_dim = 32
depth = 1
num_heads = 2
decoder_embed_dim = 32
decoder_depth = 1
decoder_num_heads = 2
[data]
flip = false
val_fraction = 0.0
[optim]
epochs = 30
warmup_epochs = 6
batch_size = 16
micro_batch = 8
lr = 5e-3
[run]
held_out_images = 32
";

/// A place with `small.toml` and smooth pictures: `images/train` (128) and `images/validation` (32).
pub(crate) fn place() -> Place {
    let place = Place::new();
    place.write("small.toml", SMALL);
    pictures(&place, "images/train", 0..128);
    pictures(&place, "images/validation", 200..232);
    place
}

/// Pictures of two waves whose directions and phases follow from their number.
pub(crate) fn pictures(place: &Place, folder: &str, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let turn = |k: f32| (n as f32 * k).fract() * std::f32::consts::TAU;
        let (a, b, phase) = (turn(0.618).cos(), turn(0.414).sin(), turn(0.732));
        let draw = |x: u32, y: u32| {
            let wave = (0.6 * (a * x as f32 + b * y as f32) + phase).sin();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            image::Luma([(128.0 + 100.0 * wave) as u8])
        };
        let path = place.path(&format!("{folder}/{n:03}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::GrayImage::from_fn(8, 8, draw).save(path).unwrap();
    }
}

/// Trains in `run`.
pub(crate) fn train(place: &Place, flags: &[&str]) {
    place.pretrain(&[&["--config", "small.toml", "--out", "run"], flags].concat());
}

pub(crate) fn trained(flags: &[&str]) -> Place {
    let place = place();
    train(&place, flags);
    place
}

/// Exit code and report.
pub(crate) fn diagnose(place: &Place, flags: &[&str]) -> (i32, Value) {
    let output = place.run(&[&["audit", "doctor", "run", "--json"], flags].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|e| {
        panic!("{e}: {text} {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code().unwrap(), report)
}

/// `verdict: text` of each finding of a check.
pub(crate) fn findings(report: &Value, check: &str) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter().filter(|f| f["check"] == check);
    all.map(|f| format!("{}: {}", f["verdict"].as_str().unwrap(), f["text"].as_str().unwrap())).collect()
}

/// Findings of this verdict, as `check: text`.
pub(crate) fn with_verdict(report: &Value, verdict: &str) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter().filter(|f| f["verdict"] == verdict);
    all.map(|f| format!("{}: {}", f["check"].as_str().unwrap(), f["text"].as_str().unwrap())).collect()
}

/// A check found this, with all these words.
#[track_caller]
pub(crate) fn assert_found(report: &Value, check: &str, verdict: &str, words: &[&str]) {
    let found = findings(report, check);
    let fits = |f: &String| f.starts_with(&format!("{verdict}: ")) && words.iter().all(|w| f.contains(w));
    assert!(found.iter().any(fits), "{check} should be {verdict} with {words:?}, and is {found:?}");
}

#[track_caller]
pub(crate) fn assert_advice(report: &Value, first: &str) {
    let advice = report["advice"][0].as_str().unwrap_or_default();
    assert!(advice.contains(first), "the first advice should be {first:?}: {}", report["advice"]);
}

/// Neither a problem nor a warning.
#[track_caller]
pub(crate) fn assert_healthy((code, report): &(i32, Value)) {
    let bad = [with_verdict(report, "problem"), with_verdict(report, "warning")].concat();
    assert!(*code == 0 && bad.is_empty(), "exit {code}: {bad:#?}");
    assert!(report["summary"].as_str().unwrap().starts_with("healthy"), "{}", report["summary"]);
}
