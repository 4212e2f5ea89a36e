//! Claim: a study that was edited, or whose files were, counts nothing twice, loses nothing, and does not pass off rows of other settings.

use crate::ablate::{args, place};
use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;

const TABLES: [&str; 3] = ["results.csv", "resamples.csv", "curves.csv"];

fn finished() -> Place {
    let place = place();
    place.done(&[&args("mask-ratio=0.5,0.75", "out")[..], &["--no-probe"]].concat());
    place
}

/// Changes a file of the study, runs it, expects it to be refused with these words and the file to stay, and changes the file back.
fn refused(place: &Place, file: &str, change: impl Fn(&str) -> String, how: &str, words: &[&str]) {
    let path = format!("out/{file}");
    let before = place.text(&path);
    let changed = change(&before);
    assert_ne!(changed, before);
    place.write(&path, &changed);
    let how: &[&str] = if how == "redraw" { &["--redraw"] } else { &[] };
    place.refused(&[&["ablate", "--resume", "out"], how].concat(), words);
    assert_eq!(place.text(&path), changed);
    place.write(&path, before);
}

/// The text with the field of a line replaced.
fn with_field(text: &str, line: usize, field: usize, value: &str) -> String {
    let changed = |(i, row): (usize, &str)| {
        let mut fields: Vec<&str> = row.split(',').collect();
        if i == line {
            fields[field] = value;
        }
        fields.join(",") + "\n"
    };
    text.lines().enumerate().map(changed).collect()
}

#[test]
fn tables_count_a_row_once_and_hold_scores() {
    let place = finished();
    let twice = |text: &str| format!("{text}{}\n", text.lines().nth(1).unwrap());
    for table in TABLES {
        for how in ["resume", "redraw"] {
            refused(&place, table, twice, how, &[table, "each once", "two of 0.5, classify, 1, 0"]);
        }
    }
    for score in ["inf", "1e300", "NaN", "-0.1"] {
        let of = |line, field| move |text: &str| with_field(text, line, field, score);
        refused(&place, "results.csv", of(1, 6), "redraw", &["finetune_accuracy", "0 to 1", score]);
        refused(&place, "curves.csv", of(1, 7), "redraw", &["curves.csv", "0 to 1", score]);
    }
    let other = |text: &str| text.replacen("fine-tuning", "tuning", 1);
    refused(&place, "curves.csv", other, "redraw", &["measure", "fine-tuning, linear probe, k-NN", "tuning"]);

    // As other programs write the fraction of the labels.
    let names = ["results.md", "figure.svg"];
    let before: Vec<String> = names.iter().map(|name| place.text(&format!("out/{name}"))).collect();
    for table in TABLES {
        let path = format!("out/{table}");
        place.write(&path, place.text(&path).replace(",classify,1,", ",classify,1.0,"));
    }
    place.done(&["ablate", "--resume", "out", "--redraw"]);
    let after: Vec<String> = names.iter().map(|name| place.text(&format!("out/{name}"))).collect();
    assert!(after == before);
}

