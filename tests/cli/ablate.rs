//! Claim: an ablation runs every value with every seed and judges it with every fraction of the labels, goes on where it was stopped,
//! and its tables and figure are those of its runs.

use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;
use std::fs;

pub(crate) fn place() -> Place {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 12);
    classes(&place, "set/test", &["across", "down"], 5);
    place
}

pub(crate) fn args<'a>(vary: &'a str, out: &'a str) -> Vec<&'a str> {
    let mut args = vec!["ablate", "--vary", vary, "--seeds", "2", "--config", "tiny.toml", "--data", "set"];
    args.extend(["--finetune-epochs", "1", "--finetune-set", "optim.batch_size=6", "--out", out]);
    args
}

/// Methods over one small trunk, an epoch each.
fn study(vary: &str) -> Vec<&str> {
    vec!["ablate", "--vary", vary, "--config", "trunk.toml", "--data", "set", "--epochs", "1"]
}

#[test]
fn every_value_is_run_with_every_seed_and_only_once() {
    let place = place();
    let rows = place.done(&[&args("mask-ratio=0.75,0.5", "out")[..], &["--json"]].concat());
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let points: Vec<_> =
        rows.iter().map(|row| (row["value"].as_str().unwrap(), row["seed"].as_u64())).collect();
    assert_eq!(points, [("0.5", Some(0)), ("0.75", Some(0)), ("0.5", Some(1)), ("0.75", Some(1))]);
    for row in &rows {
        for share in ["probe", "knn", "finetune"] {
            assert!((0.0..=1.0).contains(&row[share].as_f64().unwrap()), "{row}");
        }
    }
    let csv = place.text("out/results.csv");
    assert_eq!(csv.lines().count(), 5, "{csv}");
    assert!(place.text("out/results.md").lines().nth(2).unwrap().starts_with("| 0.5 | 1 | 2 | "));
    assert!(place.text("out/figure.svg").contains("fine-tuning, accuracy in %"));
    let page = place.text("out/report.html");
    assert!(
        page.contains("fine-tuning, 0.75") && page.contains("0.5 − 0.75") && page.contains("data:image/png")
    );

    // The mean of the table is that of the rows.
    let mean = [0, 2].iter().map(|&i| rows[i]["finetune"].as_f64().unwrap()).sum::<f64>() / 2.0;
    assert!(place.text("out/results.md").contains(&format!("| 0.5 | 1 | 2 | {:.2} ± ", 100.0 * mean)));
    assert!(place.text("out/results.md").contains("| 0.5 − 0.75 | 1 | 2 | "));

    // A second time nothing is run again; a lost point alone is.
    let log = place.read("out/mask-ratio=0.5/seed-0/pretrain/metrics.jsonl");
    without(&place, "0.75,classify,1,1,");
    let again = place.done(&["ablate", "--resume", "out", "--json"]);
    let again: Vec<Value> = serde_json::from_str(&again).unwrap();
    for (row, before) in again.iter().zip(&rows) {
        assert_eq!((&row["probe"], &row["finetune"]), (&before["probe"], &before["finetune"]));
    }
    assert!(place.read("out/mask-ratio=0.5/seed-0/pretrain/metrics.jsonl") == log);
}

/// Takes a row out of a study's table.
pub(crate) fn without(place: &Place, row: &str) {
    let table = place.text("out/results.csv");
    assert_eq!(table.lines().filter(|line| line.starts_with(row)).count(), 1, "{table}");
    let left = table.lines().filter(|line| !line.starts_with(row)).map(|line| format!("{line}\n"));
    place.write("out/results.csv", left.collect::<String>());
}

