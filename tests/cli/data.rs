//! Claim: `vit-mae data` says what is in a data set, finds every damaged image and nothing else, and draws a sheet; its
//! numbers are those of the images that this test made.

use crate::common::Place;
use crate::common::shards::{Member, png, tar};
use serde_json::Value;

/// Two classes of flat grey images of 4 × 3: levels 0 and 255, and 51.
fn two_classes(place: &Place) {
    place.write("pets/cat/1.png", png(0));
    place.write("pets/cat/2.png", png(255));
    place.write("pets/dog/1.png", png(51));
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON document")
}

#[test]
fn info_counts_and_measures_what_was_made() {
    let place = Place::new();
    two_classes(&place);
    let report = json(&place.done(&["data", "info", "pets", "--json"]));
    assert_eq!(report["path"], "pets");
    assert_eq!(report["splits"].as_array().unwrap().len(), 1);
    let split = &report["splits"][0];
    assert_eq!((&split["split"], &split["images"], &split["bad"]), (&"train".into(), &3.into(), &0.into()));
    assert_eq!((&split["height"], &split["width"]), (&[3, 3].to_vec().into(), &[4, 4].to_vec().into()));
    assert_eq!(split["channels"], serde_json::json!({"1": 3}));
    assert_eq!(
        split["classes"],
        serde_json::json!([{"name": "cat", "images": 2}, {"name": "dog", "images": 1}])
    );
    // Levels 0, 1 and 0.2: mean 0.4, mean of squares 1.04 / 3, standard deviation √(1.04/3 − 0.16).
    let near = |value: &Value, expected: f64| (value[0].as_f64().unwrap() - expected).abs() < 1e-6;
    assert!(near(&split["pixels"]["mean"], 0.4), "{split}");
    assert!(near(&split["pixels"]["std"], (1.04f64 / 3.0 - 0.16).sqrt()), "{split}");
    let text = place.done(&["data", "info", "pets"]);
    for words in ["pets: folder, 3 image files, 2 classes", "3 high, 4 wide", "grey (3)", "0.4000", "cat "] {
        assert!(text.contains(words), "no {words:?} in: {text}");
    }
}

#[test]
fn info_looks_at_both_splits_at_other_channels_and_at_bad_images() {
    let place = Place::new();
    place.image("set/train/a/1.png", 1, (4, 6), 3);
    place.write("set/train/a/2.png", png(51));
    place.write("set/train/b/3.png", b"no image");
    place.write("set/test/b/4.png", png(51));
    let report = json(&place.done(&["data", "info", "set", "--json"]));
    let (train, test) = (&report["splits"][0], &report["splits"][1]);
    assert_eq!((&train["bad"], &train["height"]), (&1.into(), &[3, 4].to_vec().into()));
    assert_eq!(train["channels"], serde_json::json!({"1": 1, "3": 1}));
    assert_eq!(train["pixels"]["mean"].as_array().unwrap().len(), 3, "grey counts as colour: {train}");
    assert!(train["first_bad"].as_str().unwrap().contains("3.png"), "{train}");
    assert_eq!(test["classes"][0], serde_json::json!({"name": "a", "images": 0}));
    let text = place.done(&["data", "info", "set"]);
    assert!(text.contains("grey (1), colour (1)") && text.contains("1 of 3, the first: "), "{text}");
}

#[test]
fn info_looks_at_a_thousand_images_unless_all_are_asked_for() {
    let place = Place::new();
    let mut pixels = vec![0, 0, 8, 3, 0, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 1]; // 2048 images of one pixel
    pixels.extend((0..2048).map(|i| u8::from(i % 2 == 1) * 255));
    place.write("set/train-images-idx3-ubyte", pixels);
    let some = json(&place.done(&["data", "info", "set", "--json"]));
    let all = json(&place.done(&["data", "info", "set", "--all", "--json"]));
    assert_eq!(
        (&some["splits"][0]["looked_at"], &all["splits"][0]["looked_at"]),
        (&1000.into(), &2048.into())
    );
    assert_eq!(all["splits"][0]["pixels"]["mean"][0], 0.5);
}

