//! Claim: nothing that may be wrong with labels stops a command that needs none, the commands that do need them say what is
//! wrong, and numbers are classes by their value, not by their place.

use crate::common::Place;
use crate::common::shards::{Member, tar};
use crate::labelled::{array, classes, idx, npy, numbers};
use serde_json::{Value, json};

const EIGHT: [u8; 8] = [0, 1, 2, 0, 1, 2, 0, 1];

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON document")
}

/// Pre-training, reconstruction and features do with `data` what they do without labels; `info` and the commands that need
/// labels say `words`.
fn only_labels_are_wrong(place: &Place, data: &str, words: &[&str]) {
    place.pretrain(&["--data", data, "--epochs", "1", "--out", "throwaway", "--overwrite"]);
    let report = json(&place.done(&["data", "info", data, "--json"]));
    let split = report["splits"].as_array().unwrap().iter().find(|split| !split["label_problem"].is_null());
    let problem = split.unwrap_or_else(|| panic!("{data}: {report}"))["label_problem"].as_str().unwrap();
    let text = place.done(&["data", "info", data]);
    for word in words {
        assert!(problem.contains(word), "no {word:?} in: {problem}");
        assert!(text.contains(word) && text.contains("labels that cannot be used"), "no {word:?} in: {text}");
    }
    place.done(&["data", "preview", data, "--out", "sheet.png", "--overwrite"]);
    let features = ["features", "--checkpoint", "run", "--data", data, "--out", "f.npy", "--overwrite"];
    place.done(&features);
    place.refused(&["finetune", "--checkpoint", "run", "--data", data, "--out", "tuned"], words);
    place.refused(&["probe", "--checkpoint", "run", "--data", data], words);
}

