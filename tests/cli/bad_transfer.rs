//! Claim: whatever is wrong with labelled data, a checkpoint or a flag of `probe` and `features`, the program says in one
//! sentence where and what, exits with 2, and leaves the disk as it was.

use crate::common::Place;
use crate::labelled::{classes, idx};
use std::fs;

const PROBE: [&str; 5] = ["probe", "--checkpoint", "run", "--data", "set"];

fn place() -> Place {
    let place = Place::trained(&["--epochs", "1"]);
    classes(&place, "set/train", &["across", "down"], 10);
    classes(&place, "set/test", &["across", "down"], 4);
    place
}

fn refused(place: &Place, args: &[&str], words: &[&str]) {
    place.refused(&[&PROBE[..], args].concat(), words);
}

#[test]
fn a_checkpoint_that_is_none_is_named() {
    let place = place();
    place.refused(&["probe", "--checkpoint", "nowhere"], &["nowhere", "checkpoint", "no such folder"]);
    place.refused(&["probe", "--checkpoint", "set"], &["set", "a folder without one"]);
    let out = ["--out", "f.npy"];
    place.refused(&[&["features", "--checkpoint", "set"], &out[..]].concat(), &["a folder without one"]);
}

#[test]
fn a_checkpoint_that_was_damaged_is_named() {
    let place = place();
    let mut weights = place.read("run/checkpoint/model.safetensors");
    let last = weights.len() - 1;
    weights[last] ^= 1;
    place.write("run/checkpoint/model.safetensors", weights);
    refused(&place, &[], &["model.safetensors", "checksum"]);
}

#[test]
fn data_without_labels_is_refused_for_a_probe() {
    let place = place();
    place.refused(&["probe", "--checkpoint", "run"], &["--data", "two classes", "images"]);
    place.refused(&["probe", "--checkpoint", "run", "--data", "images"], &["--data", "two classes"]);
    classes(&place, "one", &["alone"], 6);
    place.refused(&["probe", "--checkpoint", "run", "--data", "one"], &["two classes", "found 1 class"]);
}

#[test]
fn an_empty_class_folder_is_no_class_and_named() {
    let place = place();
    fs::create_dir(place.path("set/train/empty")).unwrap();
    let output = place.run(&PROBE);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("note: set/train/empty: no class"), "{said}");
}

#[test]
fn a_test_split_with_other_classes_is_refused() {
    let place = place();
    classes(&place, "set/test", &["sideways"], 2);
    refused(&place, &[], &["set/test", "class", "across, down", "sideways"]);
}

#[test]
fn a_label_out_of_range_is_named_with_its_image() {
    let place = place();
    idx(&place, "idx", "train", &[0, 1, 0, 1, 0, 1]);
    idx(&place, "idx", "t10k", &[0, 1, 7]);
    let args = ["probe", "--checkpoint", "run", "--data", "idx", "--val-fraction", "0.4"];
    place.refused(&args, &["t10k-labels-idx1-ubyte", "label of image 2", "2 classes (0, 1)", "found 7"]);
}

#[test]
fn a_share_that_leaves_a_class_without_images_is_refused() {
    let place = place();
    for share in ["0", "1.5", "-1", "nan"] {
        refused(&place, &["--labels", share], &["--labels", "more than 0 and at most 1"]);
    }
    for share in ["1", "-0.1", "7"] {
        refused(&place, &["--val-fraction", share], &["--val-fraction", "less than 1"]);
    }
    refused(&place, &["--labels", "0.01"], &["--labels", "\"across\"", "10 images"]);
    refused(&place, &["--val-fraction", "0.01"], &["--val-fraction", "one to validate by", "\"across\""]);
}

#[test]
fn something_must_be_there_to_judge_and_to_choose_by() {
    let place = place();
    refused(&place, &["--sweep", "--val-fraction", "0"], &["--sweep", "--val-fraction above 0"]);
    fs::remove_dir_all(place.path("set/test")).unwrap();
    refused(&place, &["--val-fraction", "0"], &["--val-fraction", "images to judge by", "no test split"]);
}

