//! Claim: what a study takes is known before it is run, and compute is made equal by the same count.

use crate::ablate::{args, place, without};
use serde_json::Value;
use vit_mae::models::classify::Pooling;
use vit_mae::tasks::pretraining::Method;
use vit_mae::tasks::{BeitStyle, Classify, MocoV3, Pretrain};
use vit_mae::train::Task;

/// A dry run counts each run of pre-training once, leaves nothing behind, and knows what is done.
#[test]
fn a_dry_run_says_what_is_left_and_runs_nothing() {
    let place = place();
    let args = ["ablate", "--vary", "method=mae,supervised,scratch", "--labels", "0.5,1", "--seeds", "1"];
    let more = ["--config", "trunk.toml", "--data", "set", "--epochs", "2", "--finetune-epochs", "1:3,0.5:5"];
    let more = [&more[..], &["--finetune-set", "optim.batch_size=6"]].concat();
    let dry = |more: &[&str]| {
        let before = place.listing();
        let rows = place.done(&[more, &["--dry-run", "--json"]].concat());
        assert!(place.listing() == before);
        serde_json::from_str::<Vec<Value>>(&rows).unwrap()
    };
    let rows = dry(&[&args[..], &more].concat());
    let flops = |row: &Value, of: &str| row[of].as_f64().unwrap();
    let pretrained: Vec<bool> = rows.iter().map(|row| flops(row, "pretrain_flops") > 0.0).collect();
    assert_eq!(pretrained, [true, false, true, true, false, false]);
    // 24 images with all labels, of which a tenth validates: 21.6 images in 3 epochs, of a classifier's step each.
    let mut config =
        Classify::layered("nano", Some(&place.path("trunk.toml")), &Vec::new().into()).unwrap().config;
    // As the recipe of fine-tuning pools, unlike supervised pre-training.
    config.model.pooling = Pooling::Mean;
    let finetune = 3.0 * 22.0 * Classify::flops_per_image(&config);
    assert!((flops(&rows[5], "finetune_flops") / finetune - 1.0).abs() < 1e-9, "{}", rows[5]);
    // Half of the labels have five epochs of their own.
    let finetune = 5.0 / 3.0 * 11.0 / 22.0 * finetune;
    assert!((flops(&rows[4], "finetune_flops") / finetune - 1.0).abs() < 1e-9, "{}", rows[4]);
    assert!(rows.iter().all(|row| flops(row, "hours") > 0.0 && row["done"] == false));
    let table = place.done(&[&args[..], &more, &["--dry-run"]].concat());
    assert!(table.contains("scratch") && table.contains("GFLOP/s") && table.contains("hours"), "{table}");

    place.done(&[&args[..], &more, &["--out", "out"]].concat());
    assert!(place.text("out/ablation.toml").contains("finetune_epochs = [[0.5, 5], [1.0, 3]]"));
    let epochs = |labels| {
        let config = place.text(&format!("out/method=mae/seed-0/labels={labels}/finetune/config.toml"));
        config.lines().find_map(|line| line.strip_prefix("epochs = ")?.parse::<u64>().ok())
    };
    assert_eq!((epochs("0.5"), epochs("1")), (Some(5), Some(3)));
    without(&place, "scratch,classify,1,0,");
    let left = dry(&["ablate", "--resume", "out"]);
    let hours: Vec<bool> = left.iter().map(|row| flops(row, "hours") > 0.0).collect();
    assert_eq!(hours, [false, false, false, false, false, true]);
}

/// Operations of an image's step with the settings of a preset.
fn flops<M: Method>(preset: &str) -> f64 {
    M::flops_per_image(&M::layered(preset, None, &Vec::new().into()).unwrap().config)
}

/// Compute is counted as a dry run counts it: images of an epoch, as often as `data.repeats` or a short epoch shows each.
#[test]
fn methods_are_given_equal_compute() {
    let place = place();
    let printed = |more: &[&str]| {
        let methods =
            ["ablate", "--vary", "method=mae,moco-v3,beit,supervised", "--print-config", "--data", "set"];
        let labels: &[&str] = if more.contains(&"--labels") { &[] } else { &["--labels", "0.5"] };
        let printed = place.done(&[&methods[..], labels, more].concat());
        let epochs = printed.lines().filter_map(|line| line.strip_prefix("epochs = ")?.split(' ').next());
        epochs.map(|epochs| epochs.parse().unwrap()).collect::<Vec<f64>>()
    };
    assert_eq!(printed(&["--epochs", "30"]), [30.0; 4]);
    let equal = |preset: &str, samples: [f64; 4]| {
        let of_image = [flops::<Pretrain>, flops::<MocoV3>, flops::<BeitStyle>, flops::<Classify>];
        let epoch = |i: usize| samples[i] * of_image[i](preset);
        [0, 1, 2, 3].map(|i| (30.0 * epoch(0) / epoch(i)).round())
    };
    // A tenth of 24 images is too few to be held out of pre-training; of half of the labels a tenth validates, which leaves 11 images.
    let once = ["--epochs", "30", "--equal-compute"];
    assert_eq!(printed(&once), equal("nano", [24.0, 24.0, 24.0, 11.0]));
    // Half of 24 images, but at most nine, and half of twelve labels.
    let held_out = ["--set", "data.val_fraction=0.5", "--set", "run.held_out_images=9"];
    assert_eq!(printed(&[&once[..], &held_out].concat()), equal("nano", [15.0, 15.0, 15.0, 6.0]));
    // This preset shows so few images until an epoch has 1,600 samples, 67 times; labelled ones are shown once.
    let often = printed(&[&once[..], &["--preset", "photo"]].concat());
    assert_eq!(often, equal("photo", [1608.0, 1608.0, 1608.0, 11.0]));
    // With fewer labels the same operations are more epochs.
    let both = printed(&[&once[..], &["--labels", "1,0.25"]].concat());
    let [all, quarter] = [22.0, 5.0].map(|images| equal("nano", [24.0, 24.0, 24.0, images]));
    assert_eq!(both, [&all[..], &quarter[3..]].concat());
    let args = args("mask-ratio=0.5,0.75", "new");
    place.refused(&[&args[..], &["--equal-compute"]].concat(), &["--equal-compute", "method"]);
}
