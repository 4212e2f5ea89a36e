//! Claim: objects of COCO's documents are read as they stand there; what does not fit is refused with file, annotation, field,
//! expected and found, makes its image bad and no other, and can be left out.

use std::sync::Arc;

use ndarray::Array2;
use serde_json::{Value, json};
use tempfile::TempDir;
use vit_mae::data::rle::Rle;
use vit_mae::data::{
    Augment, Dataset, Format, Instance, Loader, LoaderConfig, Split, Subset, Target, TargetKind, open,
    recognise, survey, verify,
};

use crate::common::files::{put, refusal};

/// A grey picture of 6 × 8 pixels.
pub(crate) fn picture() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 6);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(&[90; 48]).unwrap();
    bytes
}

/// Categories with gaps, out of order.
fn categories() -> Value {
    json!([{"id": 90, "name": "tree"}, {"id": 3, "name": "car"}, {"id": 17, "name": "dog"}])
}

/// A document of images of 6 × 8 pixels, each with its number.
pub(crate) fn document(images: &[(u64, &str)], annotations: &Value) -> Value {
    let about = |(id, name): &(u64, &str)| json!({"id": id, "file_name": name, "height": 6, "width": 8});
    json!({
        "images": images.iter().map(about).collect::<Vec<_>>(),
        "annotations": annotations,
        "categories": categories(),
    })
}

pub(crate) fn put_json(dir: &TempDir, name: &str, value: &Value) {
    put(dir, name, value.to_string().as_bytes());
}

