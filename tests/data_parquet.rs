//! Claim: Parquet files as the Hugging Face hub has them are read with their images, labels and names of classes. The
//! files in `tests/golden/hub` were written by pyarrow, with the notes that the library `datasets` adds.

#![cfg(feature = "parquet")]

use std::fs;
use std::path::Path;
use vit_mae::data::{Split, open, recognise};

const HUB: &str = "tests/golden/hub";

#[test]
fn images_labels_and_names_of_classes_are_read() {
    assert_eq!(recognise(HUB).unwrap().to_string(), "parquet");
    let train = open(HUB, None, Split::Train).unwrap();
    let test = open(HUB, None, Split::Test).unwrap();
    assert_eq!(train.classes(), ["cat", "dog", "owl"]);
    assert_eq!(test.classes(), train.classes());
    assert_eq!((0..train.len()).map(|i| train.label(i)).collect::<Vec<_>>(), [Some(0), Some(2), Some(1)]);
    assert_eq!((0..test.len()).map(|i| test.label(i)).collect::<Vec<_>>(), [Some(1), Some(0)]);
    // make.py: red is 40 i + 10 x + 3 y, green x, blue y; the test set goes on with i = 3.
    for (i, data, index) in [(0u8, &train, 0), (2, &train, 2), (4, &test, 1)] {
        let image = data.image(index).unwrap();
        assert_eq!((image.height, image.width, image.channels), (3, 4, 3));
        let expected: Vec<u8> =
            (0..3u8).flat_map(|y| (0..4u8).flat_map(move |x| [i * 40 + x * 10 + y * 3, x, y])).collect();
        assert_eq!(image.pixels, expected);
    }
    assert!(train.source(2).ends_with("train-00000-of-00001.parquet, row 2"));
    assert!(train.describe().ends_with("Parquet, 3 images in 1 file, 3 classes"), "{}", train.describe());
}

#[test]
fn a_file_alone_and_a_pattern_are_taken_as_they_are() {
    let file = Path::new(HUB).join("test-00000-of-00001.parquet");
    assert_eq!(open(&file, None, Split::Train).unwrap().len(), 2);
    assert_eq!(open(Path::new(HUB).join("t*.parquet"), None, Split::Train).unwrap().len(), 5);
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    let whole = fs::read(Path::new(HUB).join("train-00000-of-00001.parquet")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.parquet");
    for bytes in [&whole[..whole.len() / 2], &whole[4..], &[]] {
        fs::write(&path, bytes).unwrap();
        let error = open(&path, None, Split::Train).map(|data| data.len()).expect_err("damaged");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("broken.parquet"), "{error}");
    }
}