#[test]
fn a_plan_that_was_edited_is_refused_where_runs_are_of_another() {
    let place = finished();
    let plan = |from: &'static str, to: &'static str| move |text: &str| text.replace(from, to);
    refused(
        &place,
        "ablation.toml",
        plan("seeds = [0, 1]", "seeds = [0, 0]"),
        "resume",
        &["seeds", "0 twice"],
    );
    let values = plan("values = [0.5, 0.75]", "values = [0.5, 0.5]");
    refused(&place, "ablation.toml", values, "resume", &["vary.values", "0.5 twice"]);
    let less = plan("values = [0.5, 0.75]", "values = [0.75]");
    for how in ["resume", "redraw"] {
        refused(
            &place,
            "ablation.toml",
            less,
            how,
            &["results.csv", "rows of the plan", "0.5, classify, 1, 0"],
        );
    }
    // Runs are reused where their rows are gone, but not those of other settings.
    let table = place.text("out/results.csv");
    place.write("out/results.csv", table.lines().take(4).collect::<Vec<_>>().join("\n") + "\n");
    let plan = place.text("out/ablation.toml");
    for (from, to, words) in [
        (
            "[pretrain.mae.optim]\n",
            "[pretrain.mae.optim]\nclip_grad = 2.5\n",
            ["optim.clip_grad", "2.5, as the plan"],
        ),
        (
            "[\"optim.batch_size\", 6]",
            "[\"optim.batch_size\", 5]",
            ["optim.batch_size: expected 5", "found 6"],
        ),
    ] {
        place.write("out/ablation.toml", plan.replace(from, to));
        let output = place.run(&["ablate", "--resume", "out"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && words.iter().all(|word| message.contains(word)),
            "{message}"
        );
    }
    place.write("out/ablation.toml", plan);
    place.done(&["ablate", "--resume", "out"]);
    assert_eq!(place.text("out/results.csv").lines().count(), 5);
}

#[test]
fn a_score_whose_samples_are_missing_is_named() {
    let place = finished();
    let without = |samples: &str| {
        let lines = samples.split_inclusive('\n');
        lines.filter(|line| !line.starts_with("0.75,classify,1,1,")).collect::<String>()
    };
    let words = ["resamples.csv", "0.75, classify, 1, 1, , fine-tuning", "one for each score", "none"];
    for how in ["redraw", "run"] {
        refused(&place, "resamples.csv", without, how, &words);
    }
}

#[test]
fn a_candidate_that_diverges_loses() {
    let place = place();
    let more = ["--tune", "optim.lr=1e-3,1000000.0", "--no-finetune", "--epochs", "3", "--json"];
    let rows = place.done(&[&args("mask-ratio=0.5,0.75", "out")[..], &more].concat());
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let judged: Vec<_> = rows.iter().map(|row| (row["tuned"].as_str(), row["probe"].is_number())).collect();
    let (good, bad) = ((Some("0.001"), true), (Some("1000000.0"), false));
    assert_eq!(judged, [good, bad, good, bad, good, good], "{rows:?}");
    assert!(place.text("out/results.md").contains("diverged"));
}

#[test]
fn a_value_that_diverges_has_no_scores_and_the_others_go_on() {
    let place = place();
    let study = [&args("optim.lr=1e-3,1000000.0", "out")[..], &["--no-finetune", "--epochs", "3"]].concat();
    let output = place.run(&[&study[..], &["--json"]].concat());
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let judged: Vec<_> = rows.iter().map(|row| (row["value"].as_str(), row["probe"].is_number())).collect();
    let (good, bad) = ((Some("0.001"), true), (Some("1000000.0"), false));
    assert_eq!(judged, [good, bad, good, bad]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("1000000.0, labels 1, seed 0 diverged"));
    let said = "since training diverged: 1000000.0, labels 1, seed 0; 1000000.0, labels 1, seed 1";
    assert!(place.text("out/results.md").contains(said), "{}", place.text("out/results.md"));
    place.done(&["ablate", "--resume", "out"]);
}

#[test]
fn a_run_whose_report_is_missing_gets_it_and_redrawing_leaves_the_tables_alone() {
    let place = finished();
    let report = "out/mask-ratio=0.5/seed-0/pretrain/report.html";
    std::fs::remove_file(place.path(report)).unwrap();
    let table = place.text("out/results.csv");
    let without = |lines: &str| {
        lines.lines().filter(|line| !line.starts_with("0.5,classify,1,0")).collect::<Vec<_>>().join("\n")
            + "\n"
    };
    place.write("out/results.csv", without(&table));
    let samples = place.text("out/resamples.csv");
    place.done(&["ablate", "--resume", "out", "--redraw"]);
    assert_eq!((place.text("out/results.csv"), place.text("out/resamples.csv")), (without(&table), samples));
    place.done(&["ablate", "--resume", "out"]);
    assert!(place.path(report).is_file());
    place.refused(&["ablate", "--redraw", "--vary", "mask-ratio=0.5,0.6", "--out", "new"], &["--redraw"]);
    place.refused(&["ablate", "--redraw", "--out", "new"], &["--redraw"]);
}

#[test]
fn other_data_than_that_of_the_rows_before_is_refused() {
    let place = finished();
    let table = place.text("out/results.csv");
    let first: Vec<&str> = table.lines().filter(|line| !line.contains(",classify,1,1,")).collect();
    place.write("out/results.csv", first.join("\n") + "\n");
    for value in ["0.5", "0.75"] {
        std::fs::remove_dir_all(place.path(&format!("out/mask-ratio={value}/seed-1"))).unwrap();
    }
    std::fs::remove_file(place.path("set/train/down/03.png")).unwrap();
    let words = ["mask-ratio=0.5/seed-0/pretrain/checkpoint", "data digest", "other seeds"];
    let output = place.run(&["ablate", "--resume", "out"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && words.iter().all(|word| message.contains(word)), "{message}");
    assert!(!place.path("out/mask-ratio=0.5/seed-1/pretrain").exists(), "nothing is left of the run");
}

#[test]
fn no_two_values_share_a_folder() {
    let place = place();
    classes(&place, "set/a/train", &["across", "down"], 12);
    classes(&place, "set_a/train", &["across", "down"], 12);
    let mut study =
        vec!["ablate", "--vary", "data.path=set/a,set_a", "--seeds", "1", "--config", "tiny.toml"];
    study.extend(["--no-finetune", "--out", "out"]);
    place.done(&study);
    for folder in ["set%2Fa", "set_a"] {
        assert!(
            place.path(&format!("out/data.path={folder}/seed-0/pretrain/checkpoint")).is_dir(),
            "{folder}"
        );
    }
}