#[test]
fn verify_lists_every_bad_image_and_exits_with_1() {
    let place = Place::new();
    two_classes(&place);
    assert!(place.done(&["data", "verify", "pets"]).contains("3 images: all can be read"));
    let whole = png(9);
    place.write("pets/dog/2.png", &whole[..whole.len() - 20]);
    place.write("pets/dog/3.png", b"");
    let output = place.run(&["data", "verify", "pets"]);
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{text}{error}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("2.png") && lines[1].contains("3.png: image format"), "{text}");
    assert_eq!(error, "error: 2 of 5 images cannot be read\n");
    let output = place.run(&["data", "verify", "pets", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!((&report["images"], &report["bad"][1]["index"]), (&5.into(), &4.into()));
    assert_eq!(report["bad"][0]["split"], "train");
    assert!(report["bad"][0]["reason"].as_str().unwrap().contains("2.png"));
}

#[test]
fn verify_names_pictures_that_are_there_more_than_once_those_of_several_splits_first() {
    let place = Place::new();
    for (name, grey) in
        [("train/a", 1), ("train/b", 2), ("train/c", 1), ("train/d", 3), ("test/e", 4), ("test/f", 2)]
    {
        place.write(&format!("set/{name}.png"), png(grey));
    }
    // Another size is another picture, whatever the pixels.
    let mut turned = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_pixel(3, 4, image::Luma([1]))
        .write_to(&mut turned, image::ImageFormat::Png)
        .unwrap();
    place.write("set/test/g.png", turned.into_inner());
    let text = place.done(&["data", "verify", "set"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[0], "7 images: all can be read");
    assert_eq!(lines[1], "2 pictures more than once, 1 of them in several splits:");
    assert!(lines[2].contains("b.png = test") && lines[2].ends_with("f.png"), "{text}");
    assert!(lines[3].contains("a.png = train") && lines[3].ends_with("c.png"), "{text}");
    let report = json(&place.done(&["data", "verify", "set", "--json"]));
    assert_eq!(report["repeated"][0][1]["split"], "test");
    assert_eq!(report["repeated"].as_array().unwrap().len(), 2);
    let report = json(&place.done(&["data", "verify", "set", "--split", "test", "--json"]));
    assert_eq!(report["repeated"], serde_json::json!([]));
}

#[test]
fn a_name_from_a_shard_does_not_steer_the_terminal() {
    let place = Place::new();
    place.write("set.tar", tar(&[Member("\u{1b}[2Jx.png", b"bad")]));
    let output = place.run(&["data", "verify", "set.tar"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.contains(&0x1b), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn preview_draws_a_row_for_each_class_that_the_seed_moves() {
    let place = Place::new();
    for i in 0..6 {
        place.write(&format!("set/a/{i}.png"), png(i * 40));
        place.write(&format!("set/b/{i}.png"), png(i * 40 + 5));
    }
    place.write("set/b/bad.png", b"no image");
    let sheet = |out: &str, seed: &str| {
        let args = ["data", "preview", "set", "--out", out, "--seed", seed, "--columns", "3", "--json"];
        json(&place.done(&args))
    };
    let report = sheet("one.png", "1");
    assert_eq!(
        (&report["images"], &report["classes_shown"], &report["classes"]),
        (&6.into(), &2.into(), &2.into())
    );
    sheet("again.png", "1");
    sheet("other.png", "2");
    assert_eq!(place.read("one.png"), place.read("again.png"), "a function of the seed");
    assert_ne!(place.read("one.png"), place.read("other.png"));
    // 4 × 3 pixels are enlarged 40 times to 160 × 120: three tiles a row, a label of text below each of two rows.
    let picture = image::load_from_memory(&place.read("one.png")).unwrap();
    assert_eq!(picture.width(), 24 * 2 + 3 * 160 + 2 * 10);
    let text = place.done(&["data", "preview", "set", "--out", "all.png", "--columns", "7"]);
    assert!(text.contains("12, 2 of 2 classes") && text.contains("bad.png: image format"), "{text}");
}

#[test]
fn preview_shows_images_without_labels_and_only_some_of_many_classes() {
    let place = Place::new();
    let report = json(&place.done(&["data", "preview", "images", "--out", "s.png", "--rows", "2", "--json"]));
    assert_eq!((&report["images"], &report["classes"]), (&16.into(), &0.into()));
    for class in 0..5 {
        place.write(&format!("many/{class}/0.png"), png(class * 9));
    }
    let report = json(&place.done(&["data", "preview", "many", "--out", "m.png", "--rows", "2", "--json"]));
    assert_eq!(
        (&report["images"], &report["classes_shown"], &report["classes"]),
        (&2.into(), &2.into(), &5.into())
    );
}

#[test]
fn every_command_says_what_is_there_and_not_read() {
    let place = Place::new();
    place.images("set/train", 16, (8, 8), 1);
    place.images("set/valid", 4, (8, 8), 1);
    place.images("set/heldout", 4, (8, 8), 1);
    place.write("set/test/1.bmp", b"BM");
    place.write("set/__MACOSX/test/._1.png", b"");
    let commands = [
        &["data", "info", "set", "--json"][..],
        &["data", "verify", "set"],
        &["data", "preview", "set", "--out", "sheet.png", "--split", "val"],
        &["pretrain", "--config", "tiny.toml", "--data", "set", "--epochs", "1", "--out", "run", "--json"],
    ];
    for command in commands {
        let output = place.run(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}: {said}");
        for words in ["heldout beside test, train, valid: not read", "no test images", "1 file *.bmp"] {
            assert!(said.contains(words), "{command:?}: no {words:?} in: {said}");
        }
    }
    let report = json(&place.done(&["data", "info", "set", "--json"]));
    let splits = report["splits"].as_array().unwrap().iter().map(|split| (&split["split"], &split["images"]));
    assert!(splits.eq([(&"train".into(), &16.into()), (&"validation".into(), &4.into())]), "{report}");
    assert_eq!(report["notes"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let place = Place::new();
    place.write("there.png", b"");
    let preview = |args: &[&'static str]| [&["data", "preview", "images"], args].concat();
    place.refused(&preview(&["--out", "there.png"]), &["--out", "--overwrite"]);
    place.refused(&preview(&["--out", "no/such.png"]), &["--out", "folder that exists"]);
    place.refused(&preview(&["--out", "images/03.png", "--overwrite"]), &["--out", "not overwritten"]);
    place.refused(&preview(&["--out", "s.png", "--rows", "0"]), &["--rows", "at least 1"]);
    place.refused(&preview(&["--out", "s.png", "--rows", "99", "--columns", "99"]), &["1024"]);
    place.refused(&preview(&["--out", "s.png", "--split", "test"]), &["--split", "images"]);
    place.refused(&["data", "info", "nowhere"], &["cannot read nowhere"]);
    place.refused(&["data", "info", "images", "--format", "zip"], &["--format", "webdataset", "zip"]);
    place.refused(&["data", "verify", "tiny.toml"], &["tiny.toml", "data format"]);
    place.write("cut.tar", &tar(&[Member("1.png", &png(1))])[..600]);
    place.refused(&["data", "verify", "cut.tar"], &["cut.tar", "cut short"]);
}

#[test]
fn a_shard_and_an_array_can_be_trained_on() {
    let place = Place::new();
    let image = |i: u8| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::GrayImage::from_fn(8, 8, |x, y| {
            image::Luma([i.wrapping_mul(31) ^ u8::try_from(x * 9 + y).unwrap()])
        })
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
        bytes.into_inner()
    };
    let images: Vec<(String, Vec<u8>)> = (0..16).map(|i| (format!("{i:02}.png"), image(i))).collect();
    let members: Vec<Member> = images.iter().map(|(name, bytes)| Member(name, bytes)).collect();
    place.write("shards/train-0.tar", tar(&members[..8]));
    place.write("shards/train-1.tar", tar(&members[8..]));
    place.pretrain(&["--data", "shards", "--epochs", "1", "--out", "from-shards"]);
    let header = format!("{:<117}\n", "{'descr': '|u1', 'fortran_order': False, 'shape': (16, 8, 8), }");
    let mut array = [b"\x93NUMPY\x01\x00v\x00", header.as_bytes()].concat();
    for (_, bytes) in &images {
        array.extend(image::load_from_memory(bytes).unwrap().to_luma8().into_raw());
    }
    place.write("array.npy", array);
    place.pretrain(&["--data", "array.npy", "--epochs", "1", "--out", "from-array"]);
    // The same pixels in the same order make the same weights, whatever file they come from.
    let weights = |run: &str| place.read(&format!("{run}/checkpoint/model.safetensors"));
    assert!(weights("from-shards") == weights("from-array"));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_its_feature_a_parquet_file_is_answered_with_how_to_build_it() {
    let place = Place::new();
    place.write("train.parquet", b"PAR1");
    place.refused(
        &["data", "info", "train.parquet"],
        &["train.parquet", "cargo install", "--features parquet"],
    );
}
