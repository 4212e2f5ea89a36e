//! Claim: an ablation judges one run of pre-training by several tasks, each with tables of its own.

use crate::common::Place;
use serde_json::Value;

/// A trunk for scenes of 32 × 32, which two tasks can put their pyramids on: one block for each level.
const TRUNK: &str = "
[model]
img_size = [32, 32]
patch_size = 16
in_chans = 3
embed_dim = 16
depth = 4
num_heads = 2
[optim]
epochs = 1
batch_size = 64
[run]
held_out_images = 8
";

/// Detectors take minutes to test, so their cells are said to be done.
#[test]
fn several_tasks_judge_one_run_of_pre_training() {
    let place = Place::new();
    place.write("trunk.toml", TRUNK);
    let args = |tasks| {
        let study = ["ablate", "--vary", "method=mae,scratch", "--seeds", "1", "--config", "trunk.toml"];
        let finetuning =
            ["--labels", "0.01", "--finetune-epochs", "1", "--finetune-set", "optim.batch_size=4"];
        // A setting that one of the tasks has is that task's.
        let tasks = ["--data", "scenes:32", "--task", tasks, "--finetune-set", "model.head=\"linear\""];
        [&study[..], &finetuning, &tasks].concat()
    };
    let rows = |json: String| serde_json::from_str::<Vec<Value>>(&json).unwrap();
    let of = |row: &Value| ["value", "task"].map(|key| row[key].as_str().unwrap().to_owned());
    let expected = [["mae", "segment"], ["mae", "detect"], ["scratch", "segment"], ["scratch", "detect"]];
    let expected = expected.map(|row| row.map(str::to_owned));

    let dry = rows(place.done(&[&args("segment,detect")[..], &["--dry-run", "--json"]].concat()));
    assert_eq!(dry.iter().map(of).collect::<Vec<_>>(), expected);
    let flops = |row: &Value, of: &str| row[of].as_f64().unwrap();
    let pretrains: Vec<bool> = dry.iter().map(|row| flops(row, "pretrain_flops") > 0.0).collect();
    assert_eq!(pretrains, [true, false, false, false]);
    // A detector's step is many times that of a linear head.
    assert!(flops(&dry[1], "finetune_flops") > 5.0 * flops(&dry[0], "finetune_flops"));
    let twice = [&args("detect,detect")[..], &["--out", "new"]].concat();
    place.refused(&twice, &["--task", "all different", "detect"]);

    place.done(&[&args("segment")[..], &["--out", "one"]].concat());
    let plan = place.text("one/ablation.toml");
    place.write("out/ablation.toml", plan.replace("[\"segment\"]", "[\"segment\", \"detect\"]"));
    let segmented = place.text("one/results.csv");
    let detected = segmented.lines().map(|line| {
        let mut fields: Vec<&str> = line.split(',').collect();
        let score = if fields[0] == "mae" { "0.75" } else { "0.5" };
        if fields[1] == "segment" {
            (fields[1], fields[6]) = ("detect", score);
        }
        fields.join(",") + "\n"
    });
    place.write("out/results.csv", detected.collect::<String>());
    let done = rows(place.done(&["ablate", "--resume", "out", "--json"]));
    assert_eq!(done.iter().map(of).collect::<Vec<_>>(), expected);
    let scores = |task| {
        ["mae", "scratch"].map(|value| {
            let row = done.iter().find(|row| row["value"] == value && row["task"] == task);
            flops(row.unwrap(), "finetune")
        })
    };
    assert_eq!(scores("detect"), [0.75, 0.5]);
    let is_there = |path: &str| place.path(&format!("out/method=mae/seed-0/{path}")).exists();
    assert!(is_there("pretrain/config.toml") && is_there("task=segment/finetune/config.toml"));
    assert!(!is_there("task=segment/pretrain") && !is_there("task=detect/finetune"));

    // Each task has tables and panels of its own, and a score on samples of its test pictures.
    let table = place.text("out/results.md");
    let detect = table.find("## detect").unwrap();
    assert!(
        table.starts_with("## segment") && table[detect..].contains("| mae | 0.01 | 1 | 75.00 |"),
        "{table}"
    );
    assert!(table[detect..].contains("| mae − scratch | 0.01 | 1 | +25.00 |"), "{table}");
    assert_eq!(table[..detect].matches("| mae | 0.01 | 1 |").count(), 1, "{table}");
    let figure = place.text("out/figure.svg");
    for panel in ["segment: fine-tuning, mIoU in %", "detect: fine-tuning, box AP in %"] {
        assert!(figure.contains(panel), "{panel}");
    }
    assert!(place.text("out/resamples.csv").contains("mae,segment,0.01,0,,fine-tuning,500,500,"));
    let page = place.read("out/report.html");
    assert_eq!(rows(place.done(&["ablate", "--resume", "out", "--redraw", "--json"])), done);
    assert!(place.read("out/report.html") == page);
}
