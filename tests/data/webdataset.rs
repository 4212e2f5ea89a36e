//! Claim: tar shards of images and labels are read by offset, in the order of their keys; whatever does not fit together
//! is refused with the shard and the member named, and nothing is ever unpacked.

use crate::common::files::{labels_refusal, put, refusal};
use crate::common::shards::{Member, png, tar};
use std::fs;
use tempfile::TempDir;
use vit_mae::data::{Split, open, recognise};

fn labels_refused(members: &[Member], words: &[&str]) {
    let dir = TempDir::new().unwrap();
    let message = labels_refusal(&put(&dir, "shard.tar", &tar(members)), Split::Train);
    for word in words.iter().chain(&["shard.tar"]) {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

/// The names of the classes of images with these `.cls` or `.json` members, and the class of each.
fn classes_of(kind: &str, labels: &[&[u8]]) -> (String, Vec<usize>) {
    let dir = TempDir::new().unwrap();
    let image = png(1);
    let names: Vec<[String; 2]> =
        (0..labels.len()).map(|i| [format!("{i}.png"), format!("{i}.{kind}")]).collect();
    let mut members = Vec::new();
    for ([picture, label], text) in names.iter().zip(labels) {
        members.extend([Member(picture, &image), Member(label, text)]);
    }
    let data = open(put(&dir, "shard.tar", &tar(&members)), None, Split::Train).unwrap();
    (data.classes().join(" "), data.labels().unwrap())
}

/// Refuses a shard with all `words` and its name in the message.
fn refused(bytes: &[u8], words: &[&str]) {
    let dir = TempDir::new().unwrap();
    let message = refusal(&put(&dir, "shard.tar", bytes), Split::Train);
    for word in words.iter().chain(&["shard.tar"]) {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

#[test]
fn images_and_classes_are_read_in_the_order_of_their_keys() {
    let dir = TempDir::new().unwrap();
    let shard = tar(&[
        Member("b/1.png", &png(10)),
        Member("b/1.cls", b"2\n"),
        Member("a.x/2.json", br#"{"caption": "a cat", "label": 0}"#),
        Member("a.x/2.seg.png", b"left out"),
        Member("a.x/2.PNG", &png(20)),
        Member("._b", b"left out"),
        Member("a.x/2.txt", b"left out"),
    ]);
    let path = put(&dir, "shard.tar", &shard);
    let data = open(&path, None, Split::Train).unwrap();
    assert_eq!((data.len(), data.classes().join(" "), data.size()), (2, "0 2".to_owned(), None));
    assert_eq!((data.label(0), data.label(1)), (Some(1), Some(0)));
    assert_eq!(data.image(1).unwrap().pixels[0], 20);
    assert_eq!(data.image(0).unwrap().pixels[0], 10);
    assert!(data.source(0).ends_with("shard.tar, member b/1.png"), "{}", data.source(0));
    assert!(data.describe().ends_with("WebDataset, 2 images in 1 shard, 2 classes"), "{}", data.describe());
}

#[test]
fn a_long_name_and_one_that_climbs_are_names_and_no_paths() {
    let dir = TempDir::new().unwrap();
    let long = format!("{}/image.png", "folder".repeat(40));
    let path = put(&dir, "shard.tar", &tar(&[Member(&long, &png(1)), Member("../../escaped.png", &png(2))]));
    let data = open(&path, None, Split::Train).unwrap();
    assert_eq!((data.len(), data.image(1).unwrap().pixels[0]), (2, 2));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is unpacked");
    assert!(data.source(0).contains(&long));
}

#[test]
fn a_folder_a_pattern_and_sub_folders_name_several_shards() {
    let dir = TempDir::new().unwrap();
    let shard =
        |value: u8, class: &str| tar(&[Member("0.png", &png(value)), Member("0.cls", class.as_bytes())]);
    put(&dir, "pets-train-000.tar", &shard(1, "4"));
    put(&dir, "pets-train-001.tar", &shard(2, "0"));
    put(&dir, "pets-val-000.tar", &shard(3, "4"));
    assert_eq!(recognise(dir.path()).unwrap().to_string(), "webdataset");
    let train = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((train.len(), train.image(1).unwrap().pixels[0]), (2, 2));
    let validation = open(dir.path(), None, Split::Validation).unwrap();
    assert_eq!(
        (validation.len(), validation.label(0), validation.classes().join(" ")),
        (1, Some(1), "0 4".to_owned())
    );
    let some = open(dir.path().join("*-train-*.tar"), None, Split::Train).unwrap();
    assert_eq!((some.len(), some.digest().unwrap()), (2, train.digest().unwrap()));
    let message = refusal(&dir.path().join("x-*.tar"), Split::Train);
    assert!(message.contains("x-*.tar: pattern: expected"), "{message}");
    put(&dir, "pets-val-000.tar", &shard(3, "5"));
    let message = labels_refusal(dir.path(), Split::Validation);
    let words = "pets-val-000.tar: label of member 0.png: expected one of the 2 classes (0, 4), found 5";
    assert!(message.contains(words), "{message}");

    let dir = TempDir::new().unwrap();
    put(&dir, "train/0.tar", &shard(1, "0"));
    put(&dir, "test/0.tar", &shard(2, "0"));
    assert_eq!(open(dir.path(), None, Split::Test).unwrap().image(0).unwrap().pixels[0], 2);

    let dir = TempDir::new().unwrap();
    put(&dir, "a.tar", &shard(1, "0"));
    assert_eq!(open(dir.path(), None, Split::Train).unwrap().len(), 1);
    assert!(refusal(dir.path(), Split::Test).contains("found none"));
}

#[test]
fn a_folder_of_images_beside_a_tar_file_stays_a_folder_of_images() {
    let dir = TempDir::new().unwrap();
    put(&dir, "backup.tar", &tar(&[]));
    put(&dir, "cat/1.png", &png(1));
    assert_eq!(recognise(dir.path()).unwrap().to_string(), "folder");
}

#[test]
fn members_without_a_partner_are_named() {
    refused(&tar(&[Member("7.cls", b"1")]), &["7.cls", "an image", "of the same key"]);
    let some = [Member("7.png", &png(1)), Member("7.cls", b"1"), Member("8.png", &png(2))];
    labels_refused(&some, &["label of member 8.png", ".cls or .json"]);
    refused(&tar(&[Member("readme.txt", b"hello")]), &["images", "*.png"]);
    let dir = TempDir::new().unwrap();
    let path = put(&dir, "shard.tar", &tar(&[Member("7.png", &png(1)), Member("8.png", &png(2))]));
    let data = open(path, None, Split::Train).unwrap();
    assert_eq!((data.len(), data.label(0), data.classes().len()), (2, None, 0), "no labels at all are fine");
}

#[test]
fn a_key_with_two_images_or_two_classes_is_refused() {
    let twice = [Member("7.png", &png(1)), Member("7.cls", b"0"), Member("7.png", &png(2))];
    refused(&tar(&twice), &["member 7.png", "one member of its kind for the key 7", "a second one"]);
    refused(&tar(&[Member("7.png", &png(1)), Member("7.jpg", &png(2))]), &["member 7.jpg", "a second one"]);
    refused(&tar(&[Member("7.cls", b"0"), Member("7.cls", b"0")]), &["member 7.cls", "a second one"]);
}

#[test]
fn a_class_that_is_neither_a_whole_number_nor_a_name_is_refused() {
    for (class, found) in [("1.5", "found 1.5"), ("", "found \"\""), ("-2", "found -2"), ("1e99", "0000")] {
        let members = [Member("7.png", &png(1)), Member("7.cls", class.as_bytes())];
        labels_refused(&members, &["label of member 7.png", "a class", found]);
    }
    labels_refused(&[Member("7.png", &png(1)), Member("7.cls", b"\xff\xfe7\0")], &["member 7.cls", "UTF-16"]);
    labels_refused(
        &[Member("7.png", &png(1)), Member("7.cls", b"caf\xe9")],
        &["member 7.cls", "UTF-8", "byte 3"],
    );
    labels_refused(
        &[Member("7.png", &png(1)), Member("7.cls", &[b'x'; 2000])],
        &["member 7.cls", "1024 bytes"],
    );
    for (json, words) in [
        (r#"{"label": true}"#, ["whole number", "true"]),
        (r#"{"label": [1, 2]}"#, ["whole number", "[1,2]"]),
        (r#"{"cls": 1.5}"#, ["whole number", "1.5"]),
        ("[1]", ["JSON object", "invalid type"]),
        ("{", ["JSON object", "EOF"]),
    ] {
        let members = [Member("7.png", &png(1)), Member("7.json", json.as_bytes())];
        labels_refused(&members, &[&["member 7."][..], &words].concat());
    }
}

#[test]
fn numbers_are_classes_in_order_of_value_and_names_in_alphabetical_order() {
    let of = |kind, labels: &[&str]| {
        classes_of(kind, &labels.iter().map(|label| label.as_bytes()).collect::<Vec<_>>())
    };
    assert_eq!(of("cls", &["10", "9\n", " 10 ", "100000"]), ("9 10 100000".to_owned(), vec![1, 0, 1, 2]));
    assert_eq!(of("cls", &["owl", "cat\r\n", "owl"]), ("cat owl".to_owned(), vec![1, 0, 1]));
    assert_eq!(of("cls", &["A", "7", "10"]), ("10 7 A".to_owned(), vec![2, 1, 0]), "names, if one is");
    let json = [r#"{"label": "8"}"#, r#"{"label": 10}"#, r#"{"label": 8.0}"#];
    assert_eq!(of("json", &json), ("8 10".to_owned(), vec![0, 1, 0]));
    assert_eq!(of("json", &[r#"{"cls": "cat"}"#, r#"{"label": "ant"}"#]), ("ant cat".to_owned(), vec![1, 0]));
    let mixed = [Member("1.png", &png(1)), Member("1.json", br#"{"label": 3}"#), Member("2.png", &png(1))];
    let mixed = [&mixed[..], &[Member("2.json", br#"{"label": "cat"}"#)]].concat();
    labels_refused(&mixed, &["label of member 1.png", "a name", "found 3"]);
}

#[test]
fn null_and_minus_one_are_no_label() {
    let members = |a: &'static [u8], b: &'static [u8]| {
        tar(&[Member("1.png", &png(1)), Member("1.json", a), Member("2.png", &png(1)), Member("2.json", b)])
    };
    let dir = TempDir::new().unwrap();
    let path = put(&dir, "shard.tar", &members(br#"{"label": null}"#, br#"{"label": -1}"#));
    let data = open(&path, None, Split::Train).unwrap();
    assert!(data.label(0).is_none() && data.classes().is_empty() && data.label_problem().is_none());
    let path = put(&dir, "shard.tar", &members(br#"{"label": 5}"#, br#"{"label": null}"#));
    let message = labels_refusal(&path, Split::Train);
    assert!(message.contains("label of member 2.png: expected a label, as other images have"), "{message}");
}

#[test]
fn byte_order_marks_and_line_ends_of_windows_are_no_part_of_a_label() {
    let cls: [&[u8]; 2] = [b"\xef\xbb\xbf10\r\n", b"9\r\n"];
    assert_eq!(classes_of("cls", &cls), ("9 10".to_owned(), vec![1, 0]));
    let cls: [&[u8]; 2] = [b"\xef\xbb\xbfcat", b"cat"];
    assert_eq!(classes_of("cls", &cls), ("cat".to_owned(), vec![0, 0]));
    let json: [&[u8]; 2] = [b"\xef\xbb\xbf{\r\n\"label\": 3\r\n}\r\n", br#"{"label": 3}"#];
    assert_eq!(classes_of("json", &json), ("3".to_owned(), vec![0, 0]));
}

#[test]
fn a_shard_that_is_cut_short_anywhere_is_refused() {
    let image = png(1);
    let whole = tar(&[Member("7.png", &image), Member("7.cls", b"1")]);
    let dir = TempDir::new().unwrap();
    // The last 1024 bytes are the two empty blocks at the end, of which one is enough.
    for len in (0..=whole.len() - 1024).step_by(16) {
        let message = refusal(&put(&dir, "shard.tar", &whole[..len]), Split::Train);
        assert!(message.contains("shard.tar"), "{len}: {message}");
    }
    refused(
        &whole[..512 + image.len() - 1],
        &["member 7.png", &format!("{} bytes", image.len()), "cut short"],
    );
    refused(&whole[..whole.len() - 1024], &["end, after member 7.cls", "cut short"]);
}

#[test]
fn what_is_no_tar_file_is_refused() {
    refused(&[7; 2000], &["tar header", "an uncompressed, sound tar file"]);
    refused(b"\x1f\x8b\x08 gzip", &["tar header"]);
    let mut damaged = tar(&[Member("7.png", &png(1))]);
    damaged[0] ^= 1;
    refused(&damaged, &["tar header after the start", "checksum"]);
    let mut link = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, "7.png", "/etc/passwd").unwrap();
    refused(&link.into_inner().unwrap(), &["member 7.png", "a plain file"]);
}

#[test]
fn a_damaged_image_in_a_shard_is_named_when_it_is_asked_for() {
    let dir = TempDir::new().unwrap();
    let path = put(&dir, "shard.tar", &tar(&[Member("7.png", b"no image"), Member("8.png", &png(1))]));
    let data = open(path, None, Split::Train).unwrap();
    let message = data.image(0).unwrap_err().to_string();
    assert!(message.contains("shard.tar, member 7.png: image format: expected PNG or JPEG"), "{message}");
    assert!(data.image(1).is_ok());
}
