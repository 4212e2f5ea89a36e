//! Claim: Parquet files as the Hugging Face hub has them are read with their images, labels and names of classes. The
//! files in `tests/golden/hub` were written by pyarrow, with the notes that the library `datasets` adds.

#![cfg(feature = "parquet")]

use crate::common::shards::png;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use vit_mae::data::{Dataset, Split, open, recognise};

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

/// A set of images with these labels, in a column of the type `kind`.
fn labelled<T: DataType>(kind: &str, labels: &[Option<T::T>]) -> Arc<dyn Dataset> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("set.parquet");
    let schema = format!(
        "message rows {{ required group image {{ required binary bytes; }} optional {kind} label; }}"
    );
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::default()).unwrap();
    let mut rows = writer.next_row_group().unwrap();
    let mut column = rows.next_column().unwrap().unwrap();
    let images: Vec<ByteArray> = labels.iter().map(|_| png(1).into()).collect();
    column.typed::<ByteArrayType>().write_batch(&images, None, None).unwrap();
    column.close().unwrap();
    let mut column = rows.next_column().unwrap().unwrap();
    let present: Vec<i16> = labels.iter().map(|label| i16::from(label.is_some())).collect();
    let values: Vec<T::T> = labels.iter().flatten().cloned().collect();
    column.typed::<T>().write_batch(&values, Some(&present), None).unwrap();
    column.close().unwrap();
    rows.close().unwrap();
    writer.close().unwrap();
    open(&path, None, Split::Train).expect("images need no labels")
}

fn classes(data: &dyn Dataset) -> (String, Vec<usize>) {
    (data.classes().join(" "), data.labels().unwrap())
}

#[test]
fn numbers_and_names_of_every_type_are_classes_in_their_order() {
    let expected = ("7 10".to_owned(), vec![1, 0]);
    assert_eq!(classes(&*labelled::<Int32Type>("int32", &[Some(10), Some(7)])), expected);
    assert_eq!(classes(&*labelled::<Int64Type>("int64", &[Some(10), Some(7)])), expected);
    assert_eq!(classes(&*labelled::<DoubleType>("double", &[Some(10.0), Some(7.0)])), expected);
    let names = ["owl", "cat"].map(|name| Some(name.into()));
    assert_eq!(classes(&*labelled::<ByteArrayType>("binary", &names)), ("cat owl".to_owned(), vec![1, 0]));
}

#[test]
fn labels_that_cannot_be_used_are_named_when_they_are_asked_for() {
    let none = labelled::<Int64Type>("int64", &[None, Some(-1)]);
    assert!(none.label_problem().is_none() && none.classes().is_empty());
    let cases: [(Arc<dyn Dataset>, &[&str]); 3] = [
        (labelled::<Int64Type>("int64", &[Some(1), None]), &["row 1, label", "found null or -1"]),
        (labelled::<DoubleType>("double", &[Some(1.0), Some(2.5)]), &["row 1, label", "found 2.5"]),
        (labelled::<parquet::data_type::BoolType>("boolean", &[Some(true)]), &["column label", "BOOLEAN"]),
    ];
    for (data, words) in cases {
        assert_eq!((data.label(0), data.classes().len()), (None, 0));
        let message = data.labels().unwrap_err().to_string();
        for word in words.iter().chain(&["set.parquet"]) {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
    }
}
