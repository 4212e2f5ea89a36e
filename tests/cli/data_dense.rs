//! Claim: `vit-mae data` counts what label maps hold, finds every bad one, and draws label maps and objects over their images.

use std::fs;

use ndarray::{Array2, arr2};
use serde_json::{Value, json};
use vit_mae::draw::palette::label_map_png;

use crate::common::Place;

/// Three images of 2 × 3, 4 × 3 and 2 × 3 pixels with label maps.
fn labelled(place: &Place) {
    for (name, height, map) in [
        ("a", 2, arr2(&[[0, 1, 2], [2, 255, 0]])),
        ("b", 4, Array2::from_elem((4, 3), 2)),
        ("c", 2, arr2(&[[0, 0, 0], [255, 255, 255]])),
    ] {
        place.image(&format!("set/images/train/{name}.png"), 1, (height, 3), 3);
        place.write(&format!("set/annotations/train/{name}.png"), label_map_png(&map).unwrap());
    }
    place.write("set/classes.txt", "sky\nroad\ncar\n");
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON document")
}

fn near(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-12
}

#[test]
fn info_counts_pixels_and_images_of_each_class() {
    let place = Place::new();
    labelled(&place);
    let report = document(&place.done(&["data", "info", "set", "--json"]));
    let split = &report["splits"][0];
    assert_eq!(
        (&split["images"], &split["height"], &split["median"]),
        (&json!(3), &json!([2, 4]), &json!([2, 3]))
    );
    let dense = &split["dense"];
    assert_eq!((&dense["kind"], &split["classes"]), (&json!("label maps"), &json!([])));
    // 24 pixels, 4 of them ignored: sky 2 + 3, road 1, car 2 + 12.
    assert!(near(&dense["ignored"], 4.0 / 24.0), "{dense}");
    for (at, (name, images, pixels)) in
        [("sky", 2, 5.0), ("road", 1, 1.0), ("car", 2, 14.0)].iter().enumerate()
    {
        let class = &dense["classes"][at];
        assert_eq!(
            (&class["name"], &class["images"], &class["objects"]),
            (&json!(name), &json!(images), &Value::Null)
        );
        assert!(near(&class["pixels"], pixels / 20.0), "{class}");
    }
    let text = place.done(&["data", "info", "set"]);
    for words in [
        "2 to 4 (median 2) high, 3 wide",
        "label maps, 16.67 % of the pixels ignored",
        "car          2  70.00 %",
    ] {
        assert!(text.contains(words), "no {words:?} in: {text}");
    }
    let report = document(&place.done(&["data", "info", "set", "--reduce-zero-label", "--json"]));
    let dense = &report["splits"][0]["dense"];
    assert!(near(&dense["ignored"], 9.0 / 24.0) && dense["classes"][0]["name"] == "road", "{dense}");
    place.refused(
        &["data", "info", "images", "--reduce-zero-label"],
        &["data.reduce_zero_label", "label maps"],
    );
}

/// Two images of 100 × 120 pixels in COCO's layout, with these annotations.
fn objects(place: &Place, annotations: &Value) {
    let images =
        [1, 2].map(|id| json!({"id": id, "file_name": format!("{id}.png"), "height": 100, "width": 120}));
    for id in [1, 2] {
        place.image(&format!("coco/images/train/{id}.png"), 1, (100, 120), 3);
    }
    let categories = json!([{"id": 5, "name": "dog"}, {"id": 2, "name": "car"}]);
    let document = json!({"images": images, "annotations": annotations, "categories": categories});
    place.write("coco/annotations/instances_train.json", document.to_string());
}

