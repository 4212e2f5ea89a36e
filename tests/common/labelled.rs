//! Labelled images that a tiny model can tell apart: for tests that include this file beside `common`.
#![allow(dead_code, reason = "not every test that includes this needs all of it")]

use crate::common::Place;
use image::{GrayImage, Luma};
use std::fs;

/// Writes `count` pictures of 8 × 8 to `folder/class`, for each class a stripe pattern of its own with a little noise.
pub(crate) fn classes(place: &Place, folder: &str, classes: &[&str], count: u32) {
    for (k, class) in (0..).zip(classes) {
        for i in 0..count {
            let path = place.path(&format!("{folder}/{class}/{i:02}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture(k, i).save(path).unwrap();
        }
    }
}

fn picture(class: u32, i: u32) -> GrayImage {
    GrayImage::from_fn(8, 8, |x, y| {
        let along = [x, y, x + y, 7 + x - y][class as usize % 4];
        let bright = along / 2 % 2 == 0;
        let noise = (x * 31 + y * 17 + i * 53 + class * 7) % 60;
        Luma([u8::try_from(if bright { 190 + noise } else { 5 + noise }).unwrap()])
    })
}

/// IDX files of a split: one image for each label, of 8 × 8.
pub(crate) fn idx(place: &Place, folder: &str, split: &str, labels: &[u8]) {
    let n = u8::try_from(labels.len()).unwrap();
    let pixels: Vec<u8> = (0..).zip(labels).flat_map(|(i, &l)| picture(l.into(), i).into_raw()).collect();
    let header = [0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 8, 0, 0, 0, 8];
    place.write(&format!("{folder}/{split}-images-idx3-ubyte"), [&header[..], &pixels].concat());
    place.write(&format!("{folder}/{split}-labels-idx1-ubyte"), [&[0, 0, 8, 1, 0, 0, 0, n], labels].concat());
}

/// As `numpy.save` writes it.
pub(crate) fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let len = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &len[..], text.as_bytes(), values].concat()
}

/// An array of one image of 8 × 8 for each pattern.
pub(crate) fn array(place: &Place, name: &str, patterns: &[u8]) {
    let pixels: Vec<u8> = (0..).zip(patterns).flat_map(|(i, &k)| picture(k.into(), i).into_raw()).collect();
    place.write(name, npy("|u1", &format!("({}, 8, 8)", patterns.len()), &pixels));
}

/// An array of labels.
pub(crate) fn numbers(place: &Place, name: &str, labels: &[i64]) {
    let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    place.write(name, npy("<i8", &format!("({},)", labels.len()), &bytes));
}
