//! Claim: fine-tuning learns classes, resumes to the same bits from any step and on any number of threads, trains what it is
//! told to train and nothing else, and never lets the test split choose anything.

use crate::common::Place;
use crate::common::run::{StopAfter, log};
use crate::labelled::{classes, idx};
use serde_json::Value;
use std::collections::BTreeMap;
use vit_mae::Error;
use vit_mae::checkpoint::tensors;
use vit_mae::params::Params;
use vit_mae::tasks::transfer::{Start, load};
use vit_mae::tasks::{Classify, FinetuneConfig};
use vit_mae::train::{Run, RunDir, Task};

/// Three classes of stripes and a pre-training run of one epoch on them.
pub(crate) fn place() -> Place {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down", "slanted"], 12);
    classes(&place, "set/test", &["across", "down", "slanted"], 5);
    place.pretrain(&["--data", "set", "--epochs", "1", "--out", "mae"]);
    place
}

const QUICK: [&str; 8] = [
    "--batch-size",
    "6",
    "--set",
    "optim.epochs=3",
    "--set",
    "optim.micro_batch=2",
    "--val-fraction",
    "0.25",
];

fn finetune(place: &Place, args: &[&str]) -> String {
    place.done(&[&["finetune", "--checkpoint", "mae"], &QUICK[..], args].concat())
}

/// What a run consists of, but for measured times.
fn bits(place: &Place, out: &str) -> (Vec<u8>, Vec<u8>, Vec<Value>, Vec<u8>) {
    let file = |name: &str| place.read(&format!("{out}/{name}"));
    let (model, moments) = (file("checkpoint/model.safetensors"), file("checkpoint/optimizer.safetensors"));
    (model, moments, log(place, out), file("accuracy.svg"))
}

fn result(place: &Place, out: &str) -> Value {
    serde_json::from_str(&place.text(&format!("{out}/result.json"))).unwrap()
}

/// The settings that `vit-mae finetune` resolves for [`QUICK`] and a moving average.
pub(crate) fn config(place: &Place, start: &Start) -> FinetuneConfig {
    let text = |text: &str| -> toml::Value { text.parse().unwrap() };
    let flags = [
        ("optim.batch_size", text("6")),
        ("optim.epochs", text("3")),
        ("optim.micro_batch", text("2")),
        ("data.val_fraction", text("0.25")),
        ("finetune.ema_decay", text("0.9")),
        ("finetune.drop_path", text("0.5")),
        ("data.path", place.path("set").to_str().unwrap().into()),
    ];
    let flags = flags.map(|(key, value)| (key.to_owned(), value)).to_vec();
    FinetuneConfig::resolve("small", start.given().unwrap(), None, flags).unwrap()
}

#[test]
fn a_run_interrupted_after_any_step_ends_with_the_same_bits() {
    let place = place();
    let start = Start::pretrained(&place.path("mae")).unwrap();
    let config = config(&place, &start);
    let begin = |out: &str| {
        let run = RunDir::create(Some(place.path(out)), false).unwrap();
        Run::<Classify>::new(config.clone(), &start, || Ok(run)).unwrap()
    };
    begin("whole").train("", &mut StopAfter(u64::MAX)).unwrap();
    let whole = bits(&place, "whole");
    assert_eq!(whole.2.len(), 12 + 3 + 3, "3 epochs of 4 steps of 6 of the 27 images, each with two lines");
    for step in [1, 4, 6, 11] {
        let out = format!("after-{step}");
        let error = begin(&out).train("", &mut StopAfter(step)).unwrap_err();
        assert!(matches!(error, Error::Interrupted { step: found, .. } if found == step), "{error}");
        let mut again =
            Run::<Classify>::resume(RunDir::open(place.path(&out)).unwrap(), |before| Ok(before.clone()))
                .unwrap();
        again.train("", &mut StopAfter(u64::MAX)).unwrap();
        drop(again);
        assert!(bits(&place, &out) == whole, "interrupted after step {step}");
    }
}

#[test]
fn weights_that_overflow_in_validation_are_the_runs_fault_and_no_bad_input() {
    let place = place();
    let wild = ["finetune", "--checkpoint", "mae", "--out", "run", "--val-fraction", "0.25", "--epochs", "1"];
    // One step of all 27 images: its loss is finite, and what the weights become is seen in validation alone.
    let step = ["--batch-size", "27", "--warmup-epochs", "0", "--set", "optim.lr=1e30"];
    let output = place.run(&[&wild[..], &step].concat());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("step 1: the model's output is not finite") && message.contains("--clip-grad"),
        "{message}"
    );
}

#[test]
fn threads_change_no_bit() {
    let place = place();
    finetune(&place, &["--out", "one", "--threads", "1"]);
    finetune(&place, &["--out", "three", "--threads", "3"]);
    assert!(bits(&place, "one") == bits(&place, "three"));
}

