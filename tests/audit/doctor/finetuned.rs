//! Fine-tuning runs: healthy ones, and ones that are sick on purpose.

use super::*;
use crate::forge::{MODEL, OPTIMIZER, fill_tensor};
use crate::labelled::classes;

const FINETUNE: &[&str] = &[
    "finetune",
    "--checkpoint",
    "mae",
    "--out",
    "run",
    "--batch-size",
    "12",
    "--set",
    "optim.micro_batch=4",
    "--val-fraction",
    "0.25",
];

/// Three classes of stripes and a pre-training run on them.
fn pretrained() -> Place {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down", "slanted"], 24);
    classes(&place, "set/test", &["across", "down", "slanted"], 2);
    place.pretrain(&["--data", "set", "--epochs", "2", "--out", "mae"]);
    place
}

fn finetuned(flags: &[&str]) -> Place {
    let place = pretrained();
    place.done(&[FINETUNE, &["--epochs", "40"], flags].concat());
    place
}

#[test]
fn a_healthy_fine_tuning_run_is_called_healthy_with_every_check_done() {
    let place = finetuned(&["--blr", "0.1"]);
    let diagnosis = diagnose(&place, &[]);
    assert_healthy(&diagnosis);
    let report = diagnosis.1;
    assert_eq!(with_verdict(&report, "not_done"), [""; 0]);
    assert_found(&report, "trivial predictors", "ok", &["accuracy", "the most frequent class gives 0.3333"]);
    assert_found(&report, "trivial predictors", "ok", &["loss", "every class alike gives 1.099"]);
    assert_found(&report, "logged loss", "ok", &["accuracy logged", "recomputed"]);
    for check in ["masks", "MLP units", "attention"] {
        assert_eq!(findings(&report, check), [""; 0], "{check} is a question to masked autoencoders");
    }
    let groups = report["groups"].as_array().unwrap();
    assert!(groups.iter().any(|g| g["group"] == "head weights" && g["weight_decay"] == 0.05));
    let text = place.done(&["audit", "doctor", "run"]);
    assert!(text.contains("accuracy of the checkpoint on 18 validation images"), "{text}");
}

#[test]
fn partial_tuning_a_moving_average_and_a_start_that_is_gone_are_understood() {
    let place = finetuned(&["--blr", "1", "--tune-blocks", "0", "--ema", "0.9"]);
    let (_, report) = diagnose(&place, &[]);
    for check in ["files", "finite weights", "dead weights", "logged loss", "gradients"] {
        assert_found(&report, check, "ok", &[]);
    }
    assert_eq!(findings(&report, "norms"), [""; 0], "a head alone starts from nothing");
    fs::remove_dir_all(place.path("mae")).unwrap();
    let (_, report) = diagnose(&place, &[]);
    assert_found(&report, "dead weights", "not_done", &["mae"]);
    assert_found(&report, "logged loss", "ok", &[]);
    fill_tensor(&place, OPTIMIZER, "w.head.bias", f32::NAN);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "finite weights", "problem", &["in training, head.bias (3 of 3)"]);
}

#[test]
fn a_learning_rate_far_too_high_for_fine_tuning_is_named() {
    let place = pretrained();
    // It may end with a loss that is not finite; either way a run directory is left.
    place.run(&[FINETUNE, &["--epochs", "10", "--set", "optim.lr=20"]].concat());
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "learning rate", "problem", &["20", "one step can replace the weight"]);
    assert_advice(&report, "lower the learning rate");
}

#[test]
fn a_classifier_that_learnt_nothing_is_named() {
    let place = finetuned(&["--set", "optim.lr=0.0", "--set", "optim.min_lr=0.0"]);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "trivial predictors", "problem", &["accuracy", "nothing is learnt"]);
    assert_found(&report, "dead weights", "problem", &["no tensor has changed"]);
}

#[test]
fn an_accuracy_that_was_changed_in_the_log_is_named() {
    let place = finetuned(&["--blr", "0.1"]);
    let log = place.text("run/metrics.jsonl");
    let (before, after) = log.rsplit_once("\"held_out_accuracy\":").unwrap();
    let rest = &after[after.find(',').unwrap()..];
    place.write("run/metrics.jsonl", format!("{before}\"held_out_accuracy\":0.25{rest}"));
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["epoch 40", "accuracy 0.25", "the checkpoint remembers"]);
    assert_found(&report, "logged loss", "problem", &["accuracy logged 0.25", "recomputed"]);
}

#[test]
fn damaged_weights_of_a_classifier_are_named() {
    let place = finetuned(&["--blr", "0.1"]);
    fill_tensor(&place, MODEL, "head.weight", 0.0);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "dead weights", "problem", &["head.weight (all 0)"]);
    assert_found(&report, "gradients", "problem", &["patch_embed.proj.weight"]);
    assert_found(&report, "logged loss", "problem", &["accuracy logged"]);
    fill_tensor(&place, MODEL, "blocks.0.mlp.fc1.weight", f32::NAN);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "finite weights", "problem", &["blocks.0.mlp.fc1.weight"]);
}
