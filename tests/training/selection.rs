//! Claim: nothing is ever chosen by test images. Pre-training takes its validation images from the training split (or
//! from the data's own validation split), and other test images change the test loss and not a bit besides.

use crate::common::Place;
use crate::common::run::log;
use serde_json::Value;

const TRAIN: [&str; 7] =
    ["--epochs", "3", "--set", "data.val_fraction=0.25", "--set", "run.checkpoint_every_epochs=1", "--json"];

fn pretrain(place: &Place, out: &str, more: &[&str]) -> Value {
    let printed = place.pretrain(&[&["--data", "set", "--out", out][..], &TRAIN, more].concat());
    serde_json::from_str(printed.lines().last().unwrap()).unwrap()
}

fn weights(place: &Place, out: &str) -> Vec<u8> {
    place.read(&format!("{out}/checkpoint/model.safetensors"))
}

#[test]
fn other_test_images_change_the_test_loss_and_nothing_else() {
    let place = Place::new();
    place.images("set/train", 40, (8, 8), 1);
    place.images("set/test", 6, (8, 8), 1);
    let before = pretrain(&place, "before", &[]);
    for i in 0..6 {
        place.image(&format!("set/test/{i:02}.png"), 90 + i, (8, 8), 1);
    }
    let after = pretrain(&place, "after", &[]);
    assert_ne!(before["test_loss"], after["test_loss"]);
    assert!(before["test_loss"].as_f64().is_some_and(|loss| loss > 0.0), "{before}");
    assert_eq!(before["last"]["held_out_loss"], after["last"]["held_out_loss"]);
    assert_eq!(before["baselines"], after["baselines"]);
    assert_eq!(weights(&place, "before"), weights(&place, "after"));
    assert_eq!(log(&place, "before"), log(&place, "after"));
}

#[test]
fn validation_images_are_taken_from_the_training_split_and_not_trained_on() {
    let place = Place::new();
    place.images("set/train", 40, (8, 8), 1);
    let outcome = pretrain(&place, "run", &[]);
    // ⌊0.25 · 40⌋ = 10 validate; 30 train, in three batches of 8.
    assert_eq!(outcome["last"]["step"], 3 * 3, "{outcome}");
    assert!(outcome["last"]["held_out_loss"].is_number(), "{outcome}");
    assert!(outcome["test_loss"].is_null(), "{outcome}");
    let all = pretrain(&place, "all", &["--set", "data.val_fraction=0"]);
    assert_eq!(all["last"]["step"], 3 * 5);
    assert!(all["last"]["held_out_loss"].is_null(), "{all}");
}

#[test]
fn a_validation_split_of_the_datas_own_is_used_whole() {
    let place = Place::new();
    place.images("set/train", 40, (8, 8), 1);
    place.images("set/val", 5, (8, 8), 1);
    let before = pretrain(&place, "before", &[]);
    assert_eq!(before["last"]["step"], 3 * 5, "every training image is trained on");
    place.image("set/val/00.png", 77, (8, 8), 1);
    let after = pretrain(&place, "after", &[]);
    assert_ne!(before["last"]["held_out_loss"], after["last"]["held_out_loss"]);
    assert_eq!(weights(&place, "before"), weights(&place, "after"));
}

#[test]
fn a_handful_of_images_is_trained_on_whole_which_is_said() {
    let place = Place::new();
    place.images("set/train", 28, (8, 8), 1);
    let printed = place.pretrain(&["--data", "set", "--out", "run", "--set", "data.val_fraction=0.25"]);
    assert!(printed.contains("no validation loss: 0.25 (data.val_fraction) of 28 images"), "{printed}");
    assert!(printed.contains("less than 8"), "{printed}");
}

#[test]
fn the_fraction_of_an_older_fine_tuning_file_is_still_read() {
    let place = Place::new();
    place.write("old.toml", "[finetune]\nval_share = 0.25\n");
    let args = ["finetune", "--from-scratch", "--preset", "nano", "--config", "old.toml", "--print-config"];
    let printed = place.done(&args);
    assert!(printed.contains("val_fraction = 0.25"), "{printed}");
    assert!(!printed.contains("val_share"), "{printed}");
}

#[test]
fn what_is_held_out_cannot_change_on_the_way() {
    let place = Place::new();
    place.images("set/train", 40, (8, 8), 1);
    pretrain(&place, "run", &[]);
    place.refused(
        &["pretrain", "--resume", "run", "--set", "data.val_fraction=0.5"],
        &["data.val_fraction", "0.25", "0.5"],
    );
}
