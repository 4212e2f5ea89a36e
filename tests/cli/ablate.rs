//! Claim: an ablation runs every value with every seed, goes on where it was stopped, and its tables and figure are those of
//! its runs.

use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;
use std::fs;
use vit_mae::tasks::pretraining::Method;
use vit_mae::tasks::{BeitStyle, Classify, MocoV3, Pretrain};

fn place() -> Place {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 12);
    classes(&place, "set/test", &["across", "down"], 5);
    place
}

fn args<'a>(vary: &'a str, out: &'a str) -> Vec<&'a str> {
    let mut args = vec!["ablate", "--vary", vary, "--seeds", "2", "--config", "tiny.toml", "--data", "set"];
    args.extend(["--finetune-epochs", "1", "--finetune-set", "optim.batch_size=6", "--out", out]);
    args
}

#[test]
fn every_value_is_run_with_every_seed_and_only_once() {
    let place = place();
    let rows = place.done(&[&args("mask-ratio=0.75,0.5", "out")[..], &["--json"]].concat());
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let points: Vec<_> =
        rows.iter().map(|row| (row["value"].as_str().unwrap(), row["seed"].as_u64())).collect();
    assert_eq!(points, [("0.5", Some(0)), ("0.5", Some(1)), ("0.75", Some(0)), ("0.75", Some(1))]);
    for row in &rows {
        for share in ["probe", "knn", "finetune"] {
            assert!((0.0..=1.0).contains(&row[share].as_f64().unwrap()), "{row}");
        }
    }
    let csv = place.text("out/results.csv");
    assert_eq!(csv.lines().count(), 5, "{csv}");
    assert!(place.text("out/results.md").lines().nth(2).unwrap().starts_with("| 0.5 | 2 | "));
    assert!(place.text("out/figure.svg").contains("fine-tuning, accuracy in %"));
    let page = place.text("out/report.html");
    assert!(
        page.contains("fine-tuning, 0.75") && page.contains("0.5 − 0.75") && page.contains("data:image/png")
    );

    // The mean of the table is that of the rows.
    let mean = rows[..2].iter().map(|row| row["finetune"].as_f64().unwrap()).sum::<f64>() / 2.0;
    assert!(place.text("out/results.md").contains(&format!("| 0.5 | 2 | {:.2} ± ", 100.0 * mean)));
    assert!(place.text("out/results.md").contains("| 0.5 − 0.75 | 2 | "));

    // A second time nothing is run again; a lost point alone is.
    let log = place.read("out/mask-ratio=0.5/seed-0/pretrain/metrics.jsonl");
    fs::remove_file(place.path("out/mask-ratio=0.75/seed-1/row.json")).unwrap();
    let again = place.done(&["ablate", "--resume", "out", "--json"]);
    let again: Vec<Value> = serde_json::from_str(&again).unwrap();
    for (row, before) in again.iter().zip(&rows) {
        assert_eq!((&row["probe"], &row["finetune"]), (&before["probe"], &before["finetune"]));
    }
    assert!(place.read("out/mask-ratio=0.5/seed-0/pretrain/metrics.jsonl") == log);
}

#[test]
fn a_choice_can_be_varied_and_judges_left_out() {
    let place = place();
    let args = [&args("norm-pix=true,false", "out")[..], &["--no-finetune", "--labels", "0.5"]].concat();
    let table = place.done(&args);
    assert!(
        table.contains("| true | 2 |") && table.contains("linear probe") && !table.contains("fine-tuning")
    );
}

/// Each method has settings of its own; one that is taught by labels has as many of them as those that judge.
#[test]
fn methods_are_compared_and_a_setting_of_one_is_its_own() {
    let place = place();
    let args = [
        "ablate",
        "--vary",
        "method=mae,supervised",
        "--seeds",
        "1",
        "--config",
        "trunk.toml",
        "--data",
        "set",
    ];
    let more =
        ["--epochs", "1", "--no-finetune", "--labels", "0.5", "--set", "mask.mask_ratio=0.5", "--out", "out"];
    let table = place.done(&[&args[..], &more].concat());
    assert!(table.contains("| mae | 1 |") && table.contains("| supervised | 1 |"), "{table}");
    let settings = |method: &str| place.text(&format!("out/method={method}/seed-0/pretrain/config.toml"));
    assert!(settings("mae").contains("mask_ratio = 0.5"));
    assert!(settings("supervised").contains("label_share = 0.5"));
    place.refused(&[&args[..2], &["method=mae,magic", "--out", "new"]].concat(), &["--method", "magic"]);
}

/// Operations of an image's step with the default settings.
fn flops<M: Method>() -> f64 {
    M::flops_per_image(&M::layered("nano", None, &Vec::new().into()).unwrap().config)
}

#[test]
fn methods_are_given_equal_compute() {
    let place = place();
    let printed = |more: &[&str]| {
        let methods =
            ["ablate", "--vary", "method=mae,moco-v3,beit,supervised", "--labels", "0.5", "--print-config"];
        let printed = place.done(&[&methods[..], more].concat());
        let epochs = printed.lines().filter_map(|line| line.strip_prefix("epochs = ")?.split(' ').next());
        epochs.map(|epochs| epochs.parse().unwrap()).collect::<Vec<f64>>()
    };
    assert_eq!(printed(&["--epochs", "30"]), [30.0; 4]);
    let of_image = [flops::<Pretrain>(), flops::<MocoV3>(), flops::<BeitStyle>(), 0.5 * flops::<Classify>()];
    let equal = of_image.map(|flops| (30.0 * of_image[0] / flops).round());
    assert_eq!(printed(&["--epochs", "30", "--equal-compute"]), equal);
    let args = args("mask-ratio=0.5,0.75", "new");
    place.refused(&[&args[..], &["--equal-compute"]].concat(), &["--equal-compute", "method"]);
}

#[test]
fn bad_input_is_refused_before_anything_is_run() {
    let place = place();
    let refused = |vary: &str, more: &[&str], words: &[&str]| {
        place.refused(&[&args(vary, "new")[..], more].concat(), words);
    };
    refused("mask-ratio=0.5,1.5", &[], &["mask_ratio", "1.5"]);
    refused("mask-ratio=0.5", &[], &["--vary", "two values"]);
    refused("ratio=0.5,0.6", &[], &["--vary", "mask-ratio"]);
    refused("model.nothing=1,2", &[], &["model.nothing"]);
    refused("mask-ratio=0.5,0.6", &["--labels", "2"], &["--labels"]);
    refused("mask-ratio=0.5,0.6", &["--finetune-set", "finetune.nothing=2"], &["finetune.nothing"]);
    place.refused(&["ablate", "--resume", "set"], &["ablation.toml"]);
    place.done(&[&args("norm-pix=true,false", "out")[..], &["--no-probe", "--epochs", "1"]].concat());
    place.refused(&args("norm-pix=true,false", "out"), &["ablation.toml", "plan"]);
}