#[test]
fn classes_are_learnt_and_the_run_directory_tells() {
    let place = place();
    let json = finetune(&place, &["--epochs", "80", "--blr", "0.2", "--out", "run", "--json"]);
    let outcome: Value = serde_json::from_str(&json).unwrap();
    let accuracy = outcome["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "three patterns of stripes, right: {accuracy}");
    assert_eq!(outcome["test"]["images"], 15);
    for picture in ["confusion.png", "wrong.png"] {
        let path = place.path(&format!("run/{picture}"));
        assert!(!path.exists() || image::open(path).is_ok(), "{picture}");
    }
    let report = place.text("run/report.html");
    assert!(report.contains("judged once") && report.contains("Confusion matrix"));
    assert!(!place.path("run/reconstructions").exists(), "a classifier reconstructs nothing");
}

/// Three classes, 3 validation images each: every share is a count over 9 or 3.
#[test]
fn the_log_has_top1_top5_and_each_classs_recall_of_every_epoch() {
    let place = place();
    finetune(&place, &["--out", "run"]);
    let records = log(&place, "run");
    let of_kind = |kind: &str| records.iter().filter(|r| r["kind"] == kind).cloned().collect::<Vec<_>>();
    let (epochs, validations) = (of_kind("epoch"), of_kind("validation"));
    assert_eq!((epochs.len(), validations.len()), (3, 3));
    for (epoch, validation) in epochs.iter().zip(&validations) {
        assert_eq!((&epoch["epoch"], &epoch["step"]), (&validation["epoch"], &validation["step"]));
        assert_eq!((&validation["images"], &validation["top5"]), (&9.into(), &1.0.into()));
        assert_eq!(epoch["held_out_accuracy"], validation["top1"]);
        let recall: Vec<f64> =
            validation["recall"].as_array().unwrap().iter().map(|r| r.as_f64().unwrap()).collect();
        assert!(recall.len() == 3 && recall.iter().all(|r| (3.0 * r).fract() == 0.0), "{recall:?}");
        let mean = recall.iter().sum::<f64>() / 3.0;
        assert!((mean - validation["top1"].as_f64().unwrap()).abs() < 1e-12, "{validation}");
    }
}

/// Test labels that are wrong throughout change what is judged, and nothing that is learnt or chosen.
#[test]
fn the_test_split_chooses_nothing() {
    let place = Place::new();
    let train: Vec<u8> = (0..40).map(|i| i % 2).collect();
    for (folder, test) in [("right", [0, 1, 0, 1, 0, 1]), ("wrong", [1, 0, 1, 0, 1, 0])] {
        idx(&place, folder, "train", &train);
        idx(&place, folder, "t10k", &[0, 1, 0, 1, 0, 1]);
        let labels = [&[0, 0, 8, 1, 0, 0, 0, 6][..], &test].concat();
        place.write(&format!("{folder}/t10k-labels-idx1-ubyte"), labels);
    }
    place.pretrain(&["--data", "right", "--epochs", "1", "--out", "mae"]);
    for folder in ["right", "wrong"] {
        finetune(
            &place,
            &["--data", folder, "--epochs", "8", "--blr", "0.1", "--out", &format!("on-{folder}")],
        );
    }
    let (right, wrong) = (bits(&place, "on-right"), bits(&place, "on-wrong"));
    assert!(right.0 == wrong.0 && right.1 == wrong.1 && right.2 == wrong.2, "weights, moments and log");
    let (right, wrong) = (result(&place, "on-right"), result(&place, "on-wrong"));
    assert_eq!(right["epoch"], wrong["epoch"]);
    let sum = right["test_accuracy"].as_f64().unwrap() + wrong["test_accuracy"].as_f64().unwrap();
    assert!((sum - 1.0).abs() < 1e-12, "what is right with one set of labels is wrong with the other: {sum}");
}

/// Every tensor of a checkpoint's weights.
fn weights(place: &Place, out: &str) -> BTreeMap<String, Vec<f32>> {
    let (model, ..) = load::<Classify>(&place.path(out)).unwrap();
    model.tensors().into_iter().map(|t| (t.name, t.data.to_vec())).collect()
}

#[test]
fn partial_tuning_trains_the_last_blocks_and_the_head() {
    let place = place();
    place.pretrain(&["--data", "set", "--epochs", "1", "--set", "model.depth=2", "--out", "deep"]);
    let run = |tune: &str, out: &str| {
        let args = [&["finetune", "--checkpoint", "deep", "--tune-blocks", tune, "--out", out], &QUICK[..]];
        place.done(&args.concat());
        weights(&place, out)
    };
    let start = Start::pretrained(&place.path("deep")).unwrap();
    let given = FinetuneConfig::resolve("small", start.given().unwrap(), None, Vec::new()).unwrap();
    let mut given = given;
    given.model.num_classes = 3;
    let before = Classify::model(&given, &start).unwrap();
    let before: BTreeMap<_, _> = before.tensors().into_iter().map(|t| (t.name, t.data.to_vec())).collect();
    let changed = |after: BTreeMap<String, Vec<f32>>| -> Vec<String> {
        after.into_iter().filter(|(name, data)| before[name] != *data).map(|(name, _)| name).collect()
    };
    let one = changed(run("1", "one"));
    assert!(
        one.iter().all(|n| n.starts_with("blocks.1.") || n.starts_with("fc_norm.") || n.starts_with("head."))
    );
    assert!(one.iter().any(|name| name == "blocks.1.attn.qkv.weight"), "{one:?}");
    assert_eq!(changed(run("0", "head")), ["head.bias", "head.weight"]);
}

/// `a ← d a + (1 − d) w`, computed again from the weights of every step.
#[test]
fn the_moving_average_is_that_of_the_weights() {
    let place = place();
    let start = Start::pretrained(&place.path("mae")).unwrap();
    let config = config(&place, &start);
    let run = RunDir::create(Some(place.path("run")), false).unwrap();
    let mut run = Run::<Classify>::new(config, &start, || Ok(run)).unwrap();
    let head = |run: &Run<Classify>| run.learner.model.head.weight.mapv(f64::from);
    let mut average = head(&run);
    for step in 1..=6_u32 {
        let stopped = run.train("", &mut StopAfter(1)).unwrap_err();
        assert!(matches!(stopped, Error::Interrupted { .. }), "{stopped}");
        let t = f64::from(step);
        let decay = 0.9_f64.min((1.0 + t) / (10.0 + t));
        average = average * decay + head(&run) * (1.0 - decay);
    }
    let kept = run.learner.averaged.as_ref().unwrap().head.weight.mapv(f64::from);
    let worst = (&kept - &average).mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
    let largest = average.mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
    assert!(worst < 1e-6 * largest, "{worst} of {largest}");
    // The checkpoint's weights are the average; the trained ones lie beside the moments.
    let file = tensors::File::open(place.path("run/checkpoint/optimizer.safetensors")).unwrap();
    assert!(file.names().iter().any(|name| name == "w.head.weight"));
    assert_eq!(
        weights(&place, "run")["head.weight"],
        run.learner.averaged.as_ref().unwrap().head.weight.as_slice().unwrap()
    );
}

/// From initial weights, and from a checkpoint with a moving average.
#[test]
fn a_step_replayed_has_the_bits_of_the_log() {
    let place = place();
    let often = ["--ema", "0.9", "--drop-path", "0.3", "--set", "run.digest_every_steps=1", "--set"];
    finetune(&place, &[&often[..], &["run.checkpoint_every_epochs=1", "--out", "run"]].concat());
    for step in ["1", "6", "9"] {
        let printed = place.done(&["audit", "replay", "run", "--step", step, "--json"]);
        let found: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(found["agree"], true, "{printed}");
        assert_eq!(found["compared"].as_array().unwrap().len(), 4, "{printed}");
    }
}

#[test]
fn larger_images_are_fine_tuned_with_interpolated_positions() {
    let place = place();
    finetune(&place, &["--img-size", "12", "--crop", "0.8,1", "--out", "large"]);
    assert_eq!(weights(&place, "large")["pos_embed"].len(), 16 * (1 + 36));
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let place = place();
    classes(&place, "two/train", &["across", "down"], 4);
    let refused = |args: &[&str], words: &[&str]| place.refused(&[&["finetune"], args].concat(), words);
    refused(&["--checkpoint", "set"], &["set", "a folder without one"]);
    refused(&["--checkpoint", "mae", "--data", "images"], &["images", "two classes"]);
    refused(&["--checkpoint", "mae", "--labels", "0"], &["label_share"]);
    refused(&["--checkpoint", "mae", "--labels", "0.01"], &["label", "across"]);
    refused(&["--checkpoint", "mae", "--val-fraction", "1"], &["val_fraction", "less than 1"]);
    refused(&["--checkpoint", "mae", "--tune-blocks", "2"], &["tune_blocks", "0 to 1"]);
    refused(&["--checkpoint", "mae", "--batch-size", "8", "--set", "model.depth=3"], &["model.depth", "mae"]);
    refused(&["--checkpoint", "mae", "--drop-path", "1"], &["drop_path"]);
    refused(&["--checkpoint", "mae", "--recipe", "large"], &["--recipe", "small, paper"]);
    refused(&["--checkpoint", "mae", "--set", "finetune.nothing=1"], &["finetune.nothing"]);
    refused(&["--checkpoint", "mae", "--batch-size", "1000"], &["batch_size", "1000"]);
    finetune(&place, &["--epochs", "1", "--out", "run"]);
    refused(&["--resume", "mae"], &["kind of run", "fine-tuning"]);
    refused(&["--resume", "run", "--labels", "0.5"], &["label_share", "cannot change"]);
    refused(&["--resume", "run", "--data", "two"], &["two"]);
    place.refused(
        &["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "x.png"],
        &["kind of run"],
    );
}
