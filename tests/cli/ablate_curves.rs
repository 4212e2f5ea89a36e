//! Claim: the curves of an ablation are those of its runs, and are drawn again to the same bytes.

use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;
use std::fs;

#[test]
fn curves_are_those_of_the_runs() {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 12);
    classes(&place, "set/test", &["across", "down"], 5);
    let args = [
        "ablate",
        "--vary",
        "method=mae,scratch",
        "--config",
        "trunk.toml",
        "--data",
        "set",
        "--epochs",
        "3",
    ];
    let more = ["--seeds", "1", "--finetune-epochs", "3", "--finetune-set", "optim.batch_size=6", "--curves"];
    let args = [&args[..], &more].concat();
    place.refused(&[&args[..], &["--out", "out"]].concat(), &["run.keep", "--curves", "1"]);
    place.refused(
        &[&args[..], &["--task", "segment", "--out", "out"]].concat(),
        &["--curves", "classify", "segment"],
    );
    let rows = place.done(
        &[
            &args[..],
            &["--set", "run.keep=9", "--set", "run.checkpoint_every_epochs=1", "--out", "out", "--json"],
        ]
        .concat(),
    );
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let csv = place.text("out/curves.csv");
    let points = |start: &str| {
        let lines = csv.lines().filter_map(|line| line.strip_prefix(start));
        let point = |line: &str| line.split(',').map(|x| x.parse::<f64>().unwrap()).collect::<Vec<_>>();
        lines.map(point).collect::<Vec<_>>()
    };
    // The first checkpoint is that of the initial weights.
    let probed = points("mae,classify,1,0,,linear probe,");
    assert_eq!(probed.iter().map(|point| point[0]).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0], "{csv}");
    assert!(points("scratch,classify,1,0,,linear probe,").is_empty());
    for (row, value) in rows.iter().zip(["mae", "scratch"]) {
        // 22 images in batches of 6; the best epoch is what the row says.
        let tuned = points(&format!("{value},classify,1,0,,fine-tuning,"));
        assert_eq!(tuned.iter().map(|point| point[0]).collect::<Vec<_>>(), [3.0, 6.0, 9.0], "{csv}");
        let best = tuned.iter().map(|point| point[1]).fold(0.0, f64::max);
        assert_eq!(row["validation"].as_f64(), Some(best));
    }
    let svg = place.text("out/curves.svg");
    assert!(svg.contains("steps of fine-tuning") && svg.contains("epochs of pre-training"));
    let files = ["out/curves.csv", "out/curves.svg", "out/report.html"];
    let before = files.map(|file| place.read(file));
    fs::remove_file(place.path(files[1])).unwrap();
    place.done(&["ablate", "--resume", "out", "--redraw"]);
    assert!(files.map(|file| place.read(file)) == before);
}
