//! Claim: IDX and CIFAR files give exactly their images, and a file that is not what its header or its
//! name says is refused with a message that names file, field, expected and found.

use crate::common::files::{self, labels_refusal, put};
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use tempfile::TempDir;
use vit_mae::Error;
use vit_mae::data::{Format, Split, open};

fn idx(dims: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(dims.len()).unwrap()];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend(content);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The message of the error that opening `path` must give, and that its exit code is 2.
fn refusal(path: &Path) -> String {
    let message = files::refusal(path, Split::Train);
    assert!(message.contains(path.file_name().unwrap().to_str().unwrap()), "no path in: {message}");
    message
}

/// Refuses `bytes` as an images file, named as plain or gzipped, with `words` in the message.
fn idx_is_refused(name: &str, bytes: &[u8], words: &[&str]) {
    let dir = TempDir::new().unwrap();
    let message = refusal(&put(&dir, name, bytes));
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

#[test]
fn idx_images_and_labels_are_read_plain_and_gzipped() {
    let dir = TempDir::new().unwrap();
    let images = idx(&[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    put(&dir, "train-images-idx3-ubyte", &images);
    put(&dir, "train-labels-idx1-ubyte.gz", &gzip(&idx(&[2], &[0, 3])));
    put(&dir, "t10k-images-idx3-ubyte.gz", &gzip(&images));
    let train = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!(
        (train.len(), train.size(), train.classes()),
        (2, Some((2, 3)), &["0", "3"].map(str::to_owned)[..])
    );
    assert_eq!(train.image(1).unwrap().pixels, [7, 8, 9, 10, 11, 12]);
    assert_eq!((train.label(0), train.label(1)), (Some(0), Some(1)));
    assert!(train.source(1).ends_with("train-images-idx3-ubyte, image 1"));
    let test = open(dir.path(), None, Split::Test).unwrap();
    assert_eq!(test.image(1).unwrap(), train.image(1).unwrap());
    assert_eq!((test.label(0), test.classes().len()), (None, 0));
    // The content counts, not the compression; labels are a part of it.
    let plain = open(put(&dir, "plain-idx3-ubyte", &images), None, Split::Test).unwrap();
    assert_eq!(plain.digest().unwrap(), test.digest().unwrap());
    assert_ne!(plain.digest().unwrap(), train.digest().unwrap());
}

#[test]
fn an_idx_array_of_four_dimensions_has_channels() {
    let dir = tempfile::tempdir().unwrap();
    let pixels: Vec<u8> = (0..2 * 2 * 3 * 5).collect();
    put(&dir, "train-images-idx4-ubyte", &idx(&[2, 2, 3, 5], &pixels));
    put(&dir, "train-labels-idx1-ubyte", &idx(&[2], &[1, 0]));
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((data.len(), data.size(), data.label(0)), (2, Some((2, 3)), Some(1)));
    let image = data.image(1).unwrap();
    assert_eq!((image.height, image.width, image.channels), (2, 3, 5));
    assert_eq!(image.pixels, pixels[30..]);
}

#[test]
fn a_truncated_idx_file_is_refused() {
    let whole = idx(&[2, 2, 2], &[0; 8]);
    idx_is_refused("a-idx3-ubyte", &whole[..whole.len() - 1], &["content", "8 bytes", "7"]);
    idx_is_refused("a-idx3-ubyte", &whole[..9], &["header", "16 bytes", "9"]);
    idx_is_refused("a-idx3-ubyte", &[], &["magic number"]);
    idx_is_refused("a-idx3-ubyte.gz", &gzip(&whole[..20]), &["8 bytes", "4", "cut short"]);
    let zipped = gzip(&whole);
    idx_is_refused("a-idx3-ubyte.gz", &zipped[..zipped.len() - 6], &["gzip data"]);
}

#[test]
fn trailing_bytes_after_an_idx_array_are_refused() {
    let long = idx(&[2, 2, 2], &[0; 9]);
    idx_is_refused("a-idx3-ubyte", &long, &["content", "8 bytes", "more"]);
    idx_is_refused("a-idx3-ubyte.gz", &gzip(&long), &["content", "8 bytes", "more"]);
}

#[test]
fn a_wrong_magic_number_is_refused() {
    idx_is_refused("a-idx3-ubyte", &idx(&[8], &[0; 8]), &["magic number", "00 00 08 03", "00 00 08 01"]);
}

#[test]
fn dimensions_that_no_such_file_can_hold_are_refused_without_allocating() {
    let huge = idx(&[u32::MAX, u32::MAX, u32::MAX], &[0; 8]);
    idx_is_refused("a-idx3-ubyte", &huge, &["dimensions", "4294967295"]);
    idx_is_refused("a-idx3-ubyte.gz", &gzip(&huge), &["dimensions", "4294967295"]);
    idx_is_refused("a-idx3-ubyte", &idx(&[1 << 16, 1 << 15, 1], &[0; 8]), &["dimensions"]);
    idx_is_refused("a-idx3-ubyte", &idx(&[0, 28, 28], &[]), &["number of images", "at least 1"]);
    idx_is_refused("a-idx3-ubyte", &idx(&[1, 0, 28], &[]), &["rows"]);
}

#[test]
fn as_many_labels_as_images_are_demanded() {
    let dir = TempDir::new().unwrap();
    let images = put(&dir, "train-images-idx3-ubyte", &idx(&[2, 1, 1], &[0; 2]));
    put(&dir, "train-labels-idx1-ubyte", &idx(&[3], &[0; 3]));
    let message = labels_refusal(&images, Split::Train);
    assert!(message.contains("train-labels-idx1-ubyte: number of labels: expected 2"), "{message}");
}

#[test]
fn the_classes_of_an_idx_test_set_are_its_training_sets() {
    let dir = TempDir::new().unwrap();
    put(&dir, "train-images-idx3-ubyte", &idx(&[3, 1, 1], &[0; 3]));
    put(&dir, "train-labels-idx1-ubyte", &idx(&[3], &[0, 4, 2]));
    put(&dir, "t10k-images-idx3-ubyte", &idx(&[2, 1, 1], &[0; 2]));
    put(&dir, "t10k-labels-idx1-ubyte.gz", &gzip(&idx(&[2], &[4, 0])));
    let test = open(dir.path(), None, Split::Test).unwrap();
    assert_eq!((test.classes().join(" "), test.labels().unwrap()), ("0 2 4".to_owned(), vec![2, 0]));
    put(&dir, "t10k-labels-idx1-ubyte.gz", &gzip(&idx(&[2], &[4, 5])));
    let message = labels_refusal(dir.path(), Split::Test);
    for word in
        ["t10k-labels-idx1-ubyte.gz: label of image 1: expected one of the 3 classes (0, 2, 4)", "found 5"]
    {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

/// A record whose pixels tell row, column and plane apart.
fn cifar_record(labels: &[u8]) -> Vec<u8> {
    let mut record = labels.to_vec();
    record.extend((0..3072).map(|i| u8::try_from(i * 7 % 251).unwrap()));
    record
}

#[test]
fn cifar_planes_become_pixels() {
    let dir = TempDir::new().unwrap();
    for i in 1..=5 {
        put(&dir, &format!("data_batch_{i}.bin"), &cifar_record(&[i]).repeat(2));
    }
    put(&dir, "test_batch.bin", &cifar_record(&[9]));
    // As an editor on Windows saves it.
    let names: Vec<String> = (0..10).map(|i| format!("name{i}\r\n")).collect();
    put(&dir, "batches.meta.txt", format!("\u{feff}{}\r\n", names.concat()).as_bytes());
    let train = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((train.len(), train.size(), train.label(4)), (10, Some((32, 32)), Some(3)));
    assert_eq!((&*train.classes()[0], &*train.classes()[3]), ("name0", "name3"));
    assert!(train.source(4).ends_with("data_batch_3.bin, image 0"));
    let image = train.image(4).unwrap();
    let (row, column) = (5, 11);
    for plane in 0..3 {
        let expected = (plane * 1024 + row * 32 + column) * 7 % 251;
        assert_eq!(usize::from(image.pixels[(row * 32 + column) * 3 + plane]), expected);
    }
    assert_eq!(open(dir.path(), Some(Format::Cifar), Split::Test).unwrap().label(0), Some(9));
    fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
    let missing = open(dir.path(), None, Split::Train).map(|d| d.len()).unwrap_err();
    assert!(matches!(&missing, Error::Read { path, .. } if path.ends_with("data_batch_4.bin")), "{missing}");
}

#[test]
fn cifar_100_has_its_fine_label() {
    let dir = TempDir::new().unwrap();
    put(&dir, "train.bin", &cifar_record(&[19, 99]));
    let train = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((train.len(), train.label(0), train.classes().len()), (1, Some(99), 100));
    assert_eq!(train.image(0).unwrap().pixels[..3], [0, 140, 29]);
}

#[test]
fn a_cifar_file_of_broken_records_or_labels_is_refused() {
    let dir = TempDir::new().unwrap();
    let message = refusal(&put(&dir, "a.bin", &cifar_record(&[1])[1..]));
    assert!(message.contains("multiple of 3073") && message.contains("3072 bytes"), "{message}");
    assert!(refusal(&put(&dir, "b.bin", &[])).contains("file length"));
    let message = refusal(&put(&dir, "c.bin", &[cifar_record(&[1]), cifar_record(&[10])].concat()));
    assert!(message.contains("label of image 1: expected less than 10 (CIFAR-10), found 10"), "{message}");
    put(&dir, "batches.meta.txt", b"cat\ndog\n");
    let path = put(&dir, "d.bin", &cifar_record(&[1]));
    let message = labels_refusal(&path, Split::Train);
    assert!(message.contains("batches.meta.txt: class names: expected 10"), "{message}");
}

#[test]
fn a_path_that_is_missing_or_unknown_is_refused() {
    let dir = TempDir::new().unwrap();
    let missing = open(dir.path().join("nothing"), None, Split::Train).map(|d| d.len()).unwrap_err();
    assert!(matches!(missing, Error::Read { .. }) && missing.exit_code() == 2);
    let message = refusal(&put(&dir, "notes.txt", b"hello"));
    assert!(message.contains("data format") && message.contains("IDX"), "{message}");
    let empty = open(dir.path(), Some(Format::Idx), Split::Train).map(|d| d.len()).unwrap_err().to_string();
    assert!(empty.contains("train-images-idx3-ubyte"), "{empty}");
    let empty = open(dir.path(), Some(Format::Cifar), Split::Train).map(|d| d.len()).unwrap_err().to_string();
    assert!(empty.contains("data_batch_1.bin"), "{empty}");
}

/// A sound file with some bytes overwritten and some cut off or added.
fn mutated(sound: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (edits, 0..=sound.len(), prop::collection::vec(any::<u8>(), 0..3)).prop_map(move |(edits, cut, tail)| {
        let mut bytes = sound.clone();
        for (at, value) in edits {
            bytes[at.index(sound.len())] = value;
        }
        bytes.truncate(if cut % 3 == 0 { cut } else { sound.len() });
        bytes.extend(tail);
        bytes
    })
}

/// Whatever the bytes, opening is an answer or an error, and an answer can be read to its end.
fn no_bytes_cause_a_panic(name: &str, bytes: &[u8]) {
    let dir = TempDir::new().unwrap();
    if let Ok(data) = open(put(&dir, name, bytes), None, Split::Train) {
        for index in 0..data.len() {
            let image = data.image(index).unwrap();
            assert_eq!(image.pixels.len(), image.height * image.width * image.channels);
            assert!(data.label(index).is_none_or(|label| label < data.classes().len()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_mutated_idx_file_causes_a_panic(bytes in mutated(idx(&[2, 3, 2], &[7; 12]))) {
        no_bytes_cause_a_panic("a-idx3-ubyte", &bytes);
        no_bytes_cause_a_panic("a-idx3-ubyte.gz", &gzip(&bytes));
    }

    #[test]
    fn no_mutated_gzip_file_causes_a_panic(bytes in mutated(gzip(&idx(&[2, 3, 2], &[7; 12])))) {
        no_bytes_cause_a_panic("a-idx3-ubyte.gz", &bytes);
    }

    #[test]
    fn no_mutated_cifar_file_causes_a_panic(bytes in mutated(cifar_record(&[3]))) {
        no_bytes_cause_a_panic("a.bin", &bytes);
        no_bytes_cause_a_panic("train.bin", &bytes);
    }
}

#[test]
fn arrays_tell_their_splits_by_any_usual_word_in_any_letter_case() {
    let images = idx(&[2, 1, 1], &[1, 2]);
    for names in [
        ["train", "val", "test"],
        ["Training", "VALID", "t10k"],
        ["emnist-letters-train", "emnist-letters-dev", "emnist-letters-test"],
        ["train2017", "validation", "eval"],
    ] {
        let dir = TempDir::new().unwrap();
        for name in names {
            put(&dir, &format!("{name}-images-idx3-ubyte"), &images);
            put(&dir, &format!("{name}-labels-idx1-ubyte"), &idx(&[2], &[0, 1]));
        }
        for (split, name) in Split::ALL.into_iter().zip(names) {
            let data = open(dir.path(), None, split).unwrap();
            assert!(data.source(0).contains(&format!("/{name}-images")), "{}", data.source(0));
            assert_eq!(data.label(1), Some(1));
        }
    }
    let dir = TempDir::new().unwrap();
    put(&dir, "a-train-images-idx3-ubyte", &images);
    put(&dir, "b-train-images-idx3-ubyte", &images);
    let message = open(dir.path(), None, Split::Train).map(|d| d.len()).unwrap_err().to_string();
    assert!(message.contains("one file for the split") && message.contains("a-train"), "{message}");
}

#[test]
fn the_content_tells_whether_an_array_is_compressed_and_not_the_name() {
    let (dir, plain) = (TempDir::new().unwrap(), idx(&[2, 1, 1], &[1, 2]));
    for (name, bytes) in [("train-images-idx3-ubyte", gzip(&plain)), ("test-images-idx3-ubyte.gz", plain)] {
        put(&dir, name, &bytes);
    }
    for split in [Split::Train, Split::Test] {
        assert_eq!(open(dir.path(), None, split).unwrap().image(1).unwrap().pixels, [2]);
    }
}
