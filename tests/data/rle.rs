//! Claim: run-length masks are pycocotools' to the bit: runs, strings, boxes, the pixels that a polygon takes, and overlaps.

use ndarray::{Array2, s};
use proptest::prelude::*;
use serde::Deserialize;
use std::{fs, slice};
use vit_mae::data::rle::{Rle, box_iou};

#[derive(Deserialize)]
struct Golden {
    masks: Vec<Mask>,
    polygons: Vec<Polygons>,
    iou: Vec<Iou>,
    box_iou: Vec<BoxIou>,
}

#[derive(Deserialize)]
struct Mask {
    name: String,
    size: [usize; 2],
    counts: Vec<u32>,
    string: String,
    area: u64,
    bbox: [f64; 4],
    rows: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Polygons {
    name: String,
    size: [usize; 2],
    #[serde(rename = "polygons")]
    parts: Vec<Vec<f64>>,
    strings: Vec<String>,
    string: String,
    area: u64,
    bbox: [f64; 4],
    rows: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Iou {
    size: [usize; 2],
    a: Vec<String>,
    b: Vec<String>,
    crowd: Vec<u8>,
    #[serde(rename = "iou")]
    expected: Vec<Vec<f64>>,
    union: String,
    intersection: String,
}

#[derive(Deserialize)]
struct BoxIou {
    a: Vec<[f64; 4]>,
    b: Vec<[f64; 4]>,
    crowd: Vec<u8>,
    iou: Vec<Vec<f64>>,
}

fn golden() -> Golden {
    serde_json::from_str(&fs::read_to_string("tests/golden/rle_v.json").unwrap()).unwrap()
}

fn rows(mask: &Array2<bool>) -> Vec<String> {
    mask.rows().into_iter().map(|row| row.iter().map(|&set| if set { '1' } else { '0' }).collect()).collect()
}

#[test]
fn masks_are_read_and_written_as_pycocotools_does() {
    let masks = golden().masks;
    assert_eq!(masks.len(), 32);
    for Mask { name, size, counts, string, area, bbox, rows: pixels } in masks {
        let rle = Rle::new(&counts, size).unwrap();
        assert_eq!(rle, Rle::of_string(&string, size).unwrap(), "{name}");
        assert_eq!((rle.counts(), rle.size(), rle.string()), (&counts[..], size, string), "{name}");
        assert_eq!((rle.area(), rle.bbox()), (area, bbox), "{name}");
        let mask = rle.mask();
        assert!(pixels.is_none_or(|pixels| pixels == rows(&mask)), "{name}");
        assert_eq!(Rle::of_mask(mask.view()), rle, "{name}");
    }
}

#[test]
fn polygons_take_the_pixels_that_they_take_in_pycocotools() {
    let cases = golden().polygons;
    assert_eq!(cases.len(), 39);
    for Polygons { name, size, parts, strings, string, area, bbox, rows: pixels } in cases {
        for (polygon, string) in parts.iter().zip(strings) {
            assert_eq!(Rle::of_polygons(slice::from_ref(polygon), size).unwrap().string(), string, "{name}");
        }
        let all = Rle::of_polygons(&parts, size).unwrap();
        assert_eq!((all.string(), all.area(), all.bbox()), (string, area, bbox), "{name}");
        assert!(pixels.is_none_or(|pixels| pixels == rows(&all.mask())), "{name}");
    }
}

#[test]
fn overlaps_of_masks_and_of_boxes_are_the_same_numbers() {
    let Golden { iou, box_iou: boxes, .. } = golden();
    for Iou { size, a, b, crowd, expected, union, intersection } in iou {
        let read = |all: Vec<String>| -> Vec<Rle> {
            all.iter().map(|text| Rle::of_string(text, size).unwrap()).collect()
        };
        let (a, b) = (read(a), read(b));
        for (a, expected) in a.iter().zip(expected) {
            let found: Vec<f64> = b.iter().zip(&crowd).map(|(b, &crowd)| a.iou(b, crowd == 1)).collect();
            assert_eq!(found, expected);
        }
        let all = a.iter().skip(1).fold(a[0].clone(), |all, more| all.union(more));
        let common = a[0].intersection(&a[1]).intersection(&a[2]);
        assert_eq!((all.string(), common.string()), (union, intersection));
    }
    for BoxIou { a, b, crowd, iou } in boxes {
        for (&a, expected) in a.iter().zip(iou) {
            let found: Vec<f64> =
                b.iter().zip(&crowd).map(|(&b, &crowd)| box_iou(a, b, crowd == 1)).collect();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn what_is_no_mask_is_refused_before_it_takes_memory() {
    let message = |mask: Result<Rle, _>| -> String {
        mask.map_err(|wrong: vit_mae::base::Mismatch| wrong.at("a.json", "counts").to_string()).unwrap_err()
    };
    for (mask, expected) in [
        (Rle::new(&[3, 4], [2, 3]), "runs of 6 pixels in all, for 2×3 (height × width), found 7"),
        (
            Rle::new(&[u32::MAX; 9], [2, 3]),
            "runs of 6 pixels in all, for 2×3 (height × width), found 38654705655",
        ),
        (
            Rle::new(&[0], [1_000_000_000, 1_000_000_000]),
            "a mask of at most 536870912 pixels, found 1000000000×1000000000 (height × width)",
        ),
        (
            Rle::new(&[0], [usize::MAX, 2]),
            "a mask of at most 536870912 pixels, found 18446744073709551615×2 (height × width)",
        ),
        (Rle::of_string("6 ", [2, 3]), "a compressed string of runs, found \"6 \", at byte 1"),
        (Rle::of_string("6P", [2, 3]), "a compressed string of runs, found \"6P\", cut short"),
        (Rle::of_string("oooooooo", [2, 3]), "a compressed string of runs, found \"oooooooo\", at byte 7"),
        (Rle::of_string("O", [2, 3]), "a compressed string of runs, found \"O\", at byte 0"),
        (
            Rle::of_polygons(&[vec![1.0; 5]], [2, 3]),
            "polygons of at least three points: x1, y1, …, found 5 values",
        ),
        (
            Rle::of_polygons(&[vec![1.0, 1.0, 1.0, 1.0, 1.0, f64::NAN]], [2, 3]),
            "points in or near the image's 2×3 pixels (height × width), found NaN",
        ),
        (
            Rle::of_polygons(&[vec![13.0; 6]], [2, 3]),
            "points in or near the image's 2×3 pixels (height × width), found 13",
        ),
    ] {
        assert_eq!(message(mask), format!("a.json: counts: expected {expected}"));
    }
    assert_eq!(Rle::new(&[2, 0, 1, 0, 3], [2, 3]).unwrap(), Rle::new(&[6], [2, 3]).unwrap());
    assert_eq!(Rle::of_polygons(&[], [2, 3]).unwrap().area(), 0);
}

/// Intersection over union, pixel by pixel.
fn counted(a: &Array2<bool>, b: &Array2<bool>, crowd: bool) -> f64 {
    let count = |f: fn(bool, bool) -> bool| a.iter().zip(b).filter(|(a, b)| f(**a, **b)).count() as f64;
    let both = count(|a, b| a && b);
    if both == 0.0 { 0.0 } else { both / if crowd { count(|a, _| a) } else { count(|a, b| a || b) } }
}

fn mask() -> impl Strategy<Value = Array2<bool>> {
    proptest::collection::vec(any::<bool>(), 35)
        .prop_map(|bits| Array2::from_shape_vec((5, 7), bits).unwrap())
}

proptest! {
    #[test]
    fn runs_are_the_pixels(a in mask(), b in mask(), crowd: bool) {
        let (one, other) = (Rle::of_mask(a.view()), Rle::of_mask(b.view()));
        prop_assert_eq!(&one.mask(), &a);
        prop_assert_eq!(Rle::of_string(&one.string(), [5, 7]).unwrap(), one.clone());
        prop_assert_eq!(one.iou(&other, crowd), counted(&a, &b, crowd));
        prop_assert_eq!(one.union(&other), Rle::of_mask((&a | &b).view()));
        prop_assert_eq!(one.intersection(&other), Rle::of_mask((&a & &b).view()));
    }

    #[test]
    fn a_part_lies_where_it_is_put(part in mask(), line in 0usize..4, column in 0usize..4, below in 0usize..3, right in 0usize..3) {
        let size = [line + 5 + below, column + 7 + right];
        let mut whole = Array2::from_elem(size, false);
        whole.slice_mut(s![line..line + 5, column..column + 7]).assign(&part);
        prop_assert_eq!(Rle::of_part(part.view(), [line, column], size), Rle::of_mask(whole.view()));
    }
}
