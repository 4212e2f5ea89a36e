//! Claim: a run that was interrupted anywhere and resumed leaves the same bits as one that was not: weights,
//! moments, log, pictures. What must not change on the way is refused by name; what may is put down.

use crate::common::Place;
use crate::common::run::{StopAfter, log};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use vit_mae::Error;
use vit_mae::checkpoint::Checkpoint;
use vit_mae::tasks::{Config, Pretrain};
use vit_mae::train::metrics::{EpochRecord, StepRecord};
use vit_mae::train::{Observer, Run, RunDir};

const SETS: [&str; 5] = [
    "run.pictures_every_epochs=1",
    "run.digest_every_steps=2",
    "run.checkpoint_every_epochs=2",
    "optim.clip_grad=0.5",
    "data.flip=true",
];

/// Two accumulated batches a step, 3 steps an epoch, 3 epochs, with crops and a held-out loss.
fn place() -> Place {
    let place = Place::new();
    place.images("pictures/train", 26, (12, 12), 1);
    place.images("pictures/validation", 5, (12, 12), 1);
    place
}

fn args(out: &str) -> Vec<&str> {
    let mut args = vec!["pretrain", "--config", "tiny.toml", "--data", "pictures", "--crop", "0.5,1"];
    args.extend(["--epochs", "3", "--batch-size", "4", "--accum-iter", "2", "--out", out]);
    args.extend(SETS.iter().flat_map(|set| ["--set", set]));
    args
}

/// What the run consists of, but for measured times.
#[derive(Debug, PartialEq)]
struct Left {
    model: Vec<u8>,
    moments: Vec<u8>,
    log: Vec<Value>,
    chain: [u8; 32],
    pictures: Vec<Vec<u8>>,
    config: String,
    curve: String,
}

fn read(place: &Place, out: &str) -> Left {
    let checkpoint = Checkpoint::open(&place.path(out)).unwrap();
    Left {
        model: place.read(&format!("{out}/checkpoint/model.safetensors")),
        moments: place.read(&format!("{out}/checkpoint/optimizer.safetensors")),
        log: log(place, out),
        chain: checkpoint.state.log.chain,
        pictures: (1..=3).map(|n| place.read(&format!("{out}/reconstructions/epoch-000{n}.png"))).collect(),
        config: place.text(&format!("{out}/config.toml")),
        curve: place.text(&format!("{out}/loss.svg")),
    }
}

/// Settings as the program resolves them, with the data's path made absolute for this process.
fn config(place: &Place) -> Config {
    let text = |text: &str| -> toml::Value { text.parse().unwrap() };
    let mut flags = vec![
        ("data.path".to_owned(), toml::Value::from(place.path("pictures").to_str().unwrap())),
        ("data.crop".to_owned(), text("[0.5, 1.0]")),
        ("optim.epochs".to_owned(), text("3")),
        ("optim.batch_size".to_owned(), text("4")),
        ("optim.accum_iter".to_owned(), text("2")),
    ];
    flags.extend(SETS.iter().map(|set| {
        let (key, value) = set.split_once('=').unwrap();
        (key.to_owned(), text(value))
    }));
    Config::resolve("nano", Some(&place.path("tiny.toml")), flags).unwrap()
}

/// Notes what is saved when it hears that the run is trained: the checkpoint's step, and whether there is a report.
struct Saved(PathBuf, Vec<(u64, bool)>);

impl Observer for Saved {
    fn step(&mut self, _: &StepRecord, _: u64) {}
    fn epoch(&mut self, _: &EpochRecord) {}
    fn should_stop(&self) -> Option<u8> {
        None
    }
    fn trained(&mut self) {
        let saved = Checkpoint::open(&self.0).unwrap().state.step;
        self.1.push((saved, self.0.join("report.html").is_file()));
    }
}

#[test]
fn a_run_that_is_trained_says_so_when_all_is_saved_and_before_it_is_judged() {
    let place = place();
    let run = RunDir::create(Some(place.path("run")), false).unwrap();
    let mut observer = Saved(place.path("run"), Vec::new());
    Run::<Pretrain>::new(config(&place), &(), || Ok(run)).unwrap().train("", &mut observer).unwrap();
    assert_eq!(observer.1, [(9, false)], "so that from here on a signal may end the program at once");
}

