//! Claim: a folder gives its images, its classes and its splits by clear rules, and whatever is no sound
//! image is refused with a message that names the file.

use crate::common::files::put;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;
use tempfile::TempDir;
use vit_mae::Error;
use vit_mae::data::{Format, Split, labelled_split, load_image, open};

/// A picture with some detail, encoded.
fn encoded(height: u32, width: u32, format: ImageFormat) -> Vec<u8> {
    let pixel = |x: u32, y: u32| image::Rgb([x * 31, y * 17, x * y].map(|v| v.to_le_bytes()[0]));
    let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, pixel));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png() -> Vec<u8> {
    encoded(4, 6, ImageFormat::Png)
}

fn refusal(root: &Path, split: Split) -> String {
    let error = open(root, Some(Format::Folder), split).map(|d| d.describe()).expect_err("must be refused");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

/// The message of refusing `bytes` as an image file, which must name the file.
fn image_refusal(bytes: &[u8]) -> String {
    let dir = TempDir::new().unwrap();
    let error = load_image(put(dir.path(), "picture.png", bytes)).expect_err("must be refused");
    assert_eq!(error.exit_code(), 2);
    let message = error.to_string();
    assert!(message.contains("picture.png"), "{message}");
    message
}

#[test]
fn a_flat_folder_holds_its_images_in_order_without_labels() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "b.PNG", &png());
    put(dir.path(), "a.jpeg", &encoded(8, 8, ImageFormat::Jpeg));
    put(dir.path(), ".hidden.png", b"");
    put(dir.path(), "readme.txt", b"not an image");
    put(dir.path(), "docs/readme.txt", b"not an image");
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((data.len(), data.size(), data.label(0), data.classes().len()), (2, None, None, 0));
    assert!(data.source(0).ends_with("a.jpeg"));
    let image = data.image(1).unwrap();
    assert_eq!((image.height, image.width, image.channels), (4, 6, 3));
    assert_eq!(image.pixels[(2 * 6 + 5) * 3..][..3], [155, 34, 10]);
}

#[test]
fn sub_folders_are_classes_in_the_order_of_their_names() {
    let dir = TempDir::new().unwrap();
    for name in ["dog/1.png", "cat/2.png", "cat/1.png"] {
        put(dir.path(), name, &png());
    }
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!(data.classes(), ["cat", "dog"]);
    assert_eq!([0, 1, 2].map(|i| data.label(i)), [Some(0), Some(0), Some(1)]);
    assert!(data.source(0).ends_with("1.png"));
    assert!(refusal(dir.path(), Split::Test).contains("called test"));
}

#[test]
fn a_label_means_the_same_in_train_and_val() {
    let dir = TempDir::new().unwrap();
    for name in ["train/cat/1.png", "train/dog/1.png", "train/owl/1.png", "val/owl/1.png"] {
        put(dir.path(), name, &png());
    }
    assert_eq!(open(dir.path(), None, Split::Train).unwrap().len(), 3);
    let val = open(dir.path(), None, Split::Validation).unwrap();
    assert_eq!((val.len(), val.label(0), val.classes().len()), (1, Some(2), 3));
    put(dir.path(), "val/yak/1.png", &png());
    let val = open(dir.path(), None, Split::Validation).unwrap();
    assert_eq!((val.len(), val.label(0), val.classes().len()), (2, None, 0), "its images are read");
    let message = val.labels().unwrap_err().to_string();
    assert!(message.contains("(cat, dog, owl), found yak"), "{message}");
}

