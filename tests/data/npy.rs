//! Claim: arrays that `numpy.save` wrote are read as images and labels under any usual name, and anything else of that
//! format is refused with a message that says what to save instead.

use crate::common::files::{labels_refusal, put, refusal};
use tempfile::TempDir;
use vit_mae::data::{Split, open, recognise};

/// A file as `numpy.save` writes it.
fn npy(descr: &str, fortran: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let len = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &len[..], header.as_bytes(), values].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Two grey images of 2 × 2.
fn two_images() -> Vec<u8> {
    npy("|u1", "False", "(2, 2, 2)", &[1, 2, 3, 4, 5, 6, 7, 8])
}

fn refused(bytes: &[u8], words: &[&str]) {
    let dir = TempDir::new().unwrap();
    let message = refusal(&put(&dir, "images.npy", bytes), Split::Train);
    for word in words.iter().chain(&["images.npy"]) {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

#[test]
fn bytes_and_labels_are_read_under_every_usual_name() {
    let pairs = [
        ("train-images.npy", "train-labels.npy"),
        ("train_images.npy", "train_labels.npy"),
        ("x_train.npy", "y_train.npy"),
        ("X_train.npy", "y_train.npy"),
        ("train.npy", "train-labels.npy"),
        ("train.npy", "train.labels.npy"),
        ("images.npy", "labels.npy"),
        ("X.npy", "y.npy"),
    ];
    for (images, labels) in pairs {
        let dir = TempDir::new().unwrap();
        let file = put(&dir, images, &two_images());
        put(&dir, labels, &npy("<i8", "False", "(2,)", &[2i64, 0].map(i64::to_le_bytes).concat()));
        for path in [dir.path(), &file] {
            assert_eq!(recognise(path).unwrap().to_string(), "npy", "{images}");
            let data = open(path, None, Split::Train).unwrap();
            assert_eq!((data.len(), data.size()), (2, Some((2, 2))), "{images}");
            assert_eq!(data.image(1).unwrap().pixels, [5, 6, 7, 8]);
            assert_eq!((data.classes().join(" "), data.labels().unwrap()), ("0 2".to_owned(), vec![1, 0]));
        }
        let message = refusal(dir.path(), Split::Test);
        assert!(message.contains("found none"), "{message}");
    }
}

#[test]
fn a_file_without_labels_and_with_channels_is_read() {
    let dir = TempDir::new().unwrap();
    let path = put(&dir, "pictures.npy", &npy("|u1", "False", "(1, 1, 2, 3)", &[1, 2, 3, 4, 5, 6]));
    let data = open(&path, None, Split::Test).unwrap();
    let image = data.image(0).unwrap();
    assert_eq!((image.height, image.width, image.channels, image.pixels), (1, 2, 3, vec![1, 2, 3, 4, 5, 6]));
    assert_eq!((data.label(0), data.classes().len()), (None, 0));
    assert!(data.describe().ends_with("NumPy, 1 image of 1×2, 3 channels, no labels"), "{}", data.describe());
}

#[test]
fn floats_from_0_to_1_become_the_bytes_that_they_were_divided_from() {
    let dir = TempDir::new().unwrap();
    let values: Vec<f32> = (0..=255u8).map(|level| f32::from(level) / 255.0).collect();
    let path = put(&dir, "x.npy", &npy("<f4", "False", "(1, 16, 16)", &floats(&values)));
    let data = open(&path, None, Split::Train).unwrap();
    assert_eq!(data.image(0).unwrap().pixels, (0..=255).collect::<Vec<u8>>());
}

#[test]
fn a_float_out_of_range_is_named_by_its_place_and_value() {
    for (bad, shown) in
        [(255.0, "found 255"), (-0.25, "found -0.25"), (f32::NAN, "found NaN"), (1.0001, "1.0001")]
    {
        let mut values = [0.5; 24];
        values[12 + 6 + 2] = bad; // of [2, 2, 2, 3]: 12 values an image, 6 a row
        let bytes = npy("<f4", "False", "(2, 2, 2, 3)", &floats(&values));
        refused(&bytes, &["image 1, row 1, column 0, channel 2", "a float from 0 to 1", shown]);
    }
}

#[test]
fn a_test_set_has_the_classes_of_its_training_set() {
    let dir = TempDir::new().unwrap();
    put(&dir, "x_train.npy", &two_images());
    put(&dir, "y_train.npy", &npy("|u1", "False", "(2, 1)", &[9, 6]));
    put(&dir, "x_test.npy", &two_images());
    put(&dir, "y_test.npy", &npy("<i2", "False", "(2,)", &[9, 0, 9, 0]));
    let test = open(dir.path(), None, Split::Test).unwrap();
    assert_eq!((test.classes().join(" "), test.labels().unwrap()), ("6 9".to_owned(), vec![1, 1]));
    put(&dir, "y_test.npy", &npy("|i1", "False", "(2,)", &[6, 7]));
    let message = labels_refusal(dir.path(), Split::Test);
    let words = "y_test.npy: label of image 1: expected one of the 2 classes (6, 9), found 7";
    assert!(message.contains(words), "{message}");
}

#[test]
fn other_orders_types_and_shapes_are_refused_with_advice() {
    let u1 = |shape: &str, n: usize| npy("|u1", "False", shape, &vec![0; n]);
    refused(&npy("|u1", "True", "(2, 2, 2)", &[0; 8]), &["fortran_order", "ascontiguousarray"]);
    refused(&npy("|O", "False", "(2, 2, 2)", &[0; 8]), &["descr", "found |O", "numpy.stack"]);
    refused(&npy("<c8", "False", "(2, 2, 2)", &[0; 64]), &["descr", "found <c8", "of complex numbers"]);
    refused(&npy("<f16", "False", "(2, 2, 2)", &[0; 128]), &["descr", "found <f16", "at most 64 bits"]);
    refused(&npy("<U3", "False", "(2, 2, 2)", &[0; 96]), &["descr", "found <U3"]);
    refused(&npy("<M8[ns]", "False", "(2, 2, 2)", &[0; 64]), &["descr", "found <M8[ns]"]);
    refused(&u1("(2, 2, 8, 8)", 256), &["shape", "channels last", "transpose(0, 2, 3, 1)"]);
    refused(&u1("(1, 13, 28, 28)", 13 * 784), &["shape", "13 channels first", "transpose(0, 2, 3, 1)"]);
    refused(&u1("(2, 3, 8, 8)", 384), &["shape", "channels last", "transpose(0, 2, 3, 1)"]);
    refused(&u1("(4,)", 4), &["shape", "[N, H, W] or [N, H, W, C]", "[4]"]);
    refused(&u1("()", 1), &["shape", "[]"]);
    refused(&u1("(0, 2, 2)", 0), &["shape", "at least 1"]);
    refused(b"PK\x03\x04 no such thing", &["magic number", "93 4E 55 4D 50 59", "50 4B 03 04"]);
    refused(&npy("|u1", "Maybe", "(2, 2, 2)", &[0; 8]), &["fortran_order", "True or False"]);
    refused(&npy("|u1", "False", "(2, 2, -2)", &[0; 8]), &["shape", "whole numbers"]);
}

#[test]
fn a_file_of_another_length_than_its_header_says_is_refused() {
    let whole = two_images();
    refused(&whole[..whole.len() - 1], &["content", "8 bytes after the header", "found 7", "cut short"]);
    refused(&[&whole[..], &[0]].concat(), &["content", "8 bytes after the header", "found 9"]);
    for len in [0, 5, 9, 40] {
        refused(&whole[..len], &["header", "cut short"]);
    }
}

#[test]
fn absurd_lengths_are_refused_without_allocating() {
    let huge = npy("<f4", "False", "(4294967296, 4294967296, 4294967296)", &[0; 8]);
    refused(&huge, &["content", "more than any file holds"]);
    refused(
        &npy("|u1", "False", "(9223372036854775807, 1, 1)", &[0; 8]),
        &["content", "9223372036854775807"],
    );
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    refused(&long, &["header length", "at most 10000 bytes", "4294967295"]);
    refused(b"\x93NUMPY\x09\x00\x10\x00", &["version", "found 9.0"]);
}

#[test]
fn labels_must_be_as_many_whole_numbers_as_there_are_images() {
    let cases: [(Vec<u8>, &[&str]); 9] = [
        (npy("|u1", "False", "(3,)", &[0; 3]), &["number of labels", "expected 2", "found 3"]),
        (npy("<f4", "False", "(2,)", &floats(&[1.0, 0.5])), &["label of image 1", "whole number", "0.5"]),
        (npy("<f4", "False", "(2,)", &floats(&[f32::NAN, 1.0])), &["label of image 0", "found NaN"]),
        (npy("<c8", "False", "(2,)", &[0; 16]), &["descr", "whole numbers", "found <c8"]),
        (npy("|i1", "False", "(2,)", &[0, 255]), &["label of image 1", "found -1"]),
        (npy("|i1", "False", "(2,)", &[0, 254]), &["label of image 1", "found -2"]),
        (
            npy("<u8", "False", "(2,)", &[0xff; 16]),
            &["label of image 0", "whole number from 0 to 4294967295"],
        ),
        (npy("<U1", "False", "(2,)", &[b'a', 0, 0, 0, 0, 0, 0, 0]), &["label of image 1", "found \"\""]),
        (npy("|u1", "False", "(1, 2)", &[0; 2]), &["shape", "[N] or [N, 1]"]),
    ];
    for (labels, words) in cases {
        let dir = TempDir::new().unwrap();
        let path = put(&dir, "images.npy", &two_images());
        put(&dir, "labels.npy", &labels);
        let message = labels_refusal(&path, Split::Train);
        for word in words.iter().chain(&["labels.npy"]) {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
    }
}

#[test]
fn whole_numbers_from_0_to_255_of_every_type_and_order_are_pixels() {
    let dir = TempDir::new().unwrap();
    for (kind, size) in [('u', 1), ('u', 2), ('u', 4), ('u', 8), ('i', 1), ('i', 2), ('i', 4), ('i', 8)] {
        for order in ['<', '>'] {
            let bytes = |value: u8| {
                let mut bytes = vec![0; size];
                bytes[if order == '<' { 0 } else { size - 1 }] = value;
                bytes
            };
            let most = if (kind, size) == ('i', 1) { 127 } else { 255 };
            let descr = format!("{order}{kind}{size}");
            let values: Vec<u8> = [0, 1, 100, most].into_iter().flat_map(bytes).collect();
            let path = put(&dir, "x.npy", &npy(&descr, "False", "(1, 2, 2)", &values));
            let image = open(&path, None, Split::Train).unwrap().image(0).unwrap();
            assert_eq!(image.pixels, [0, 1, 100, most], "{descr}");
        }
    }
    let wide = |value: u16| npy(">u2", "False", "(1, 1, 2)", &[[0, 7], value.to_be_bytes()].concat());
    for value in [256, 31_000, u16::MAX] {
        let found = format!("found {value}");
        refused(&wide(value), &["image 0, row 0, column 1, channel 0", "(x / 257).round()", &found]);
    }
    refused(&npy("<i8", "False", "(1, 1, 1)", &[0xff; 8]), &["a whole number from 0 to 255", "found -1"]);
}

#[test]
fn floats_of_every_width_and_order_and_bools_are_pixels() {
    let dir = TempDir::new().unwrap();
    let levels: Vec<u8> = (0..=255).collect();
    let ordered = |little: Vec<[u8; 8]>, size: usize, order: char| -> Vec<u8> {
        let one = |bytes: [u8; 8]| {
            let mut bytes = bytes[..size].to_vec();
            if order == '>' {
                bytes.reverse();
            }
            bytes
        };
        little.into_iter().flat_map(one).collect()
    };
    for order in ['<', '>'] {
        let doubles = levels.iter().map(|&level| (f64::from(level) / 255.0).to_le_bytes()).collect();
        let singles = levels.iter().map(|&level| {
            let mut word = [0; 8];
            word[..4].copy_from_slice(&(f32::from(level) / 255.0).to_le_bytes());
            word
        });
        for (size, values) in [(8, doubles), (4, singles.collect::<Vec<_>>())] {
            let bytes =
                npy(&format!("{order}f{size}"), "False", "(1, 16, 16)", &ordered(values, size, order));
            let path = put(&dir, "x.npy", &bytes);
            let image = open(&path, None, Split::Train).unwrap().image(0).unwrap();
            assert_eq!(image.pixels, levels, "{order}f{size}");
        }
    }
    // numpy.float16 of 0, 1/255, 128/255, 1, of its smallest number and −0; by hand: (1 + 4/1024) · 2⁻⁸ and 2⁻¹.
    let halves = [0u16, 0x1c04, 0x3804, 0x3c00, 0x0001, 0x8000].map(u16::to_le_bytes).concat();
    let path = put(&dir, "x.npy", &npy("<f2", "False", "(1, 2, 3)", &halves));
    assert_eq!(open(&path, None, Split::Train).unwrap().image(0).unwrap().pixels, [0, 1, 128, 255, 0, 0]);
    let path = put(&dir, "x.npy", &npy("|b1", "False", "(1, 1, 2)", &[0, 1]));
    assert_eq!(open(&path, None, Split::Train).unwrap().image(0).unwrap().pixels, [0, 255]);
    refused(&npy("|b1", "False", "(1, 1, 2)", &[0, 2]), &["0 or 1", "found 2"]);
    refused(&npy("<f2", "False", "(1, 1, 1)", &[0, 0x7c]), &["a float from 0 to 1", "found inf"]);
    refused(&npy("<f8", "False", "(1, 1, 1)", &200f64.to_le_bytes()), &["save x / 255", "found 200"]);
}

#[test]
fn the_bands_of_an_array_are_the_arrays() {
    let dir = TempDir::new().unwrap();
    for bands in [2, 4] {
        let values: Vec<u8> = (0..bands).collect();
        let path = put(&dir, "x.npy", &npy("|u1", "False", &format!("(1, 1, 1, {bands})"), &values));
        let data = open(&path, None, Split::Train).unwrap();
        let image = data.image(0).unwrap();
        assert_eq!(image.to_channels(values.len()).unwrap().pixels, values);
        assert!(image.to_channels(1).is_err() && image.to_channels(3).is_err());
        let survey = vit_mae::data::survey(&*data, None, &|| ());
        let mean: Vec<f32> = (0..bands).map(|band| f32::from(band) / 255.0).collect();
        assert_eq!((survey.alpha, survey.pixels.unwrap().mean), (0, mean), "every band is measured");
    }
}