#[test]
fn a_run_interrupted_after_any_step_ends_with_the_same_bits() {
    let place = place();
    let config = config(&place);
    let whole = RunDir::create(Some(place.path("whole")), false).unwrap();
    Run::<Pretrain>::new(config.clone(), &(), || Ok(whole))
        .unwrap()
        .train("", &mut StopAfter(u64::MAX))
        .unwrap();
    let whole = read(&place, "whole");
    assert_eq!(whole.log.len(), 9 + 3, "3 epochs of 3 steps");
    for step in 1..9 {
        let out = format!("after-{step}");
        let run = RunDir::create(Some(place.path(&out)), false).unwrap();
        let mut run = Run::<Pretrain>::new(config.clone(), &(), || Ok(run)).unwrap();
        let error = run.train("", &mut StopAfter(step)).unwrap_err();
        assert!(matches!(error, Error::Interrupted { step: found, .. } if found == step), "{error}");
        drop(run);
        // Again after one more step, so that a resumed run is interrupted, too.
        let again = RunDir::open(place.path(&out)).unwrap();
        let mut again = Run::<Pretrain>::resume(again, |before| Ok(before.clone())).unwrap();
        assert_eq!(again.steps_done(), step);
        again.train("", &mut StopAfter(1)).unwrap_err();
        drop(again);
        let last = RunDir::open(place.path(&out)).unwrap();
        let mut last = Run::<Pretrain>::resume(last, |before| Ok(before.clone())).unwrap();
        last.train("", &mut StopAfter(u64::MAX)).unwrap();
        drop(last);
        assert!(read(&place, &out) == whole, "interrupted after step {step} and the one after it");
    }
}

#[test]
fn other_threads_and_a_moved_directory_change_no_bit() {
    let place = place();
    place.done(&args("whole"));
    let run = RunDir::create(Some(place.path("begun")), false).unwrap();
    let mut begun = Run::<Pretrain>::new(config(&place), &(), || Ok(run)).unwrap();
    begun.train("", &mut StopAfter(4)).unwrap_err();
    drop(begun);
    fs::rename(place.path("begun"), place.path("moved")).unwrap();
    let printed = place.done(&["pretrain", "--resume", "moved", "--data", "pictures", "--threads", "3"]);
    assert!(printed.contains("resumed  after 4 steps"), "{printed}");
    let (mut whole, mut moved) = (read(&place, "whole"), read(&place, "moved"));
    // The one change is where the data lies: it stands in the log, in the settings, and so in the chain.
    let change = moved.log.remove(4 + 1);
    assert_eq!((change["kind"].as_str(), change["key"].as_str()), (Some("change"), Some("data.path")));
    for run in [&mut whole, &mut moved] {
        run.chain = [0; 32];
        run.log.iter_mut().for_each(|record| drop(record.as_object_mut().unwrap().remove("chain")));
    }
    assert!(moved == whole, "{moved:?} and {whole:?}");
    assert!(!place.path("moved/vit-mae.lock").exists());
}

#[test]
fn a_run_resumes_from_its_folder_or_its_checkpoint_and_says_if_there_is_none() {
    let place = Place::trained(&[]);
    let before = place.read("run/checkpoint/model.safetensors");
    place.done(&["pretrain", "--resume", "run"]);
    place.done(&["pretrain", "--resume", "run/checkpoint"]);
    assert!(place.read("run/checkpoint/model.safetensors") == before, "a finished run has nothing to do");
    place.refused(&["pretrain", "--resume", "nowhere"], &["nowhere", "config.toml", "a run directory"]);
    place.refused(&["pretrain", "--resume", "run", "--out", "x"], &["--resume", "--out"]);
    place.refused(&["pretrain", "--resume", "run", "--preset", "nano"], &["--resume", "--preset"]);
    fs::remove_dir_all(place.path("run/checkpoint")).unwrap();
    place.refused(&["pretrain", "--resume", "run"], &["run: checkpoint", "a folder without one"]);
    // Killed before the first checkpoint: nothing is lost by beginning again.
    fs::remove_file(place.path("run/metrics.jsonl")).unwrap();
    place.done(&["pretrain", "--resume", "run"]);
    assert!(place.read("run/checkpoint/model.safetensors") == before);
}

