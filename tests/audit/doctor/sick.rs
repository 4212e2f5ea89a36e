//! Sick runs: each made on purpose, each named for what it is.

use super::*;
use crate::forge::{MODEL, fill_tensor, reseal};

#[test]
fn a_learning_rate_far_too_high_is_named() {
    let place = place();
    // It may end with a loss that is not finite; either way a run directory is left.
    place.run(&[
        "pretrain",
        "--data",
        "images",
        "--config",
        "small.toml",
        "--out",
        "run",
        "--set",
        "optim.lr=20",
    ]);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "learning rate", "problem", &["20", "one step can replace the weight"]);
    assert_advice(&report, "lower the learning rate");
}

#[test]
fn a_learning_rate_of_zero_is_named() {
    let place = trained(&["--set", "optim.lr=0.0", "--epochs", "3"]);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "learning rate", "problem", &["0 in every step"]);
    assert_found(&report, "dead weights", "problem", &["no tensor has changed"]);
    assert_found(&report, "trivial predictors", "problem", &["gives"]);
    assert_advice(&report, "set a learning rate above 0");
}

#[test]
fn a_learning_rate_far_too_low_is_named() {
    let place = trained(&["--set", "optim.lr=1e-9"]);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "learning rate", "problem", &["leave the weights where they are"]);
    assert_advice(&report, "raise the learning rate");
}

#[test]
fn a_tensor_that_is_not_finite_is_named() {
    let place = trained(&["--epochs", "4"]);
    fill_tensor(&place, MODEL, "blocks.0.mlp.fc1.weight", f32::NAN);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "finite weights", "problem", &["blocks.0.mlp.fc1.weight (4096 of 4096)"]);
    assert_found(&report, "gradients", "not_done", &["blocks.0.mlp.fc1.weight"]);
}

#[test]
fn a_tensor_of_zeros_is_named_and_so_is_what_it_silences() {
    let place = trained(&["--epochs", "4"]);
    fill_tensor(&place, MODEL, "decoder_pred.weight", 0.0);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "dead weights", "problem", &["decoder_pred.weight (all 0)"]);
    assert_found(&report, "gradients", "problem", &["and 0 for 34 tensors", "patch_embed.proj.weight"]);
    assert_found(&report, "logged loss", "problem", &["recomputed"]);
}

#[test]
fn heads_that_look_at_everything_alike_and_units_that_never_fire_are_counted() {
    let place = trained(&["--epochs", "4"]);
    for block in ["blocks.0", "decoder_blocks.0"] {
        fill_tensor(&place, MODEL, &format!("{block}.attn.qkv.weight"), 0.0);
        fill_tensor(&place, MODEL, &format!("{block}.mlp.fc1.bias"), -20.0);
    }
    let (_, report) = diagnose(&place, &[]);
    assert_found(&report, "attention", "problem", &["of 4 heads, 4 attend to all tokens alike"]);
    assert_found(&report, "MLP units", "problem", &["256 of 256 hidden units never fire"]);
}

#[test]
fn weights_that_exploded_are_named() {
    let place = trained(&["--epochs", "4"]);
    fill_tensor(&place, MODEL, "blocks.0.attn.proj.weight", 50.0);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "norms", "problem", &["blocks.0.attn.proj.weight"]);
}

#[test]
fn an_over_fitted_run_is_named() {
    let place = place();
    fs::remove_dir_all(place.path("images/train")).unwrap();
    pictures(&place, "images/train", 0..4);
    train(&place, &["--epochs", "400", "--batch-size", "4", "--set", "optim.weight_decay=0.0"]);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "over-fitting", "problem", &["over-fitted"]);
    assert_advice(&report, "more images");
}

#[test]
fn a_config_that_is_not_the_checkpoints_is_named() {
    let place = trained(&["--epochs", "4"]);
    let config = place.text("run/config.toml").replace("mask_ratio = 0.75", "mask_ratio = 0.5");
    place.write("run/config.toml", config);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "settings", "problem", &["mask.mask_ratio is 0.5, and the checkpoint has 0.75"]);
    assert_found(&report, "masks", "ok", &["12 of 16"]);
}

#[test]
fn a_checkpoint_that_lies_about_its_masks_does_not_give_the_logged_loss() {
    let place = trained(&["--epochs", "4"]);
    let lie = |text: &str| text.replace("mask_ratio = 0.75", "mask_ratio = 0.5");
    place.write("run/config.toml", lie(&place.text("run/config.toml")));
    reseal(&place, |state| {
        state.config_toml = lie(&state.config_toml);
        state.config_digest = crc32fast::hash(state.config_toml.as_bytes());
    });
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "settings", "ok", &[]);
    assert_found(&report, "masks", "ok", &["8 of 16"]);
    assert_found(&report, "logged loss", "problem", &["recomputed"]);
}

#[test]
fn other_images_are_told_from_those_of_the_run() {
    let place = trained(&["--epochs", "4"]);
    pictures(&place, "images/train", 128..140);
    let (_, report) = diagnose(&place, &[]);
    assert_found(&report, "data", "warning", &["digest"]);
    assert_found(&report, "logged loss", "not_done", &["not that of the run"]);
}