#[test]
fn settings_of_the_probe_that_cannot_work_name_their_flag() {
    let place = place();
    refused(&place, &["--batch-size", "19"], &["--batch-size", "2 to 18", "found 19"]);
    refused(&place, &["--batch-size", "1"], &["--batch-size", "batch norm needs two"]);
    refused(&place, &["--epochs", "0"], &["--epochs", "1 to"]);
    refused(&place, &["--warmup-epochs", "90"], &["--warmup-epochs", "less than the 90 epochs"]);
    refused(&place, &["--blr", "1e300", "--out", "probed"], &["--blr", "stay finite"]);
    refused(&place, &["--blr", "1e300", "--sweep"], &["--blr", "stay finite"]);
    refused(&place, &["--blr", "0"], &["--blr", "more than 0"]);
    refused(&place, &["--knn", "--k", "19"], &["--k", "1 to 18", "found 19"]);
    refused(&place, &["--knn", "--k", "0"], &["--k", "1 to 18"]);
    refused(&place, &["--knn", "--k", "3", "--temperature", "0"], &["--temperature", "more than 0"]);
    refused(&place, &["--k", "3"], &["--knn"]);
    refused(&place, &["--optimizer", "adam"], &["lars", "sgd"]);
    refused(&place, &["--pool", "max"], &["class", "mean"]);
    refused(&place, &["--threads", "0"], &["--threads"]);
}

#[test]
fn images_that_cannot_be_the_models_are_named() {
    let place = place();
    place.write("set/train/down/05.png", "no image");
    refused(&place, &[], &["set/train/down/05.png", "PNG or JPEG"]);
    let features = ["features", "--checkpoint", "run", "--data", "set", "--out", "f.npy"];
    place.refused(&features, &["set/train/down/05.png", "PNG or JPEG"]);
    place.image("set/train/down/05.png", 1, (1, 20_000), 1);
    refused(&place, &[], &["set/train/down/05.png", "16384"]);
}

#[test]
fn a_file_is_not_overwritten_by_accident() {
    let place = place();
    let features = |out: &'static str| ["features", "--checkpoint", "run", "--data", "set", "--out", out];
    place.write("f.labels.npy", "mine");
    place.refused(&features("f.npy"), &["--out", "--overwrite", "f.labels.npy"]);
    place.refused(&features("f.txt"), &["--out", ".npy or .safetensors", "f.txt"]);
    place.refused(&features("nowhere/f.npy"), &["--out", "a folder that exists"]);
    place.done(&[&features("f.npy")[..], &["--overwrite"]].concat());
    assert_ne!(place.read("f.labels.npy"), b"mine");
    place.refused(&features("f.npy"), &["--out", "--overwrite"]);
    // What is read is not overwritten at all, and images that are named are not forgotten.
    place.write("set/f.npy", "mine");
    let over = [&features("set/f.npy")[..], &["--overwrite"]].concat();
    place.refused(&over, &["--out", "not overwritten", "set/f.npy"]);
    fs::remove_file(place.path("set/f.npy")).unwrap();
    place.refused(&[&features("g.npy")[..], &["images/00.png"]].concat(), &["IMAGE", "--out"]);

    place.write("probed/probe.json", "mine");
    refused(&place, &["--out", "probed"], &["--out", "--overwrite", "probe.json"]);
    refused(&place, &["--out", "tiny.toml"], &["--out", "a folder", "tiny.toml"]);
    place.done(&[&PROBE[..], &["--out", "probed", "--overwrite"]].concat());
}

#[test]
fn a_split_that_is_not_there_is_named() {
    let place = place();
    let args = ["features", "--checkpoint", "run", "--split", "test", "--out", "f.npy"];
    place.refused(&args, &["images", "split", "a sub-folder called test", "none"]);
}

#[test]
fn the_run_that_is_fine_tuned_is_not_replaced_and_one_from_scratch_needs_a_preset() {
    let place = place();
    let before = place.listing();
    for checkpoint in ["run", "run/checkpoint"] {
        let over = ["finetune", "--checkpoint", checkpoint, "--data", "set", "--out", "run", "--overwrite"];
        place.refused(&over, &["--out", "the weights that it starts from"]);
    }
    assert!(place.listing() == before, "nothing was changed");
    place.refused(&["finetune", "--from-scratch", "--data", "set", "--out", "new"], &["--preset"]);
    place.refused(&["finetune", "--data", "set", "--out", "new"], &["--checkpoint"]);
}