#[test]
fn a_folder_without_images_beside_classes_is_no_class_and_said() {
    let dir = TempDir::new().unwrap();
    for name in
        ["train/cat/1.png", "train/dog/notes.txt", "train/owl/1.png", "val/cat/1.png", "val/yak/a.txt"]
    {
        put(dir.path(), name, &png());
    }
    let train = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((train.len(), train.classes().join(" ")), (2, "cat owl".to_owned()));
    assert!(labelled_split(&*train, 1.0, 0.0, 0).is_ok());
    assert!(train.notes()[0].contains("train/dog: no class"), "{:?}", train.notes());
    // Another split may lack a class of the training set.
    let validation = open(dir.path(), None, Split::Validation).unwrap();
    assert_eq!(validation.classes(), train.classes());
    assert!(validation.notes()[0].contains("val/yak: no class"), "{:?}", validation.notes());
}

#[test]
fn a_folder_without_images_is_refused() {
    let dir = TempDir::new().unwrap();
    assert!(refusal(dir.path(), Split::Train).contains("images: expected PNG or JPEG"));
    put(dir.path(), "notes.txt", b"");
    put(dir.path(), "empty/notes.txt", b"");
    assert!(refusal(dir.path(), Split::Train).contains("found none"));
}

#[test]
fn images_beside_classes_are_refused() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "1.png", &png());
    put(dir.path(), "cat/1.png", &png());
    assert!(refusal(dir.path(), Split::Train).contains("1 beside the sub-folders cat"));
}

#[test]
fn the_digest_sees_names_and_lengths() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "a.png", &png());
    let digest = || open(dir.path(), None, Split::Train).unwrap().digest().unwrap();
    let before = digest();
    assert_eq!(before, digest());
    put(dir.path(), "a.png", &[&png()[..], &[0]].concat());
    let longer = digest();
    assert_ne!(before, longer);
    fs::rename(dir.path().join("a.png"), dir.path().join("b.png")).unwrap();
    assert_ne!(longer, digest());
}

#[test]
fn a_missing_file_or_a_folder_is_no_image() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(load_image(dir.path().join("none.png")), Err(Error::Read { .. })));
    let message = load_image(dir.path()).unwrap_err().to_string();
    assert!(message.contains("expected a regular file, found a folder"), "{message}");
}

#[test]
fn a_file_that_is_no_image_is_refused() {
    assert!(
        image_refusal(b"hello world").contains("PNG or JPEG, found a file that begins with the bytes 68")
    );
    assert!(image_refusal(b"").contains("an empty file"));
    assert!(image_refusal(b"GIF89a\0\0\0\0").contains("PNG or JPEG"));
}

#[test]
fn an_image_cut_in_half_is_refused() {
    let jpeg = encoded(64, 64, ImageFormat::Jpeg);
    assert!(image_refusal(&jpeg[..jpeg.len() / 2]).contains("FF D9"));
    assert!(image_refusal(&jpeg[..jpeg.len() - 2]).contains("FF D9"));
    let png = encoded(64, 64, ImageFormat::Png);
    assert!(image_refusal(&png[..png.len() / 2]).contains("image data"));
}

#[test]
fn a_broken_image_in_a_folder_is_named_when_it_is_read() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "a.png", &png());
    put(dir.path(), "b.png", b"no image");
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert!(data.image(0).is_ok());
    assert!(data.image(1).unwrap_err().to_string().contains("b.png: image format"));
}

#[test]
fn a_damaged_png_is_refused() {
    let mut bytes = encoded(64, 64, ImageFormat::Png);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    assert!(image_refusal(&bytes).contains("image data"));
}

#[test]
fn a_giant_image_is_refused_before_it_is_decoded() {
    let mut bytes = png();
    // The header chunk: length, "IHDR", width, height, five bytes, CRC-32 of all but the length.
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let crc = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    let message = image_refusal(&bytes);
    assert!(message.contains("16384") && message.contains("65536×65536"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_mutated_image_causes_a_panic(
        jpeg: bool,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let format = if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png };
        let mut bytes = encoded(16, 16, format);
        let len = bytes.len();
        for (at, value) in edits {
            bytes[at.index(len)] = value;
        }
        let dir = TempDir::new().unwrap();
        load_image(put(dir.path(), "a.png", &bytes)).map(drop).ok();
    }
}