/// Another machine needs the plan and the tables to go on: what they have is not run again, whatever else is run or interrupted.
#[test]
fn a_study_goes_on_from_its_plan_and_tables_alone() {
    let place = place();
    place.done(&[&args("mask-ratio=0.5,0.75", "out")[..], &["--no-probe"]].concat());
    let tables = ["results.csv", "resamples.csv", "curves.csv"];
    let before = tables.map(|table| place.text(&format!("out/{table}")));
    // The first row is lost, and a seed is new: its row comes last, and is refused while the plan lacks it.
    without(&place, "0.5,classify,1,0,");
    for table in tables {
        place.write(&format!("on/{table}"), place.text(&format!("out/{table}")));
    }
    let plan = place.text("out/ablation.toml");
    place.write("on/ablation.toml", plan.replace("seeds = [0, 1]", "seeds = [0]"));
    let expected = ["results.csv", "rows of the plan in ablation.toml", "0.5, classify, 1, 1"];
    place.refused(&["ablate", "--resume", "on"], &expected);
    place.write("on/ablation.toml", plan);
    place.done(&["ablate", "--resume", "on"]);
    let is_there = |path: &str| place.path(&format!("on/mask-ratio={path}/finetune")).exists();
    assert_eq!(["0.5/seed-0", "0.75/seed-0", "0.5/seed-1"].map(is_there), [true, false, false]);
    // But for the seconds of the row that was run again, and its validation score behind them.
    let scores = |table: &str| {
        table.lines().map(|line| line.rsplitn(4, ',').last().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(scores(&place.text("on/results.csv")), scores(&before[0]));
    assert_eq!([place.text("on/resamples.csv"), place.text("on/curves.csv")], before[1..]);
}

#[test]
fn a_choice_can_be_varied_and_judges_left_out() {
    let place = place();
    let args = [&args("norm-pix=true,false", "out")[..], &["--no-finetune", "--labels", "0.5"]].concat();
    let table = place.done(&args);
    assert!(
        table.contains("| true | 0.5 | 2 |")
            && table.contains("linear probe")
            && !table.contains("fine-tuning")
    );
}

/// Each method has settings of its own; one that is taught by labels has as many of them as those that judge.
#[test]
fn methods_are_compared_and_a_setting_of_one_is_its_own() {
    let place = place();
    let args = study("method=mae,supervised");
    let more =
        ["--seeds", "1", "--no-finetune", "--labels", "0.5", "--set", "mask.mask_ratio=0.5", "--out", "out"];
    let table = place.done(&[&args[..], &more].concat());
    assert!(table.contains("| mae | 0.5 | 1 |") && table.contains("| supervised | 0.5 | 1 |"), "{table}");
    let settings = |method: &str| place.text(&format!("out/method={method}/seed-0/pretrain/config.toml"));
    assert!(settings("mae").contains("mask_ratio = 0.5"));
    assert!(settings("supervised").contains("label_share = 0.5"));
    place.refused(&[&args[..2], &["method=mae,magic", "--out", "new"]].concat(), &["--method", "magic"]);
}

/// The seed says which images of a data set without a validation split are held out.
#[test]
fn data_without_a_validation_split_serve_every_seed() {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 45);
    classes(&place, "set/test", &["across", "down"], 2);
    let more = ["--set", "data.val_fraction=0.1", "--no-probe", "--json"];
    let rows = place.done(&[&args("mask-ratio=0.75,0.5", "out")[..], &more].concat());
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    assert_eq!(rows.len(), 4);
    let log = |seed: u64| place.text(&format!("out/mask-ratio=0.75/seed-{seed}/pretrain/metrics.jsonl"));
    assert!([0, 1].iter().all(|&seed| log(seed).contains("held_out_loss")), "images are held out");
}

/// One run of a method that needs no labels serves all fractions; what learns from labels, and what is judged, is run for each.
#[test]
fn fractions_of_the_labels_judge_one_run_of_pre_training_and_random_weights() {
    let place = place();
    let args = study("method=mae,supervised,scratch");
    // A device that is chosen by each run is none that the plan has.
    let more = ["--labels", "1,0.5", "--seeds", "2", "--finetune-epochs", "1", "--device", "auto"];
    let more = [&more[..], &["--finetune-set", "optim.batch_size=6", "--out", "out", "--json"]].concat();
    let rows = place.done(&[&args[..], &more].concat());
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let cell = |row: &Value| {
        (row["seed"].as_u64().unwrap(), row["value"].as_str().unwrap().to_owned(), row["labels"].as_f64())
    };
    let all = [0, 1].into_iter().flat_map(|seed| {
        ["mae", "supervised", "scratch"].into_iter().flat_map(move |value| {
            [0.5, 1.0].into_iter().map(move |labels| (seed, value.to_owned(), Some(labels)))
        })
    });
    assert_eq!(rows.iter().map(cell).collect::<Vec<_>>(), all.collect::<Vec<_>>());

    let runs = |method: &str| {
        let names = ["pretrain", "labels=0.5/pretrain", "labels=1/pretrain", "labels=0.5/finetune"];
        names.map(|name| place.path(&format!("out/method={method}/seed-1/{name}/config.toml")).is_file())
    };
    assert_eq!(runs("mae"), [true, false, false, true]);
    assert_eq!(runs("supervised"), [false, true, true, true]);
    assert_eq!(runs("scratch"), [false, false, false, true]);
    let taught = place.text("out/method=supervised/seed-0/labels=0.5/pretrain/config.toml");
    assert!(taught.contains("label_share = 0.5"));

    // From scratch: the same images with the same statistics, nothing taken over.
    let finetune =
        |method: &str| place.text(&format!("out/method={method}/seed-0/labels=0.5/finetune/config.toml"));
    let taken = |line: &&str| line.starts_with("checkpoint = ") || line.starts_with("checkpoint_crc = ");
    let (pretrained, scratch) = (finetune("mae"), finetune("scratch"));
    assert_eq!((pretrained.lines().filter(taken).count(), scratch.lines().filter(taken).count()), (2, 0));
    assert!(pretrained.lines().filter(|line| !taken(line)).eq(scratch.lines()));
    assert!(rows[4]["pretrain_loss"].is_null() && rows[4]["pretrain_secs"].as_f64() == Some(0.0));
    assert!(rows[4]["probe"].is_f64() && rows[4]["knn"].is_f64() && rows[4]["finetune"].is_f64());

    let table = place.text("out/results.md");
    for line in ["| scratch | 0.5 | 2 |", "| scratch | 1 | 2 |", "| mae − scratch | 0.5 | 2 |"] {
        assert!(table.contains(line), "{table}");
    }
    let (figure, page) = (place.text("out/figure.svg"), place.text("out/report.html"));
    assert!(figure.contains("fraction of the labels") && figure.contains("scratch"));
    assert!(page.contains("linear probe, 0.5 of the labels, scratch"));

    // Tables, figure and page follow from the CSVs to the bit, without the data; a table of other columns is refused.
    let files = ["results.csv", "resamples.csv", "results.md", "figure.svg", "report.html"];
    let files = files.map(|name| format!("out/{name}"));
    let before = files.each_ref().map(|file| place.read(file));
    files[2..].iter().for_each(|file| fs::remove_file(place.path(file)).unwrap());
    fs::rename(place.path("set"), place.path("elsewhere")).unwrap();
    let redrawn = place.done(&["ablate", "--resume", "out", "--redraw", "--json"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&redrawn).unwrap(), rows);
    assert!(files.each_ref().map(|file| place.read(file)) == before);
    place.write("out/results.csv", place.text("out/results.csv").replace(",labels,", ",share,"));
    place.refused(&["ablate", "--resume", "out", "--redraw"], &["results.csv", "labels", "share"]);
    place.write("out/results.csv", &before[0]);

    // Every score of every row is there on 1,000 samples of the ten test pictures; without them intervals are those of the seeds.
    let note = |over: &str| assert!(place.text("out/results.md").contains(over), "{over}");
    note("over seeds and test pictures, paired by both");
    assert_eq!(place.text("out/resamples.csv").lines().count(), 1 + 3 * rows.len());
    assert_eq!(place.text("out/resamples.csv").matches(",10,10,").count(), 3 * rows.len());
    // Their mean is the score itself, but for what 1,000 samples of ten pictures leave open: at most 0.005.
    for line in place.text("out/resamples.csv").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let is_row = |row: &&Value| {
            let place =
                [row["labels"].as_f64().unwrap().to_string(), row["seed"].as_u64().unwrap().to_string()];
            row["value"] == fields[0] && place == fields[2..4]
        };
        let score = match fields[5] {
            "fine-tuning" => "finetune",
            "linear probe" => "probe",
            _ => "knn",
        };
        let score = rows.iter().find(is_row).unwrap()[score].as_f64().unwrap();
        let mean = fields[8..].iter().map(|score| score.parse::<f64>().unwrap()).sum::<f64>() / 1000.0;
        assert!((mean - score).abs() < 0.03, "{mean} is not {score}: {}", &line[..60]);
    }
    fs::remove_file(place.path("out/resamples.csv")).unwrap();
    place.done(&["ablate", "--resume", "out", "--redraw"]);
    note("of the mean over the seeds, paired by seed");
    place.write("out/resamples.csv", &before[1]);
    fs::rename(place.path("elsewhere"), place.path("set")).unwrap();

    // The plan of the folder is a study file, and the plan of an earlier version with one fraction and one task is read.
    let plan = place.text("out/ablation.toml");
    assert!(plan.contains("tasks = [\"classify\"]"));
    place.write(
        "old.toml",
        plan.replace("labels = [0.5, 1.0]", "label_share = 0.5")
            .replace("tasks = [\"classify\"]", "task = \"classify\"")
            .replace("seeds = [0, 1]", "seeds = [0]"),
    );
    let again = place.done(&["ablate", "--plan", "old.toml", "--out", "again", "--json"]);
    let again: Vec<Value> = serde_json::from_str(&again).unwrap();
    assert_eq!(again.len(), 3);
    for (row, before) in again.iter().zip([&rows[0], &rows[2], &rows[4]]) {
        assert_eq!(
            (&row["value"], &row["probe"], &row["finetune"]),
            (&before["value"], &before["probe"], &before["finetune"])
        );
    }
    assert!(place.path("again/method=mae/seed-0/finetune/config.toml").is_file());
    place.write("none.toml", plan.replace("seeds = [0, 1]", "seeds = []"));
    place
        .refused(&["ablate", "--plan", "none.toml", "--out", "new"], &["none.toml", "seeds", "at least one"]);
}