#[test]
fn labels_that_cannot_be_used_stop_nobody_who_needs_none() {
    let place = Place::trained(&["--epochs", "1"]);
    let arrays: [(&str, Vec<u8>, &[&str]); 5] = [
        (
            "halves",
            npy("<f8", "(8,)", &[1.5f64.to_le_bytes(); 8].concat()),
            &["label of image 0", "found 1.5"],
        ),
        ("some", npy("|i1", "(8,)", &[0, 1, 0, 255, 0, 1, 0, 1]), &["label of image 3", "found -1"]),
        ("few", npy("|u1", "(7,)", &[0; 7]), &["number of labels", "expected 8", "found 7"]),
        ("kind", npy("<c8", "(8,)", &[0; 64]), &["descr", "<c8"]),
        ("none", b"not an array".to_vec(), &["magic number"]),
    ];
    for (name, labels, words) in arrays {
        array(&place, &format!("{name}/x_train.npy"), &EIGHT);
        let file = format!("{name}/y_train.npy");
        place.write(&file, labels);
        only_labels_are_wrong(&place, name, &[&[file.as_str()], words].concat());
    }
    idx(&place, "cut", "train", &EIGHT);
    place.write("cut/train-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 8, 1, 2]);
    only_labels_are_wrong(&place, "cut", &["train-labels-idx1-ubyte", "cut short"]);

    classes(&place, "set/train", &["across", "down"], 10);
    classes(&place, "set/test", &["sideways"], 2);
    only_labels_are_wrong(&place, "set", &["set/test", "class", "(across, down)", "sideways"]);

    let image = place.read("images/00.png");
    let names: Vec<String> = (0..8).map(|i| format!("{i}.png")).collect();
    let images = || names.iter().map(|name| Member(name, &image));
    place.write("a.tar", tar(&[images().collect(), vec![Member("3.json", br#"{"label": {}}"#)]].concat()));
    only_labels_are_wrong(&place, "a.tar", &["member 3.json", "a whole number or a name", "found {}"]);
    place.write("b.tar", tar(&[images().collect(), vec![Member("3.cls", b"1")]].concat()));
    only_labels_are_wrong(&place, "b.tar", &["label of member 0.png", "as other images have"]);
}

#[test]
fn a_training_set_whose_labels_cannot_be_used_leaves_its_test_set_without_classes() {
    let place = Place::new();
    for split in ["train", "test"] {
        array(&place, &format!("set/x_{split}.npy"), &EIGHT);
        numbers(
            &place,
            &format!("set/y_{split}.npy"),
            &[0, 1, 2, 0, 1, 2, 0, if split == "train" { -5 } else { 1 }],
        );
    }
    let report = json(&place.done(&["data", "info", "set", "--json"]));
    for split in [0, 1] {
        let problem = report["splits"][split]["label_problem"].as_str().unwrap();
        assert!(problem.contains("y_train.npy: label of image 7") && problem.contains("-5"), "{problem}");
    }
}

/// A run of fine-tuning on the same images whose three classes have these numbers.
fn tuned(place: &Place, name: &str, classes: [i64; 3]) -> Vec<u8> {
    for (split, n) in [("train", 24), ("test", 6)] {
        let patterns: Vec<u8> = (0..n).map(|i| i % 3).collect();
        let labels: Vec<i64> = patterns.iter().map(|&pattern| classes[usize::from(pattern)]).collect();
        array(place, &format!("{name}/x_{split}.npy"), &patterns);
        numbers(place, &format!("{name}/y_{split}.npy"), &labels);
    }
    let out = format!("{name}-tuned");
    let args = ["finetune", "--checkpoint", "run", "--data", name, "--out", &out, "--val-share", "0.25"];
    place.done(&[&args[..], &["--epochs", "2", "--batch-size", "6"]].concat());
    place.read(&format!("{out}/checkpoint/model.safetensors"))
}

#[test]
fn labels_from_one_or_with_gaps_are_classes_in_order_of_value() {
    let place = Place::trained(&["--epochs", "1"]);
    let from_zero = tuned(&place, "zero", [0, 1, 2]);
    for (name, numbers) in [("one", [1, 2, 3]), ("gaps", [9, 40, 100_000])] {
        assert!(tuned(&place, name, numbers) == from_zero, "{name}: the same classes, the same bits");
        let expected = json!(numbers.map(|number| number.to_string()));
        let settings: toml::Table = place.text(&format!("{name}-tuned/config.toml")).parse().unwrap();
        assert_eq!(json!(settings["finetune"]["classes"]), expected, "the mapping is stored");
        let report = json(&place.done(&["eval", "--checkpoint", &format!("{name}-tuned"), "--json"]));
        let shown: Vec<_> =
            report["per_class"].as_array().unwrap().iter().map(|class| &class["class"]).collect();
        assert_eq!(json!(shown), expected);
        let info = json(&place.done(&["data", "info", name, "--json"]));
        assert_eq!(info["splits"][0]["classes"][2], json!({"name": numbers[2].to_string(), "images": 8}));
        // Numbers stay numbers where they are exported: the last of six test images is of the third class.
        place.done(&[
            "features",
            "--checkpoint",
            "run",
            "--data",
            name,
            "--split",
            "test",
            "--out",
            "f.npy",
            "--overwrite",
        ]);
        assert!(place.read("f.labels.npy").ends_with(&numbers[2].to_le_bytes()));
    }
}

#[test]
fn an_array_is_judged_by_the_numbers_of_its_classes_with_no_training_set_beside_it() {
    let place = Place::trained(&["--epochs", "1"]);
    tuned(&place, "gaps", [9, 40, 70]);
    array(&place, "alone.npy", &[2, 0, 2, 2, 0]);
    numbers(&place, "alone-labels.npy", &[70, 9, 70, 70, 9]);
    let report = json(&place.done(&["eval", "--checkpoint", "gaps-tuned", "--data", "alone.npy", "--json"]));
    let images: Vec<_> =
        report["per_class"].as_array().unwrap().iter().map(|class| &class["images"]).collect();
    assert_eq!(json!(images), json!([2, 0, 3]));
    assert_eq!(report["classes_with_images"], 2);
    let recalls: Vec<_> = [0, 2].map(|class| report["per_class"][class]["recall"].as_f64().unwrap()).into();
    assert_eq!(report["mean_recall"].as_f64().unwrap(), f64::midpoint(recalls[0], recalls[1]));
    let text = place.done(&["eval", "--checkpoint", "gaps-tuned", "--data", "alone.npy"]);
    assert!(text.contains("2 of the 3 classes"), "{text}");
    numbers(&place, "alone-labels.npy", &[70, 9, 70, 71, 9]);
    let words = ["--data", "the 3 classes that were learnt", "class \"71\", which was not", "alone.npy"];
    place.refused(&["eval", "--checkpoint", "gaps-tuned", "--data", "alone.npy"], &words);
}