pub(crate) fn objects(data: &dyn Dataset, index: usize) -> Vec<Instance> {
    match data.target(index).unwrap() {
        Target::Instances(objects) => objects,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn names(data: &dyn Dataset, dir: &TempDir) -> Vec<String> {
    let root = format!("{}/", dir.path().display());
    (0..data.len()).map(|i| data.source(i).replace(&root, "").replace("./", "")).collect()
}

/// A sound annotation of image 1.
pub(crate) fn annotation(id: u64) -> Value {
    json!({"id": id, "image_id": 1, "category_id": 17, "bbox": [1, 2, 3, 2], "area": 6, "iscrowd": 0, "segmentation": []})
}

#[test]
fn documents_and_images_are_found_where_tools_put_them() {
    for (document_at, image_at, validation_at) in [
        ("annotations/instances_train2017.json", "train2017", Some("annotations/instances_val2017.json")),
        ("annotations/instances_train.json", "images/train", Some("annotations/instances_validation.json")),
        ("Annotations/instances_default.json", "images", None),
        ("annotations/instances_train.json", "images", Some("annotations/instances_val.json")),
        ("train/_annotations.coco.json", "train", Some("valid/_annotations.coco.json")),
        ("train/annotations.json", "train/images", Some("val/annotations.json")),
        ("annotations.json", ".", None),
    ] {
        let dir = TempDir::new().unwrap();
        put_json(&dir, document_at, &document(&[(7, "a.png"), (2, "b.png")], &json!([])));
        put(&dir, &format!("{image_at}/a.png"), &picture());
        // What other tasks have beside it.
        put(&dir, "annotations/captions_train2017.json", b"{}");
        if let Some(validation) = validation_at {
            put_json(&dir, validation, &document(&[(1, "c.png")], &json!([])));
        }
        assert_eq!(recognise(dir.path()).unwrap(), Format::Coco, "{document_at}");
        let data = open(dir.path(), None, Split::Train).unwrap();
        let expected = ["a.png", "b.png"].map(|name| format!("{image_at}/{name}").replace("./", ""));
        assert_eq!(names(&*data, &dir), expected, "{document_at}");
        assert_eq!([data.image_id(0), data.image_id(1)], [7, 2]);
        assert_eq!(
            (data.classes(), data.category_ids()),
            (&["car", "dog", "tree"].map(String::from)[..], vec![3, 17, 90])
        );
        assert_eq!(data.target_kind(), TargetKind::Instances);
        assert_eq!(data.target(0).unwrap(), Target::Instances(vec![]), "an image without objects");
        let validation = open(dir.path(), None, Split::Validation);
        assert_eq!(validation.is_ok(), validation_at.is_some());
        assert!(open(dir.path(), None, Split::Test).is_err_and(|error| error.is_absence()));
        let alone = open(dir.path().join(document_at), None, Split::Train).unwrap();
        assert_eq!(alone.len(), 2, "a document by its own path");
    }
}

#[test]
fn boxes_masks_in_all_forms_crowds_and_areas_are_read() {
    let dir = TempDir::new().unwrap();
    let square = Array2::from_shape_fn((6, 8), |(y, x)| (2..4).contains(&y) && (1..4).contains(&x));
    let rle = Rle::of_mask(square.view());
    let with = |id: u64, segmentation: Value, more: Value| {
        let mut value = annotation(id);
        value["segmentation"] = segmentation;
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    let annotations = json!([
        with(1, json!([[1, 2, 4, 2, 4, 4, 1, 4]]), json!({"category_id": 90})),
        with(2, json!({"size": [6, 8], "counts": rle.counts()}), json!({"iscrowd": 1})),
        with(3, json!({"size": [6, 8], "counts": rle.string()}), json!({"area": null})),
        with(4, json!([]), json!({"bbox": [-0.5, 0, 9, 6.75], "area": 1234.5})),
        {"id": 5, "image_id": 1, "category_id": 3, "bbox": [0.25, 0.5, 2.0, 1.5]},
    ]);
    put_json(&dir, "annotations.json", &document(&[(1, "a.png")], &annotations));
    put(&dir, "a.png", &picture());
    let data = open(dir.path(), None, Split::Train).unwrap();
    let found = objects(&*data, 0);
    let bbox = [1.0, 2.0, 4.0, 4.0];
    let object = Instance { bbox, class: 1, mask: Some(rle), crowd: false, area: 6.0 };
    let expected = [
        Instance { class: 2, ..object.clone() },
        Instance { crowd: true, ..object.clone() },
        object.clone(),
        Instance { bbox: [0.0, 0.0, 8.0, 6.0], mask: None, area: 1234.5, ..object.clone() },
        Instance { bbox: [0.25, 0.5, 2.25, 2.0], class: 0, mask: None, area: 3.0, ..object },
    ];
    assert_eq!(found, expected);
    assert!(data.describe().ends_with("COCO, 1 image, 5 objects, 3 classes"), "{}", data.describe());

    let dense = survey(&*data, None, &|| ()).dense.unwrap();
    let of = |class: usize| (dense.classes[class].objects, dense.classes[class].sizes);
    assert_eq!(
        (of(0), of(1), of(2)),
        ((Some(1), Some([1, 0, 0])), (Some(3), Some([2, 1, 0])), (Some(1), Some([1, 0, 0])))
    );
    assert_eq!(dense.crowds, Some(1));
}

#[test]
fn a_bad_object_is_named_makes_its_image_bad_and_can_be_left_out() {
    let cases = [
        (
            json!({"bbox": [7, 2, 3, 2]}),
            "bbox: expected a box in the image's 6×8 pixels (height × width), found [7.0, 2.0, 3.0, 2.0] (x, y, width, height)",
        ),
        (
            json!({"bbox": [8, 2, 1, 2]}),
            "bbox: expected a box in the image's 6×8 pixels (height × width), found [8.0, 2.0, 1.0, 2.0] (x, y, width, height)",
        ),
        (
            json!({"bbox": [4, 2, -3, 2]}),
            "bbox: expected a box whose width and height are above 0, found [4.0, 2.0, -3.0, 2.0] (x, y, width, height)",
        ),
        (
            json!({"bbox": [4, 2, 3, 0]}),
            "bbox: expected a box whose width and height are above 0, found [4.0, 2.0, 3.0, 0.0] (x, y, width, height)",
        ),
        (
            json!({"bbox": [1e308, 2, 1e308, 2]}),
            "bbox: expected a box in the image's 6×8 pixels (height × width), found [1e308, 2.0, 1e308, 2.0] (x, y, width, height)",
        ),
        (json!({"bbox": [1, 2, 3]}), "bbox: expected [x, y, width, height], found [1,2,3]"),
        (json!({"bbox": null}), "bbox: expected a value, found none"),
        (
            json!({"category_id": 4}),
            "category_id: expected the id of a category of the training set, found 4",
        ),
        (json!({"category_id": "dog"}), "category_id: expected a whole number, found \"dog\""),
        (json!({"area": -1}), "area: expected 0 or more, found -1"),
        (json!({"iscrowd": 2}), "iscrowd: expected 0 or 1, found 2"),
        (
            json!({"segmentation": [[1, 2, 3, 4]]}),
            "segmentation: expected polygons of at least three points: x1, y1, …, found 4 values",
        ),
        (
            json!({"segmentation": [[1, 2, 3, 4, 900, 4]]}),
            "segmentation: expected points in or near the image's 6×8 pixels (height × width), found 900",
        ),
        (
            json!({"segmentation": "mask"}),
            "segmentation: expected polygons, [[x1, y1, x2, y2, …], …], or runs, found \"mask\"",
        ),
        (
            json!({"segmentation": {"size": [6, 8], "counts": [40, 7]}}),
            "segmentation: expected runs of 48 pixels in all, for 6×8 (height × width), found 47",
        ),
        (
            json!({"segmentation": {"size": [6, 8], "counts": [48, -1]}}),
            "segmentation: expected counts as whole numbers, or as a string, found [48,-1]",
        ),
        (
            json!({"segmentation": {"size": [1_000_000_000, 1_000_000_000], "counts": [1_000_000_000]}}),
            "segmentation: expected a mask of the image's size, 6×8 (height × width), found 1000000000×1000000000",
        ),
        (json!({"segmentation": {"size": [6, 8]}}), "segmentation: expected runs with counts, found none"),
    ];
    for (change, expected) in cases {
        let dir = TempDir::new().unwrap();
        let mut bad = annotation(21);
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let mut good = annotation(22);
        good["image_id"] = json!(2);
        put_json(
            &dir,
            "annotations.json",
            &document(&[(1, "a.png"), (2, "b.png")], &json!([annotation(20), bad, good])),
        );
        put(&dir, "a.png", &picture());
        put(&dir, "b.png", &picture());
        let data = open(dir.path(), None, Split::Train).unwrap();
        let message = format!("{}: annotation 21: {expected}", dir.path().join("annotations.json").display());
        assert_eq!(verify(&*data, &|| ()).bad, [(0, message.clone())]);
        assert_eq!(objects(&*data, 1).len(), 1);

        let config = LoaderConfig {
            height: 6,
            width: 8,
            channels: 1,
            mean: vec![0.5],
            std: vec![0.5],
            batch_size: 2,
            repeats: 1,
            views: vec![Augment::NONE],
            seed: 1,
            skip_bad_images: true,
            cache_bytes: 0,
        };
        let loader = Loader::new(data.clone(), config.clone()).unwrap();
        let batch = loader.epoch(0, 0).next().unwrap().unwrap();
        assert_eq!((batch.targets.len(), loader.skipped()), (2, vec![message.clone()]));
        let strict = Loader::new(data, LoaderConfig { skip_bad_images: false, ..config }).unwrap();
        let error = strict.epoch(0, 0).next().unwrap().unwrap_err();
        assert_eq!((error.to_string(), error.exit_code()), (message, 2));
    }
}

#[test]
fn missing_pictures_and_wrong_sizes_are_named() {
    let dir = TempDir::new().unwrap();
    let mut whole = document(&[(1, "a.png"), (2, "gone.png"), (3, "c.png")], &json!([annotation(1)]));
    whole["images"][2]["height"] = json!(-7);
    put_json(&dir, "annotations.json", &whole);
    put(&dir, "a.png", &picture());
    put(&dir, "c.png", &picture());
    let data = open(dir.path(), None, Split::Train).unwrap();
    let bad = verify(&*data, &|| ()).bad;
    assert_eq!(bad.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2]);
    assert!(bad[0].1.contains("cannot read") && bad[0].1.contains("gone.png"), "{}", bad[0].1);
    let expected =
        format!("image 3: height: expected 6, as {} has, found -7", dir.path().join("c.png").display());
    assert!(bad[1].1.ends_with(&expected), "{}", bad[1].1);
}

#[test]
fn a_document_that_contradicts_itself_is_refused_as_a_whole() {
    let sound = document(&[(1, "a.png")], &json!([annotation(1)]));
    let changed = |change: fn(&mut Value)| {
        let mut value = sound.clone();
        change(&mut value);
        value.to_string()
    };
    for (text, expected) in [
        (changed(|v| v["images"] = json!([])), "images: expected at least one, found none"),
        (
            changed(|v| v["images"] = json!([v["images"][0], v["images"][0]])),
            "images: id: expected a number of its own for each image, found 1 twice",
        ),
        (
            document(&[(1, "a.png"), (2, "a.png")], &json!([])).to_string(),
            "images: file_name: expected a file of its own for each image, found a.png twice",
        ),
        (
            json!([[], [], categories()]).to_string(),
            "JSON: expected COCO's document, with lists of images, annotations and categories, found a list",
        ),
        (
            changed(|v| v["images"][0]["file_name"] = json!("")),
            "images[0]: file_name: expected a value, found none",
        ),
        (changed(|v| v["images"][0]["id"] = json!(1.5)), "images[0]: id: expected a whole number, found 1.5"),
        (
            changed(|v| v["annotations"] = json!([annotation(9), annotation(9)])),
            "annotations: id: expected a number of its own for each annotation, found 9 twice",
        ),
        (changed(|v| v["categories"] = json!([])), "categories: expected at least one, found an empty list"),
        (
            changed(|v| v["categories"][1]["id"] = json!(90)),
            "categories[1]: id: expected a number of its own for each category, found 90",
        ),
        (
            changed(|v| v["categories"][1]["name"] = json!("tree")),
            "categories[1]: name: expected a name of its own for each category, found tree",
        ),
        (
            changed(|v| v["annotations"] = json!("none")),
            "JSON: expected COCO's document, with lists of images, annotations and categories, found invalid type",
        ),
        (
            "[".repeat(100_000),
            "JSON: expected COCO's document, with lists of images, annotations and categories, found ",
        ),
        (
            "{\"images\": [1e999".to_owned(),
            "JSON: expected COCO's document, with lists of images, annotations and categories, found EOF",
        ),
        (
            "\u{7f}\u{ff}".to_owned(),
            "JSON: expected COCO's document, with lists of images, annotations and categories, found ",
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let path = put(&dir, "annotations.json", text.as_bytes());
        let message = refusal(dir.path(), Split::Train);
        assert!(message.starts_with(&format!("{}: {expected}", path.display())), "{message}");
    }
    // Deep nesting in what is not read, and in what is.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let dir = TempDir::new().unwrap();
    put(&dir, "a.png", &picture());
    for (field, bad) in [("licence", false), ("segmentation", true)] {
        let mut value = annotation(1);
        value.as_object_mut().unwrap().remove("segmentation");
        let text = document(&[(1, "a.png")], &json!([value])).to_string();
        put(
            &dir,
            "annotations.json",
            text.replace("\"iscrowd\"", &format!("\"{field}\":{deep},\"iscrowd\"")).as_bytes(),
        );
        let data = open(dir.path(), None, Split::Train).unwrap();
        assert_eq!(data.target(0).is_err(), bad, "{field}");
    }
}

#[test]
fn other_splits_have_the_classes_of_the_training_set() {
    let dir = TempDir::new().unwrap();
    put_json(&dir, "annotations/instances_train.json", &document(&[(1, "a.png")], &json!([])));
    let mut test = document(&[(1, "a.png")], &json!([annotation(1)]));
    test["categories"] = json!([{"id": 17, "name": "dog"}]);
    put_json(&dir, "annotations/instances_test.json", &test);
    put(&dir, "images/a.png", &picture());
    let data = open(dir.path(), None, Split::Test).unwrap();
    assert_eq!((data.classes().len(), objects(&*data, 0)[0].class), (3, 1));
    test["categories"] = json!([{"id": 17, "name": "cat"}]);
    put_json(&dir, "annotations/instances_test.json", &test);
    let message = refusal(dir.path(), Split::Test);
    assert!(
        message.contains("instances_test.json: categories: expected the categories of ")
            && message.ends_with("found 17, \"cat\""),
        "{message}"
    );
}

#[test]
fn a_folder_that_is_both_opens_as_label_maps_unless_told() {
    let dir = TempDir::new().unwrap();
    put(&dir, "images/train/a.png", &picture());
    put(&dir, "annotations/train/a.png", &picture());
    put_json(&dir, "annotations/instances_train.json", &document(&[(1, "a.png")], &json!([annotation(1)])));
    assert_eq!(recognise(dir.path()).unwrap(), Format::LabelMaps);
    let data = open(dir.path(), Some(Format::Coco), Split::Train).unwrap();
    assert_eq!(objects(&*data, 0).len(), 1);
}

#[test]
fn ids_go_with_a_subset_and_scenes_have_both_kinds_of_targets() {
    let dir = TempDir::new().unwrap();
    put_json(&dir, "annotations.json", &document(&[(7, "a.png"), (2, "b.png"), (5, "c.png")], &json!([])));
    let whole = open(dir.path(), None, Split::Train).unwrap();
    let subset = Subset::new(whole, vec![2, 0]);
    assert_eq!(([subset.image_id(0), subset.image_id(1)], subset.category_ids()), ([5, 7], vec![3, 17, 90]));
    assert!(subset.with_targets(TargetKind::LabelMap).is_none());

    let maps: Arc<dyn Dataset> = open("scenes:32", None, Split::Test).unwrap();
    let subset = Subset::new(maps.clone(), vec![4, 1]).with_targets(TargetKind::Instances).unwrap();
    let scenes = open("scenes:instances:32", None, Split::Test).unwrap();
    assert!(
        subset.target(1).unwrap() == scenes.target(1).unwrap()
            && subset.target(0).unwrap() == scenes.target(4).unwrap()
    );
    assert_eq!(
        (maps.image(4).unwrap(), subset.category_ids()),
        (subset.image(0).unwrap(), (1..=10).collect())
    );
    assert!(open("scenes:class", None, Split::Test).unwrap().with_targets(TargetKind::Instances).is_none());
}
