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
