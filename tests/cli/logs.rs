//! Claim: what TensorBoard and spreadsheets get of a run is its log and its pictures, all of them, once each, also if the
//! run was resumed and took steps again.

use crate::common::Place;
use crate::events::Shown;
use crate::labelled::classes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// Images with a validation split.
fn place() -> Place {
    let place = Place::new();
    place.images("pictures/train", 16, (8, 8), 1);
    place.images("pictures/validation", 8, (8, 8), 1);
    place
}

fn pretrain(place: &Place, args: &[&str]) {
    place.pretrain(&[&["--data", "pictures", "--out", "run"], args].concat());
}

fn log(place: &Place, run: &str) -> Vec<Value> {
    let log = place.text(&format!("{run}/metrics.jsonl"));
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The event files in a folder, in the order of their names.
fn event_files(place: &Place, folder: &str) -> Vec<Vec<u8>> {
    let mut names: Vec<_> =
        fs::read_dir(place.path(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.iter().all(|name| name.to_string_lossy().contains("tfevents")), "{names:?}");
    names.iter().map(|name| fs::read(name).unwrap()).collect()
}

/// The points that a log gives: step and value by tag.
fn expected(log: &[Value]) -> BTreeMap<String, Vec<(i64, f32)>> {
    let mut all: BTreeMap<String, Vec<(i64, f32)>> = BTreeMap::new();
    for record in log {
        let tags: &[(&str, &str)] = match record["kind"].as_str().unwrap() {
            "step" => &[
                ("train/loss", "loss"),
                ("train/lr", "lr"),
                ("train/grad_norm", "grad_norm"),
                ("train/images_per_s", "images_per_s"),
            ],
            "epoch" => &[
                ("epoch/train_loss", "train_loss"),
                ("epoch/images_per_s", "images_per_s"),
                ("held_out/loss", "held_out_loss"),
                ("held_out/accuracy", "held_out_accuracy"),
            ],
            "validation" => &[("held_out/top1", "top1"), ("held_out/top5", "top5")],
            _ => &[],
        };
        for (tag, key) in tags {
            #[allow(clippy::cast_possible_truncation, reason = "TensorBoard's scalars are single precision")]
            if let Some(value) = record[key].as_f64() {
                let step = record["step"].as_i64().unwrap();
                all.entry((*tag).to_owned()).or_default().push((step, value as f32));
            }
        }
    }
    all
}

fn assert_shows(shown: &Shown, log: &[Value]) {
    let points = |all: &[(i64, f64, f32)]| all.iter().map(|&(step, _, value)| (step, value)).collect();
    let found: BTreeMap<String, Vec<(i64, f32)>> =
        shown.scalars.iter().map(|(tag, all)| (tag.clone(), points(all))).collect();
    assert_eq!(found, expected(log));
}

#[test]
fn tensorboard_gets_every_number_and_every_picture() {
    let place = place();
    pretrain(&place, &["--set", "run.pictures_every_epochs=1"]);
    place.done(&["export", "run", "--to", "tensorboard", "--out", "board"]);
    let shown = Shown::read(&event_files(&place, "board"));
    assert_shows(&shown, &log(&place, "run"));
    assert_eq!(shown.scalars["held_out/loss"].len(), 2);
    let images = &shown.images["reconstructions"];
    for (epoch, (step, [height, width, channels], png)) in (1..).zip(images) {
        assert_eq!(*step, 2 * epoch);
        assert!(*png == place.read(&format!("run/reconstructions/epoch-{epoch:04}.png")));
        let picture = image::load_from_memory(png).unwrap();
        let found = [picture.height(), picture.width(), picture.color().channel_count().into()];
        assert_eq!(found.map(u64::from), [*height, *width, *channels]);
    }
    assert_eq!((images.len(), shown.images.len()), (2, 1));
    let last = fs::metadata(place.path("run/metrics.jsonl")).unwrap().modified().unwrap();
    let last = last.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    for points in shown.scalars.values() {
        assert!(points.windows(2).all(|pair| pair[0].1 <= pair[1].1), "time goes on: {points:?}");
        assert!(points.iter().all(|point| point.1 <= last + 1e-6 && last - point.1 < 600.0), "{points:?}");
    }
}

#[test]
fn a_classifiers_accuracy_and_confusion_are_shown() {
    let place = Place::trained(&["--epochs", "1"]);
    classes(&place, "set/train", &["across", "down"], 16);
    classes(&place, "set/test", &["across", "down"], 4);
    let args = ["finetune", "--checkpoint", "run", "--data", "set", "--epochs", "2", "--batch-size", "8"];
    place.done(&[&args[..], &["--out", "tuned", "--tensorboard"]].concat());
    place.done(&["export", "tuned", "--to", "tensorboard", "--out", "board"]);
    for folder in ["board", "tuned/tensorboard"] {
        let shown = Shown::read(&event_files(&place, folder));
        assert_shows(&shown, &log(&place, "tuned"));
        assert_eq!(shown.scalars["held_out/accuracy"].len(), 2);
        let confusion = shown.images["confusion_matrix"].last().unwrap();
        assert!(confusion.2 == place.read("tuned/confusion.png"), "{folder}");
    }
}

#[test]
fn steps_that_are_taken_again_are_shown_once() {
    let place = place();
    let sets = ["run.checkpoint_every_steps=1", "run.pictures_every_epochs=1"];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    pretrain(&place, &[&["--epochs", "3", "--keep", "9", "--tensorboard"], &sets[..]].concat());
    let whole = log(&place, "run");
    assert_shows(&Shown::read(&event_files(&place, "run/tensorboard")), &whole);
    // As after a crash behind step 3: the event file knows steps that the checkpoint does not.
    for back in [3, 2, 6] {
        fs::rename(place.path("run/checkpoint"), place.path("away")).unwrap();
        let older = place.path(&format!("run/checkpoints/step-{back:08}"));
        let older = if older.is_dir() { older } else { place.path("away") };
        fs::rename(older, place.path("run/checkpoint")).unwrap();
        let _ = fs::remove_dir_all(place.path("away"));
        place.done(&["pretrain", "--resume", "run"]);
        let files = event_files(&place, "run/tensorboard");
        let shown = Shown::read(&files);
        assert!(files.len() > 1 && shown.dropped > 0, "{} files, {shown:?}", files.len());
        assert_shows(&shown, &log(&place, "run"));
        let steps: Vec<i64> = shown.images["reconstructions"].iter().map(|image| image.0).collect();
        assert_eq!(steps, [2, 4, 6], "resumed at {back}");
    }
}

#[test]
fn a_resumed_run_can_begin_to_be_shown_and_a_new_one_replaces_what_was() {
    let place = place();
    pretrain(&place, &[]);
    assert!(!place.path("run/tensorboard").exists());
    place.done(&["pretrain", "--resume", "run", "--epochs", "3", "--tensorboard"]);
    let shown = Shown::read(&event_files(&place, "run/tensorboard"));
    assert_shows(&shown, &log(&place, "run"));
    pretrain(&place, &["--overwrite", "--epochs", "1", "--tensorboard"]);
    let files = event_files(&place, "run/tensorboard");
    assert_eq!(files.len(), 1);
    assert_shows(&Shown::read(&files), &log(&place, "run"));
    pretrain(&place, &["--overwrite", "--epochs", "1"]);
    assert!(!place.path("run/tensorboard").exists());
}

#[test]
fn a_table_has_every_record_and_every_key() {
    let place = place();
    pretrain(&place, &[]);
    place.done(&["pretrain", "--resume", "run", "--epochs", "3", "--blr", "1e-4"]);
    place.done(&["export", "run", "--to", "csv", "--out", "log.csv"]);
    let (log, table) = (log(&place, "run"), place.text("log.csv"));
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let columns = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    assert_eq!(rows.len(), log.len());
    assert!(log.iter().any(|record| record["kind"] == "change"));
    for (row, record) in rows.iter().zip(&log) {
        let record = record.as_object().unwrap();
        for (key, value) in record.iter().filter(|(_, value)| !value.is_null()) {
            let cell = row[columns.iter().position(|column| column == key).unwrap()];
            match value.as_f64() {
                Some(number) => assert_eq!(cell.parse::<f64>().unwrap(), number, "{key}"),
                None => assert_eq!(cell, value.as_str().unwrap(), "{key}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_exported_is_refused_and_nothing_is_left() {
    let place = place();
    pretrain(&place, &[]);
    let export = |to, out| ["export", "run", "--to", to, "--out", out];
    place.write("log.csv", "mine");
    place.write("board/events.out.tfevents.1.mine", "mine");
    place.refused(&export("csv", "log.csv"), &["--out", "log.csv", "--overwrite"]);
    place.refused(&export("csv", "log.txt"), &["--out", ".csv"]);
    place.refused(&export("csv", "nowhere/log.csv"), &["--out", "folder that exists"]);
    place.refused(&export("tensorboard", "board"), &["--out", "tfevents.1.mine"]);
    let replacing = [&export("tensorboard", "board")[..], &["--overwrite"]].concat();
    place.refused(&replacing, &["--out", "tfevents.1.mine"]);
    assert_eq!(place.text("board/events.out.tfevents.1.mine"), "mine");
    fs::remove_file(place.path("board/events.out.tfevents.1.mine")).unwrap();
    place.done(&export("tensorboard", "board"));
    place.refused(&export("tensorboard", "board"), &["--out", "tfevents", "--overwrite"]);
    place.refused(&export("tensorboard", "log.csv"), &["--out", "log.csv"]);
    place.refused(&["export", "images", "--to", "csv", "--out", "a.csv"], &["images", "config.toml"]);
    place.refused(&["export", "run", "--to", "parquet", "--out", "a"], &["parquet", "csv", "tensorboard"]);
    place.done(&replacing);
    assert_eq!(event_files(&place, "board").len(), 1);
    let sheet = "run/reconstructions/epoch-0002.png";
    let png = place.read(sheet);
    place.write(sheet, &png[..20]);
    place.refused(&export("tensorboard", "b"), &["epoch-0002.png", "PNG"]);
    place.write(sheet, png);
    let log = place.text("run/metrics.jsonl");
    place.write("run/metrics.jsonl", format!("{log}{{\"kind\":\"st"));
    let exported = place.run(&[&export("csv", "torn.csv")[..], &["--json"]].concat());
    let document: Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert_eq!(document["torn"], true);
    assert!(String::from_utf8_lossy(&exported.stderr).contains("cut short"));
    place.write("run/metrics.jsonl", log.replacen("\"loss\"", "\"lost\"", 1));
    place.refused(&export("csv", "a.csv"), &["metrics.jsonl", "line 1"]);
    place.refused(&export("tensorboard", "b"), &["metrics.jsonl", "line 1"]);
    fs::remove_file(place.path("run/metrics.jsonl")).unwrap();
    place.refused(&export("csv", "a.csv"), &["metrics.jsonl"]);
}
