//! Claim: `features` and `probe` do what they say: features of whole images in files that other programs read, and a
//! linear classifier on them whose figures are the same for any number of threads, with a judge that chose nothing.

use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use vit_mae::checkpoint::tensors::File;
use vit_mae::data::load_image;
use vit_mae::exec::{Backend, Exec};
use vit_mae::mae::Mask;

/// A trained tiny model in `run`, and labelled images in `set/train` and `set/test`.
fn place() -> Place {
    let place = Place::trained(&["--epochs", "1"]);
    classes(&place, "set/train", &["across", "down"], 20);
    classes(&place, "set/test", &["across", "down"], 6);
    place
}

/// The values of an `.npy` file of f32, read by its header alone.
fn npy(bytes: &[u8]) -> (String, Vec<f32>) {
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8(bytes[10..10 + length].to_vec()).unwrap();
    assert!((10 + length).is_multiple_of(64) && header.ends_with('\n'), "{header:?}");
    let values = bytes[10 + length..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    (header, values.collect())
}

/// One image at a time, from the encoder's output for all patches, without `train::features`.
#[test]
fn features_are_the_encoders_output_for_whole_images() {
    let place = place();
    let (model, config, _) = vit_mae::tasks::mae::load::load(&place.path("run")).unwrap();
    let patches = config.model.num_patches();
    let whole = Mask::from_removed(&vec![false; patches]);
    let mut cx = Exec::new(Backend::default());
    let mut expected = BTreeMap::from([("class", Vec::new()), ("mean", Vec::new())]);
    for i in 0..20 {
        let path = place.path(&format!("set/train/across/{i:02}.png"));
        let image = config.input().image("test", &load_image(&path).unwrap()).unwrap();
        let image = image.insert_axis(ndarray::Axis(0));
        let (latent, _) = model.encoder.forward(image.view(), std::slice::from_ref(&whole), &mut cx);
        expected.get_mut("class").unwrap().extend(latent.row(0).to_vec());
        let sum = latent.outer_iter().skip(1).fold(ndarray::Array1::<f32>::zeros(16), |sum, row| sum + row);
        expected.get_mut("mean").unwrap().extend((sum / patches as f32).to_vec());
    }
    for (pool, expected) in expected {
        let file = format!("{pool}.npy");
        let args = ["features", "--checkpoint", "run", "--data", "set", "--pool", pool, "--out", &file];
        place.done(&args);
        let (header, values) = npy(&place.read(&file));
        assert!(header.contains("'<f4'") && header.contains("(40, 16)"), "{header}");
        for (a, b) in values.iter().zip(expected) {
            assert!((a - b).abs() < 1e-5, "{pool}: {a} {b}");
        }
        let labels = place.read(&format!("{pool}.labels.npy"));
        let labels: Vec<i64> =
            labels[128..].chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(labels, [vec![0; 20], vec![1; 20]].concat());
    }
}

#[test]
fn features_have_the_same_bits_in_both_formats_and_on_any_number_of_threads() {
    let place = place();
    let features = |threads: &str, out: &str| {
        let args = ["features", "--checkpoint", "run", "--data", "set", "--split", "train"];
        place.done(&[&args[..], &["--threads", threads, "--out", out]].concat());
    };
    features("1", "one.npy");
    features("3", "three.npy");
    assert!(place.read("one.npy") == place.read("three.npy"));
    features("2", "two.safetensors");
    let file = File::open(place.path("two.safetensors")).unwrap();
    assert_eq!(file.read::<f32>("features").unwrap(), npy(&place.read("one.npy")).1);
    assert_eq!(file.shape("features").unwrap(), [40, 16]);
    assert_eq!(file.read_i64("labels").unwrap()[19..21], [0, 1]);
    let about = file.metadata();
    assert_eq!((about["pool"].as_str(), about["classes"].as_str()), ("class", r#"["across","down"]"#));
}

#[test]
fn images_without_labels_have_features_and_no_file_of_labels() {
    let place = place();
    place.done(&["features", "--checkpoint", "run", "--out", "plain.npy"]);
    assert!(npy(&place.read("plain.npy")).0.contains("(16, 16)"));
    assert!(!place.path("plain.labels.npy").exists());
    // Labels of other images do not stay beside them.
    let labelled = ["features", "--checkpoint", "run", "--data", "set", "--out", "plain.npy", "--overwrite"];
    place.done(&labelled);
    assert!(place.path("plain.labels.npy").exists());
    place.done(&["features", "--checkpoint", "run", "--out", "plain.npy", "--overwrite"]);
    assert!(!place.path("plain.labels.npy").exists());
}

fn probe(place: &Place, args: &[&str]) -> Value {
    let always = ["probe", "--checkpoint", "run", "--data", "set", "--json"];
    serde_json::from_str(&place.done(&[&always[..], args].concat())).unwrap()
}

#[test]
fn a_probe_tells_stripes_apart_and_says_what_judged_it() {
    let place = place();
    let report = probe(&place, &["--knn", "--k", "5", "--out", "probed"]);
    assert!(report["test"]["top1"].as_f64().unwrap() > 0.9, "{report}");
    assert!(report["knn"]["top1"].as_f64().unwrap() > 0.9, "{report}");
    assert_eq!(report["train_images"], 36);
    assert_eq!(report["validation"]["images"], 4);
    assert_eq!(report["test"]["images"], 12);
    assert_eq!(report["test"]["per_class"][1]["class"], "down");
    assert!(report["judged_on"].as_str().unwrap().starts_with("the test images, looked at once"), "{report}");
    assert_eq!(serde_json::from_slice::<Value>(&place.read("probed/probe.json")).unwrap(), report);
    assert!(image::load_from_memory(&place.read("probed/confusion.png")).is_ok());

    let random = probe(&place, &["--random-encoder"]);
    assert_eq!(random["encoder"], "random");
    assert_ne!(random["test"]["cross_entropy"], report["test"]["cross_entropy"]);
}

#[test]
fn without_a_test_split_the_validation_images_judge_and_the_output_says_so() {
    let place = place();
    fs::rename(place.path("set/train"), place.path("flat")).unwrap();
    let args = ["probe", "--checkpoint", "run", "--data", "flat", "--val-fraction", "0.25"];
    let text = place.done(&args);
    assert!(
        text.contains("Judged on the validation images: this data has no test split; nothing was chosen"),
        "{text}"
    );
    let text = place.done(&[&args[..], &["--sweep"]].concat());
    assert!(text.contains("The learning rate was chosen on them"), "{text}");
}

#[test]
fn a_probe_has_the_same_bits_on_any_number_of_threads_and_other_ones_with_another_seed() {
    let place = place();
    let run = |more: &[&str]| {
        let args = ["--labels", "0.5", "--val-fraction", "0.2", "--sweep", "--epochs", "9", "--knn"];
        probe(&place, &[&args[..], &["--k", "3"], more].concat())
    };
    let one = run(&["--threads", "1"]);
    assert_eq!(one["train_images"], 16);
    assert_eq!(one["sweep"].as_array().unwrap().len(), 7);
    assert_eq!(run(&["--threads", "3"]), one);
    assert_ne!(run(&["--seed", "1"]), one);
}

/// The learning rate is chosen by the validation images alone: other test images do not change the choice.
#[test]
fn test_images_choose_nothing() {
    let place = place();
    let chosen = |place: &Place| {
        let mut report = probe(place, &["--sweep", "--epochs", "9", "--optimizer", "lars"]);
        report["test"].take();
        report
    };
    let before = chosen(&place);
    let (one, other) = (place.path("set/test/across"), place.path("set/test/down"));
    fs::rename(&one, place.path("aside")).unwrap();
    fs::rename(&other, &one).unwrap();
    fs::rename(place.path("aside"), &other).unwrap();
    assert_eq!(chosen(&place), before);
}