#[test]
fn what_must_not_change_is_refused_with_both_values() {
    let place = Place::trained(&[]);
    place.images("others", 16, (8, 8), 1);
    place.image("others/00.png", 77, (8, 8), 3);
    let refused = |flags: &[&str], words: &[&str]| {
        place.refused(&[&["pretrain", "--resume", "run"], flags].concat(), words);
    };
    for (flags, words) in [
        (&["--seed", "1"][..], ["run.seed", "expected 0,", "found 1"]),
        (&["--set", "model.embed_dim=32"], ["model.embed_dim", "16,", "32"]),
        (&["--norm-pix-loss"], ["model.norm_pix_loss", "false", "true"]),
        (&["--mask-ratio", "0.5"], ["mask.mask_ratio", "0.75", "0.5"]),
        (&["--batch-size", "4"], ["optim.batch_size", "8,", "4"]),
        (&["--accum-iter", "2"], ["optim.accum_iter", "1,", "2"]),
        (&["--crop", "0.5,1"], ["data.crop", "none", "[0.5, 1.0]"]),
        (&["--data", "others"], ["others: data digest", "expected", "found"]),
        (&["--epochs", "1"], ["optim.epochs", "at least 2", "1"]),
        (&["--keep", "0"], ["run.keep", "at least 1", "0"]),
    ] {
        refused(flags, &words);
    }
}

