//! Claim: average precision and recall are those of pycocotools; the order of images changes nothing; an error has one kind;
//! and a file of detections is read back as it was written.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::slice::from_ref;
use vit_mae::data::rle::Rle;
use vit_mae::tasks::detect::coco::protocol::AREA_RANGES;
use vit_mae::tasks::detect::coco::{
    Detection, ErrorCounts, Evaluation, ImageResult, Object, Overlap, Protocol, count_errors, evaluate,
    results,
};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    ground_truth: GroundTruth,
    detections: Vec<Found>,
    area_ranges: BTreeMap<String, [f64; 2]>,
    max_dets: [usize; 3],
    image_ids: Option<Vec<u64>>,
    expect: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct GroundTruth {
    images: Vec<Picture>,
    categories: Vec<Category>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Picture {
    id: u64,
    width: usize,
    height: usize,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    area: f64,
    #[serde(default)]
    iscrowd: u8,
    segmentation: Value,
}

#[derive(Deserialize)]
struct Found {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    score: f64,
    segmentation: Value,
}

#[derive(Deserialize)]
struct Expected {
    stats: Vec<f64>,
    categories: Vec<ExpectedClass>,
    precision_sum: f64,
    precision_count: usize,
    precision_missing: usize,
    recall_sum: f64,
}

#[derive(Deserialize)]
struct ExpectedClass {
    category: u64,
    ap: f64,
    precision_at_50: Vec<f64>,
    precision_at_75: Vec<f64>,
    scores_at_50: Vec<f64>,
    recall: Vec<f64>,
}

fn golden() -> Vec<Case> {
    let text = fs::read_to_string("tests/golden/cocoeval_v.json").unwrap();
    serde_json::from_str::<Golden>(&text).unwrap().cases
}

/// A segmentation in any of COCO's forms.
fn mask(value: &Value, size: [usize; 2]) -> Rle {
    match &value["counts"] {
        Value::String(text) => Rle::of_string(text, size).unwrap(),
        Value::Array(_) => {
            Rle::new(&serde_json::from_value::<Vec<u32>>(value["counts"].clone()).unwrap(), size).unwrap()
        }
        _ => {
            Rle::of_polygons(&serde_json::from_value::<Vec<Vec<f64>>>(value.clone()).unwrap(), size).unwrap()
        }
    }
}

impl Case {
    /// The categories in ascending order of their numbers: position k is class k.
    fn categories(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.ground_truth.categories.iter().map(|category| category.id).collect();
        ids.sort_unstable();
        ids
    }

    fn images(&self) -> Vec<ImageResult> {
        let categories = self.categories();
        let class = |id: u64| categories.binary_search(&id).unwrap();
        let wanted = |image: &&Picture| self.image_ids.as_ref().is_none_or(|ids| ids.contains(&image.id));
        let of_image = |image: &Picture| {
            let (id, size) = (image.id, [image.height, image.width]);
            let objects = self.ground_truth.annotations.iter().filter(|object| object.image_id == id);
            let detections = self.detections.iter().filter(|found| found.image_id == id);
            ImageResult {
                id,
                objects: objects
                    .map(|object| Object {
                        bbox: object.bbox,
                        class: class(object.category_id),
                        mask: Some(mask(&object.segmentation, size)),
                        crowd: object.iscrowd == 1,
                        area: object.area,
                    })
                    .collect(),
                detections: detections
                    .map(|found| Detection {
                        bbox: found.bbox,
                        score: found.score,
                        class: class(found.category_id),
                        mask: Some(mask(&found.segmentation, size)),
                    })
                    .collect(),
            }
        };
        self.ground_truth.images.iter().filter(wanted).map(of_image).collect()
    }

    fn protocol(&self) -> Protocol {
        let area_ranges = ["all", "small", "medium", "large"].map(|name| self.area_ranges[name]);
        Protocol { area_ranges, max_dets: self.max_dets, ..Protocol::default() }
    }
}

/// pycocotools has −1 where there is nothing.
fn close(found: Option<f64>, expected: f64, what: &str) {
    let found = found.filter(|x| !x.is_nan()).unwrap_or(-1.0);
    assert!((found - expected).abs() <= 1e-12, "{what}: {found}, {expected} expected");
}

#[test]
fn every_number_is_that_of_pycocotools() {
    let cases = golden();
    assert_eq!(cases.len(), 60);
    for (number, case) in cases.iter().enumerate() {
        let (mut images, categories) = (case.images(), case.categories());
        // The order must not matter.
        images.reverse();
        for (overlap, name) in [(Overlap::Boxes, "bbox"), (Overlap::Masks, "segm")] {
            let expected = &case.expect[name];
            let evaluation = evaluate(&images, categories.len(), overlap, &case.protocol());
            let what = |part: &str| format!("case {number}, {name}, {part}");
            for (at, (found, &stat)) in evaluation.figures().into_iter().zip(&expected.stats).enumerate() {
                close(found, stat, &what(&format!("figure {at}")));
            }
            assert_eq!(
                expected.categories.iter().map(|class| class.category).collect::<Vec<_>>(),
                categories
            );
            let classes = evaluation.classes();
            for (class, expected) in expected.categories.iter().enumerate() {
                close(classes[class], expected.ap, &what("AP of a class"));
                compare_class(&evaluation, class, expected, &what("a class"));
            }
            let numbers = || evaluation.precision.iter().filter(|x| !x.is_nan());
            assert_eq!(numbers().count(), expected.precision_count);
            assert_eq!(evaluation.precision.len() - numbers().count(), expected.precision_missing);
            let sum: f64 = numbers().sum();
            assert!((sum - expected.precision_sum).abs() <= 1e-9, "{}", what("precision"));
            let sum: f64 = evaluation.recall.iter().filter(|x| !x.is_nan()).sum();
            assert!((sum - expected.recall_sum).abs() <= 1e-9, "{}", what("recall"));
        }
    }
}

fn compare_class(evaluation: &Evaluation, class: usize, expected: &ExpectedClass, what: &str) {
    for tenth in 0..=10 {
        let at = |t: usize| [t, 10 * tenth, class, 0, 2];
        close(Some(evaluation.precision[at(0)]), expected.precision_at_50[tenth], what);
        close(Some(evaluation.precision[at(5)]), expected.precision_at_75[tenth], what);
        close(Some(evaluation.scores[at(0)]), expected.scores_at_50[tenth], what);
    }
    for (t, &recall) in expected.recall.iter().enumerate() {
        close(Some(evaluation.recall[[t, class, 0, 2]]), recall, what);
    }
}

#[test]
fn the_curve_of_all_classes_is_the_mean_over_those_with_objects() {
    let images = [ImageResult {
        id: 1,
        objects: vec![object(0, [0.0, 0.0, 10.0, 10.0]), object(2, [50.0, 0.0, 10.0, 10.0])],
        detections: vec![found(0, 0.9, [0.0, 0.0, 10.0, 10.0])],
    }];
    let evaluation = evaluate(&images, 3, Overlap::Boxes, &Protocol::default());
    let curve = evaluation.precision_at(0.5).unwrap();
    assert_eq!(curve.len(), 101);
    assert!(curve.iter().all(|x| (x - 0.5).abs() < 1e-9), "{curve:?}");
    assert_eq!(evaluation.precision_at(0.33), None);
    assert_eq!(AREA_RANGES, Protocol::default().area_ranges);
}

fn object(class: usize, bbox: [f64; 4]) -> Object {
    Object { bbox, class, mask: None, crowd: false, area: bbox[2] * bbox[3] }
}

fn found(class: usize, score: f64, bbox: [f64; 4]) -> Detection {
    Detection { bbox, score, class, mask: None }
}

#[test]
fn an_error_has_the_first_kind_that_fits() {
    let at = |x: f64| [x, 0.0, 10.0, 10.0];
    let image = ImageResult {
        id: 1,
        objects: vec![
            object(0, at(0.0)),
            object(0, at(100.0)),
            object(1, at(200.0)),
            object(0, at(300.0)),
            object(0, at(400.0)),
            Object { crowd: true, ..object(0, [500.0, 0.0, 100.0, 10.0]) },
        ],
        detections: vec![
            found(0, 0.9, at(0.0)),   // right
            found(0, 0.8, at(1.0)),   // the same again: duplicate
            found(0, 0.7, at(105.0)), // 50 of 150 pixels: mislocated, and the object at 100 is not missed
            found(0, 0.6, at(201.0)), // misclassified, and the object at 200 is not missed
            found(1, 0.5, at(305.0)), // another class, 1/3: both; the object at 300 is missed
            found(0, 0.4, at(700.0)), // background
            found(1, 0.3, at(409.0)), // 10 of 190 pixels: background; the object at 400 is missed
            found(0, 0.2, at(520.0)), // in a crowd: nothing
            found(0, 0.1, at(800.0)), // below the least score
        ],
    };
    let counts = count_errors(from_ref(&image), Overlap::Boxes, 100, 0.15);
    let expected =
        ErrorCounts { mislocated: 1, misclassified: 1, both: 1, duplicate: 1, background: 2, missed: 2 };
    assert_eq!(counts, expected);
    let first_two = count_errors(from_ref(&image), Overlap::Boxes, 2, 0.0);
    assert_eq!(first_two, ErrorCounts { duplicate: 1, missed: 4, ..ErrorCounts::default() });
}

#[test]
fn detections_are_read_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("detections.json");
    let mask = Rle::new(&[5, 3, 4], [3, 4]).unwrap();
    let all = [
        Detection { mask: Some(mask.clone()), ..found(1, 0.1 + 0.2, [0.5, 1.0 / 3.0, 2.0, 0.0]) },
        found(0, 1e-30, [0.0; 4]),
    ];
    std::fs::write(&path, results::document([(42, &all[..]), (7, &all[..1])], &[3, 18])).unwrap();
    let read = results::read(&path, &[3, 18]).unwrap();
    assert_eq!(read, BTreeMap::from([(42, all.to_vec()), (7, all[..1].to_vec())]));
    let text = fs::read_to_string(&path).unwrap();
    let start = r#"[{"image_id":42,"category_id":18,"bbox":[0.5,0.3333333333333333,2.0,0.0],"score":0.30000000000000004,"segmentation":{"size":[3,4],"counts":""#;
    assert!(text.starts_with(start) && text.contains(&mask.string()), "{text}");
}