/// Candidates differ in pre-training, are judged once each, and the best on validation images goes on to the other rows.
#[test]
fn a_setting_is_chosen_for_each_method_on_validation_images() {
    let place = place();
    let args = study("method=mae,supervised,scratch");
    let more = ["--tune", "optim.blr=1e-3,1e-1", "--seeds", "2", "--no-finetune", "--labels", "0.5,1"];
    let dry = place.done(&[&args[..], &more, &["--dry-run", "--json"]].concat());
    let rows = place.done(&[&args[..], &more, &["--out", "out", "--json"]].concat());
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    // Four trials, of which two are among the twelve rows of the table.
    assert_eq!((rows.len(), serde_json::from_str::<Vec<Value>>(&dry).unwrap().len()), (14, 14));
    for (method, trials) in [("mae", &rows[..2]), ("supervised", &rows[2..4])] {
        assert!(trials.iter().all(|row| row["value"] == method && row["seed"] == 0 && row["labels"] == 1.0));
        let [first, second] = [0, 1].map(|i| trials[i]["validation"].as_f64().unwrap());
        let winner = &trials[usize::from(second > first)]["tuned"];
        let others = || rows[4..].iter().filter(|row| row["value"] == method);
        assert!(others().count() == 3 && others().all(|row| row["tuned"] == *winner));
        assert!(
            place
                .text("out/results.md")
                .contains(&format!("optim.blr of {method} is {}", winner.as_str().unwrap()))
        );
        let folder = format!("out/method={method}/seed-0/optim.blr={}", winner.as_str().unwrap());
        let folder = if method == "mae" { folder } else { folder + "/labels=0.5" };
        assert!(place.path(&format!("{folder}/pretrain")).is_dir());
    }
    assert!(rows[4..].iter().filter(|row| row["value"] == "scratch").all(|row| row["tuned"].is_null()));
    assert!(place.text("out/results.md").contains("| mae | 1 | 2 |"));
    let redrawn = place.done(&["ablate", "--resume", "out", "--redraw", "--json"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&redrawn).unwrap(), rows);
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
    refused("mask-ratio=0.5,0.6", &["--labels", "2"], &["--labels", "at most 1"]);
    refused("mask-ratio=0.5,0.6", &["--labels", "0.1,0.1"], &["--labels", "different"]);
    refused("mask-ratio=0.5,0.6", &["--labels", "0.1,1"], &["finetune.label_share"]);
    let halves = ["ablate", "--vary", "norm-pix=true,false", "--labels", "0.5,1", "--out", "new"];
    let epochs = |epochs, words: &[&str]| {
        place.refused(&[&halves[..], &["--finetune-epochs", epochs]].concat(), words);
    };
    epochs("1:2", &["--finetune-epochs", "--labels 0.5, 1", "none for 0.5"]);
    epochs("0.1:3,0.5:2,1:2", &["--finetune-epochs", "one for 0.1"]);
    epochs("0.5-2", &["--finetune-epochs", "fraction:epochs", "0.5-2"]);
    let large = ["--labels", "0.5,1", "--finetune-set", "optim.batch_size=12"];
    refused("mask-ratio=0.5,0.6", &large, &["optim.batch_size", "at most 10"]);
    refused("mask-ratio=0.5,0.6", &["--tune", "mask-ratio=0.1,0.2"], &["--tune", "not varied"]);
    refused("mask-ratio=0.5,0.6", &["--tune", "optim.blr=1"], &["--tune", "two values"]);
    refused("mask-ratio=0.5,0.6", &["--no-finetune", "--labels", "0.01"], &["label", "0.01"]);
    let unjudged =
        ["ablate", "--vary", "mask-ratio=0.5,0.6", "--task", "segment", "--data", "scenes", "--no-finetune"];
    place.refused(
        &[&unjudged[..], &["--out", "new"]].concat(),
        &["--no-finetune", "--task classify", "segment"],
    );
    refused("mask-ratio=0.5,scratch", &[], &["mask_ratio", "scratch"]);
    refused("mask-ratio=0.5,0.6", &["--finetune-set", "finetune.nothing=2"], &["finetune.nothing"]);
    let group_by = ["--group-by", "@", "--no-finetune"];
    refused("norm-pix=true,false", &group_by, &["--group-by", "\"@\"", ".png"]);
    place.refused(&["ablate", "--resume", "set"], &["ablation.toml"]);
    place.refused(&["ablate", "--resume", "set", "--seeds", "3"], &["--resume", "--seeds"]);
    place.refused(&["ablate", "--resume", "set", "--device", "cpu"], &["--resume", "--device"]);
    refused("mask-ratio=0.5,0.6", &["--tune", "run.seed=1,2"], &["--tune", "--seeds"]);
    refused("mask-ratio=0.5,0.6", &["--set", "run.seed=1"], &["--set", "run.seed"]);
    refused("mask-ratio=0.5,0.6", &["--finetune-set", "run.seed=1"], &["--finetune-set", "run.seed"]);
    refused("optim.batch_size=8,4000", &[], &["optim.batch_size", "4000"]);
    refused("optim.blr=1e-3,1e300", &[], &["optim.blr", "at most 80 bytes"]);
    place.refused(
        &["ablate", "--plan", "plan.toml", "--labels", "1", "--out", "new"],
        &["--plan", "--labels"],
    );
    place.done(&[&args("norm-pix=true,false", "out")[..], &["--no-probe", "--epochs", "1"]].concat());
    place.refused(&args("norm-pix=true,false", "out"), &["ablation.toml", "plan"]);
}
