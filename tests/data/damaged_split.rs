//! Claim: a split that is there and damaged is an error, also where another could stand in for it; one that is not there is none; what
//! lies beside it and is not read is named.

use ndarray::arr2;
use serde_json::{Value, json};
use tempfile::TempDir;
use vit_mae::data::{Contents, Split, open, open_judged};
use vit_mae::draw::palette::label_map_png;

use crate::coco::{annotation, document, picture, put_json};
use crate::common::files::put;

const VOC: &str = "<annotation><object><name>dog</name>\
    <bndbox><xmin>2</xmin><ymin>1</ymin><xmax>4</xmax><ymax>6</ymax></bndbox></object></annotation>";

/// Every way to open a data set refuses this one, with these words; none of its splits stands in for the damaged one.
fn refused(dir: &TempDir, split: Split, words: &[&str]) {
    let of_split = open(dir.path(), None, split).map(|data| data.describe());
    let contents = Contents::open(dir.path(), None).map(|contents| contents.notes.join("; "));
    let judged = match split {
        Split::Train => Err(of_split.clone().unwrap_err()),
        _ => open_judged(dir.path(), None).map(|judged| format!("{:?}", judged.map(|judged| judged.0.0))),
    };
    for error in [of_split, contents, judged].map(Result::unwrap_err) {
        let message = error.to_string();
        assert!(!error.is_absence() && error.exit_code() == 2, "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

/// What is said of the training split without the folder's own name.
fn notes(dir: &TempDir) -> Vec<String> {
    let data = open(dir.path(), None, Split::Train).unwrap();
    data.notes().iter().map(|note| note.replace(&format!("{}/", dir.path().display()), "")).collect()
}

#[test]
fn a_document_of_coco_that_cannot_be_read_is_no_missing_split() {
    let sound = document(&[(1, "a.png"), (2, "b.png")], &json!([annotation(1)]));
    let with = |change: fn(&mut Value)| {
        let mut value = sound.clone();
        change(&mut value);
        value
    };
    let name = "instances_test.json";
    for (document, words) in [
        (with(|all| all["images"][1]["file_name"] = "".into()), &["images[1]: file_name"][..]),
        (with(|all| all["images"] = json!([])), &["images: expected at least one, found none"]),
        (
            with(|all| all["annotations"][0]["image_id"] = "1".into()),
            &["annotations[0]: image_id: expected a whole number, found \"1\""],
        ),
        (with(|all| all["annotations"][0]["image_id"] = Value::Null), &["image_id", "found none"]),
        (with(|all| all["annotations"][0] = 7.into()), &["annotations[0]: entry", "found 7"]),
    ] {
        let dir = TempDir::new().unwrap();
        for split in ["train", "val", "test"] {
            put_json(&dir, &format!("annotations/instances_{split}.json"), &sound);
            put(&dir, &format!("images/{split}/a.png"), &picture());
            put(&dir, &format!("images/{split}/b.png"), &picture());
        }
        put_json(&dir, &format!("annotations/{name}"), &document);
        refused(&dir, Split::Test, &[&[name][..], words].concat());
    }
    let dir = TempDir::new().unwrap();
    put_json(&dir, "annotations/instances_train.json", &sound);
    put_json(&dir, "annotations/instances_val.json", &sound);
    #[cfg(unix)]
    {
        let link = dir.path().join("annotations").join(name);
        std::os::unix::fs::symlink("nowhere.json", &link).unwrap();
        refused(&dir, Split::Test, &["cannot read", name]);
        std::fs::remove_file(link).unwrap();
    }
    let ((split, _), why) = open_judged(dir.path(), None).unwrap().unwrap();
    assert!(split == Split::Validation && why.unwrap().contains("found none"));
}

#[test]
fn a_split_of_pascal_voc_without_annotations_is_refused() {
    let dir = TempDir::new().unwrap();
    for name in ["train/a", "valid/b"] {
        put(&dir, &format!("{name}.png"), &picture());
    }
    put(&dir, "train/a.xml", VOC.as_bytes());
    refused(&dir, Split::Validation, &["valid: annotations: expected XML files (.xml), found none"]);

    let dir = TempDir::new().unwrap();
    put(&dir, "JPEGImages/a.png", &picture());
    put(&dir, "Annotations/a.xml", VOC.as_bytes());
    put(&dir, "ImageSets/Main/train.txt", b"a\n");
    put(&dir, "ImageSets/Main/val.txt", b"\n");
    refused(&dir, Split::Validation, &["val.txt: list of names: expected at least one, found none"]);
}

#[test]
fn nothing_stands_behind_an_annotation_of_pascal_voc() {
    let dir = TempDir::new().unwrap();
    put(&dir, "JPEGImages/a.png", &picture());
    put(&dir, "classes.txt", b"dog\n");
    let read = |behind: &str| {
        put(&dir, "Annotations/a.xml", format!("{VOC}{behind}").as_bytes());
        open(dir.path(), None, Split::Train).unwrap().target(0).map_err(|error| error.to_string())
    };
    assert!(read("").is_ok() && read("\r\n<!-- by hand -->\n").is_ok());
    let message = read(&VOC.replace("dog", "cat")).unwrap_err();
    assert!(message.ends_with("XML: expected one annotation, found another behind it"), "{message}");
    for behind in ["junk", "<note/>", "</annotation>", "<annotation>"] {
        let message = read(behind).unwrap_err();
        assert!(message.contains("a.xml: XML: expected nothing behind the annotation, found "), "{message}");
    }
}

#[test]
fn of_two_pictures_with_one_name_none_is_taken() {
    let dir = TempDir::new().unwrap();
    put(&dir, "JPEGImages/a.png", &picture());
    put(&dir, "JPEGImages/a.jpg", &picture());
    put(&dir, "Annotations/a.xml", VOC.as_bytes());
    refused(
        &dir,
        Split::Train,
        &["JPEGImages/a.jpg: name: expected one picture of each name", "a.png beside it"],
    );
}

#[test]
fn what_lies_beside_annotations_of_pascal_voc_is_named() {
    let dir = TempDir::new().unwrap();
    for name in ["train/a", "train/sub/b", "more/c", "loose"] {
        put(&dir, &format!("{name}.png"), &picture());
        put(&dir, &format!("{name}.xml"), VOC.as_bytes());
    }
    let root = dir.path().display();
    assert_eq!(
        notes(&dir),
        ["train: sub: not read".to_owned(), format!("{root}: loose.png, loose.xml, more: not read")]
    );

    let dir = TempDir::new().unwrap();
    for name in ["a", "sub/b"] {
        put(&dir, &format!("JPEGImages/{name}.png"), &picture());
        put(&dir, &format!("Annotations/{name}.xml"), VOC.as_bytes());
    }
    assert_eq!(notes(&dir), ["Annotations: sub: not read", "JPEGImages: sub: not read"]);
}

#[test]
fn folders_of_label_maps_that_are_not_read_are_named() {
    let dir = TempDir::new().unwrap();
    let map = label_map_png(&arr2(&[[0_u8; 8]; 6])).unwrap();
    put(&dir, "classes.txt", b"sky\n");
    for split in ["train", "val"] {
        put(&dir, &format!("images/{split}/a.png"), &picture());
        put(&dir, &format!("annotations/{split}/a.png"), &map);
    }
    put(&dir, "images/test/a.bmp", b"BM");
    put(&dir, "images/train/b.webp", b"RIFF");
    put(&dir, "annotations/test/a.png", &map);
    put(&dir, "annotations/more/a.png", &map);
    let said = notes(&dir);
    assert!(said[0].starts_with("no test images: images/test: images: expected PNG or JPEG"), "{said:?}");
    assert!(said[0].contains("found none, but 1 file *.bmp"), "{said:?}");
    assert_eq!(said[1], "annotations/more: no images of this name: not read");
    assert!(said[2].starts_with("images/train: 1 file *.webp"), "{said:?}");
    let ((split, _), why) = open_judged(dir.path(), None).unwrap().unwrap();
    assert!(split == Split::Validation && why.unwrap().contains("1 file *.bmp"));
}
