//! Claim: what lies beside COCO's documents and belongs to none is named, and what a picture's header claims is checked before objects take
//! memory by it.

use serde_json::json;
use tempfile::TempDir;
use vit_mae::data::{Format, Split, open};

use crate::coco::{annotation, document, picture, put_json};
use crate::common::files::put;

/// What objects take depends on their image's size.
#[test]
fn a_header_that_claims_more_than_its_file_holds_is_no_size() {
    let dir = TempDir::new().unwrap();
    let mut whole = document(&[(1, "a.png")], &json!([annotation(1)]));
    (whole["images"][0]["height"], whole["images"][0]["width"]) = (json!(10_000), json!(10_000));
    put_json(&dir, "annotations.json", &whole);
    let mut claims = picture();
    claims[16..24].copy_from_slice(&[0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10]);
    put(&dir, "a.png", &claims);
    let error = open(dir.path(), None, Split::Train).unwrap().target(0).unwrap_err().to_string();
    assert!(
        error.contains("a.png: image size: expected at most") && error.contains("10000×10000"),
        "{error}"
    );
}

#[test]
fn documents_and_folders_that_are_no_splits_are_named() {
    let dir = TempDir::new().unwrap();
    for (split, image) in [("train", "a.png"), ("minival", "b.png")] {
        put_json(&dir, &format!("annotations/instances_{split}.json"), &document(&[(1, image)], &json!([])));
    }
    put(&dir, "images/train/a.png", &picture());
    put(&dir, "images/test/b.png", &picture());
    let data = open(dir.path(), None, Split::Train).unwrap();
    let root = dir.path().display().to_string();
    let notes: Vec<String> = data.notes().iter().map(|note| note.replace(&root, "")).collect();
    let expected = [
        "/annotations/instances_minival.json: of no split: not read",
        "/images/test: no document of this split: not read",
    ];
    assert_eq!(notes, expected);
    let none = open(dir.path(), Some(Format::Coco), Split::Test).err().unwrap().to_string();
    let words = ["COCO's document for test, annotations/instances_*.json", "instances_minival.json"];
    assert!(words.iter().all(|word| none.contains(word)), "{none}");
}