#[test]
fn what_may_change_works_and_is_put_down() {
    let place = Place::trained(&[]);
    let changes = ["--epochs", "3", "--blr", "0.001", "--keep", "2", "--set", "run.log_every_steps=2"];
    let printed = place.done(&[&["pretrain", "--resume", "run"], &changes[..]].concat());
    assert!(printed.contains("changed  optim.epochs from 2 to 3"), "{printed}");
    let log = place.text("run/metrics.jsonl");
    let changed: Vec<&str> = log.lines().filter(|line| line.contains("\"kind\":\"change\"")).collect();
    assert_eq!(changed.len(), 4, "{log}");
    assert!(log.contains(r#"{"kind":"change","step":4,"key":"optim.epochs","from":"2","to":"3"}"#), "{log}");
    let config = place.text("run/config.toml");
    assert!(config.contains("epochs = 3") && config.contains("keep = 2"), "{config}");
    let state = Checkpoint::open(&place.path("run")).unwrap().state;
    assert_eq!((state.step, state.epoch, state.changes.len()), (6, 3, 4));
    assert!(place.text("run/report.html").contains("Changed after step 4: optim.epochs from 2 to 3."));
    // Warm-up, which is over, did not change with the epochs.
    assert!(!log.contains("warmup_epochs"));
}

#[test]
fn a_step_replayed_has_the_bits_of_the_log_also_across_a_change_of_settings() {
    let place = Place::trained(&["--set", "run.digest_every_steps=3", "--keep", "3"]);
    place.done(&["pretrain", "--resume", "run", "--epochs", "4", "--clip-grad", "0.1", "--blr", "0.01"]);
    for step in 1..=8 {
        let step = step.to_string();
        let printed = place.done(&["audit", "replay", "run", "--step", &step, "--json"]);
        let found: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(found["agree"], true, "{printed}");
        let names: Vec<&str> =
            found["compared"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["loss", "lr", "grad_norm", "weights_digest"], "{printed}");
    }
    place.refused(&["audit", "replay", "run", "--step", "9"], &["--step", "1 to 8", "9"]);
    let log = place.text("run/metrics.jsonl");
    place.write("run/metrics.jsonl", log.replacen("\"grad_norm\":", "\"grad_norm\":1", 1));
    place.refused(&["audit", "replay", "run", "--step", "1"], &["metrics.jsonl: chain in line"]);
    place.write("run/metrics.jsonl", &log);
    // A run that was trained by another program, here with other images of the same names and lengths.
    let len = place.read("images/00.png").len();
    let pixels = image::open(place.path("images/00.png")).unwrap().to_luma8();
    let same_length = (0..64).any(|at| {
        let mut other = pixels.clone();
        other.put_pixel(at % 8, at / 8, image::Luma([pixels.get_pixel(at % 8, at / 8).0[0] ^ 0x80]));
        other.save(place.path("images/00.png")).unwrap();
        place.read("images/00.png").len() == len
    });
    assert!(same_length, "the digest of a folder sees names and lengths");
    let output = place.run(&["audit", "replay", "run", "--step", "1"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("OTHER BITS"), "{printed}");
}

#[test]
fn single_bad_steps_are_skipped_and_counted_if_asked_for() {
    let place = Place::new();
    // Dark pictures, and one whose brightness overflows with this standard deviation.
    for i in 0..16 {
        let brightness = if i == 5 { 255 } else { 0 };
        let picture = image::GrayImage::from_pixel(8, 8, image::Luma([brightness]));
        fs::create_dir_all(place.path("dark")).unwrap();
        picture.save(place.path(&format!("dark/{i:02}.png"))).unwrap();
    }
    let base = ["pretrain", "--config", "tiny.toml", "--data", "dark", "--out"];
    let sets = ["--set", "data.mean=[0.0]", "--set", "data.std=[1e-30]"];
    let output = place.run(&[&base[..], &["stopped"], &sets].concat());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("the loss is not finite") && message.contains("is intact"), "{message}");
    let skip = ["--on-nonfinite", "skip"];
    let printed = place.done(&[&base[..], &["run"], &sets, &skip].concat());
    assert!(printed.contains("steps skipped (not finite)"), "{printed}");
    let log = place.text("run/metrics.jsonl");
    assert_eq!(log.matches("\"kind\":\"skipped\"").count(), 2, "one of two steps in each epoch: {log}");
    assert_eq!(log.matches("\"skipped_steps\":1").count(), 2, "{log}");
    // The run that stopped goes on, with this.
    place.done(&[&["pretrain", "--resume", "stopped"], &skip[..]].concat());
    assert!(
        place.read("stopped/checkpoint/model.safetensors") == place.read("run/checkpoint/model.safetensors")
    );
}

/// Runs the program in a folder of the place.
fn run_in(place: &Place, folder: &str, args: &[&str]) -> (Option<i32>, String) {
    fs::create_dir_all(place.path(folder)).unwrap();
    let mut program = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    let output = program.current_dir(place.path(folder)).args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_run_finds_its_data_from_another_folder_and_says_data_where_it_cannot() {
    let place = Place::trained(&["--epochs", "1"]);
    place.pretrain(&["--epochs", "1", "--out", "whole"]);
    place.done(&["pretrain", "--resume", "whole", "--epochs", "2"]);
    let resume = ["pretrain", "--resume", "../../run", "--epochs", "2"];
    let (code, message) = run_in(&place, "some/where", &resume);
    assert_eq!(code, Some(0), "{message}");
    assert!(
        place.read("run/checkpoint/model.safetensors") == place.read("whole/checkpoint/model.safetensors")
    );
    let log = place.text("run/metrics.jsonl");
    assert!(log.contains(r#""key":"data.path""#), "where the data was found stands in the log: {log}");
    // Commands that take the data from the run's settings find it, too.
    let features = ["features", "--checkpoint", "../../whole", "--out", "f.npy"];
    assert_eq!(run_in(&place, "some/where", &features).0, Some(0));

    // Both moved: `--data` names the new place, and the digest says whether it is the same data.
    fs::create_dir_all(place.path("moved")).unwrap();
    fs::rename(place.path("whole"), place.path("moved/whole")).unwrap();
    fs::rename(place.path("images"), place.path("moved/pictures")).unwrap();
    place.images("moved/others", 16, (8, 8), 1);
    place.image("moved/others/00.png", 77, (8, 8), 3);
    let resume = ["pretrain", "--resume", "whole", "--epochs", "3"];
    let (code, message) = run_in(&place, "moved", &resume);
    let words =
        ["images", place.path("moved").to_str().unwrap(), "--data"].map(|word| message.contains(word));
    assert_eq!((code, words), (Some(2), [true; 3]), "{message}");
    let (code, message) = run_in(&place, "moved", &[&resume[..], &["--data", "others"]].concat());
    assert!(
        code == Some(2) && message.contains("others: data digest") && message.contains("--data"),
        "{message}"
    );
    let (code, message) = run_in(&place, "moved", &[&resume[..], &["--data", "pictures"]].concat());
    assert_eq!(code, Some(0), "{message}");
}

#[test]
fn a_fine_tuned_run_finds_its_data_from_another_folder() {
    let place = Place::trained(&["--epochs", "1"]);
    crate::labelled::classes(&place, "set/train", &["across", "down"], 8);
    crate::labelled::classes(&place, "set/test", &["across", "down"], 4);
    let tune = ["finetune", "--checkpoint", "run", "--data", "set", "--batch-size", "8"];
    place.done(&[&tune[..], &["--epochs", "1", "--out", "tuned"]].concat());
    for args in [&["finetune", "--resume", "../tuned"][..], &["eval", "--checkpoint", "../tuned"]] {
        let (code, message) = run_in(&place, "elsewhere", args);
        assert_eq!(code, Some(0), "{args:?}: {message}");
    }
    fs::rename(place.path("set"), place.path("other-set")).unwrap();
    let (code, message) = run_in(&place, "elsewhere", &["finetune", "--resume", "../tuned"]);
    assert!(code == Some(2) && message.contains("set: ") && message.contains("--data"), "{message}");
    let resume = ["finetune", "--resume", "../tuned", "--data", "../other-set"];
    let (code, message) = run_in(&place, "elsewhere", &resume);
    assert_eq!(code, Some(0), "{message}");
}