#[test]
fn what_is_wrong_in_a_file_of_detections_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    let with = |entry: &str| {
        fs::write(&path, format!(r#"[{{"image_id": 1, "category_id": 3, {entry}}}]"#)).unwrap();
        let message = results::read(&path, &[3, 18]).unwrap_err().to_string();
        message.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
    };
    for (entry, expected) in [
        (
            r#""bbox": [0, 0, -1, 2], "score": 1"#,
            "detection 0: bbox: expected x, y, width and height, of which the last two are not negative, found [0.0, 0.0, -1.0, 2.0]",
        ),
        (
            r#""bbox": [0, 0, 1], "score": 1"#,
            "detections: expected COCO's format of results, found invalid length 3",
        ),
        (
            r#""bbox": [0, 0, 1, 1e999], "score": 1"#,
            "detections: expected COCO's format of results, found number out of range",
        ),
        (
            r#""bbox": [0, 0, 1, 1], "score": NaN"#,
            "detections: expected COCO's format of results, found expected value",
        ),
        (
            r#""bbox": [0, 0, 1, 1], "score": 1, "segmentation": {"size": [1000000000, 1000000000], "counts": "0"}"#,
            "detection 0: segmentation: expected a mask of at most",
        ),
        (
            r#""bbox": [0, 0, 1, 1], "score": 1, "segmentation": {"size": [2, 2], "counts": "1"}"#,
            "detection 0: segmentation: expected runs of 4 pixels in all",
        ),
    ] {
        let message = with(entry);
        assert!(message.starts_with(expected), "{message}");
    }
    fs::write(&path, r#"[{"image_id": 1, "category_id": 4, "bbox": [0, 0, 1, 1], "score": 1}]"#).unwrap();
    let message = results::read(&path, &[3, 18]).unwrap_err().to_string();
    assert!(message.ends_with("detection 0: category_id: expected one of 3, 18, found 4"), "{message}");
}