#[test]
fn info_counts_objects_by_size_and_verify_names_a_bad_one() {
    let place = Place::new();
    let object = |id: u64, class: u64, bbox: [f64; 4]| {
        let area = bbox[2] * bbox[3];
        json!({"id": id, "image_id": 1, "category_id": class, "bbox": bbox, "area": area, "iscrowd": u8::from(id == 3)})
    };
    // Of 10², 32², 96² and 100 · 100 pixels: small, medium, large, large. The dogs cover 96² + (32² − 31²) + (10² − 9²) pixels together.
    let mut all = vec![
        object(1, 5, [0.0, 0.0, 10.0, 10.0]),
        object(2, 5, [1.0, 1.0, 32.0, 32.0]),
        object(3, 5, [2.0, 2.0, 96.0, 96.0]),
        object(4, 2, [20.0, 0.0, 100.0, 100.0]),
    ];
    objects(&place, &json!(all));
    let report = document(&place.done(&["data", "info", "coco", "--json"]));
    let dense = &report["splits"][0]["dense"];
    assert_eq!((&dense["kind"], &dense["crowds"]), (&json!("instances"), &json!(1)));
    for (at, (name, numbers, sizes)) in [("car", 1, [0, 0, 1]), ("dog", 3, [1, 1, 1])].iter().enumerate() {
        let class = &dense["classes"][at];
        assert_eq!(
            (&class["name"], &class["objects"], &class["sizes"]),
            (&json!(name), &json!(numbers), &json!(sizes))
        );
    }
    let text = place.done(&["data", "info", "coco"]);
    for words in [
        "COCO, 2 images, 4 objects, 2 classes",
        "target    instances, 1 of the objects crowds",
        "class   images  objects    small   medium    large   pixels",
        "dog          1        3        1        1        1  38.74 %",
    ] {
        assert!(text.contains(words), "no {words:?} in: {text}");
    }
    assert!(place.done(&["data", "verify", "coco"]).contains("2 images: all can be read"));
    all.push(object(7, 2, [90.0, 20.0, 40.0, 5.0]));
    objects(&place, &json!(all));
    let output = place.run(&["data", "verify", "coco"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = "instances_train.json: annotation 7: bbox: expected a box in the image's 100×120 pixels (height × width), \
                 found [90.0, 20.0, 40.0, 5.0] (x, y, width, height)";
    assert!(output.status.code() == Some(1) && said.contains(words), "{said}");
}

#[test]
fn a_bad_map_is_a_bad_image() {
    let place = Place::new();
    labelled(&place);
    place.image("set/annotations/train/a.png", 1, (2, 3), 3);
    let output = place.run(&["data", "verify", "set"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && text.contains("annotations/train/a.png: label map"), "{text}");
    let report = document(&place.done(&["data", "info", "set", "--json"]));
    assert_eq!((&report["splits"][0]["bad"], &report["splits"][0]["looked_at"]), (&json!(1), &json!(3)));
}

#[test]
fn preview_colours_what_is_there_and_says_what_the_colours_mean() {
    let place = Place::new();
    labelled(&place);
    let sheet = |set: &str, out: &str| {
        let report = document(&place.done(&[
            "data",
            "preview",
            set,
            "--out",
            out,
            "--columns",
            "3",
            "--rows",
            "1",
            "--json",
        ]));
        assert_eq!((&report["images"], &report["classes"]), (&json!(3), &json!(0)), "{report}");
        image::load_from_memory(&place.read(out)).unwrap().to_rgb8()
    };
    let picture = sheet("set", "maps.png");
    // The legend has a patch of each colour: black, dark red, green and the pale grey of what is ignored.
    for colour in [[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]] {
        let patch = |x: u32, y: u32| (0..10).all(|d| picture.get_pixel(x + d, y + d).0 == colour);
        let (width, height) = picture.dimensions();
        let found =
            (0..height - 10).flat_map(|y| (0..width - 10).map(move |x| (x, y))).any(|(x, y)| patch(x, y));
        assert!(found, "no patch of {colour:?}");
    }
    // Without the maps the same pictures have no legend, and so less height.
    fs::remove_dir_all(place.path("set/annotations")).unwrap();
    let plain = sheet("set/images", "plain.png");
    assert!(plain.width() == picture.width() && plain.height() < picture.height());
    sheet("scenes:instances", "objects.png");
}
