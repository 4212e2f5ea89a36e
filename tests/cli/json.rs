//! Claim: every command that prints results prints with `--json` one JSON document on stdout and nothing else there, and
//! with `--log-format json` one JSON object a line on stderr. A result that is lost on the way is a failure.

use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;
use std::fs::File;
use std::process::{Command, Output, Stdio};

/// Print a program for a shell, and a manual: no results.
const NO_RESULTS: [&str; 3] = ["completions", "man", "help"];

/// A call of every command. They may use what those before them made.
const CALLS: &[&[&str]] = &[
    &["pretrain", "--config", "tiny.toml", "--data", "set", "--epochs", "1", "--out", "run"],
    &["finetune", "--checkpoint", "run", "--epochs", "1", "--batch-size", "8", "--out", "tuned"],
    &["reconstruct", "--checkpoint", "run", "images/00.png", "images/01.png", "--out", "rebuilt.png"],
    &["eval", "--checkpoint", "tuned"],
    &["predict", "--checkpoint", "tuned", "images/00.png"],
    &["probe", "--checkpoint", "run", "--epochs", "2", "--knn", "--k", "3"],
    &["features", "--checkpoint", "run", "--out", "features.npy"],
    &[
        "tokenizer",
        "--data",
        "set",
        "--img-size",
        "8",
        "--patch-size",
        "4",
        "--tokens",
        "8",
        "--out",
        "codebook.safetensors",
    ],
    &[
        "ablate",
        "--vary",
        "mask-ratio=0.5,0.75",
        "--config",
        "tiny.toml",
        "--data",
        "set",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--no-finetune",
        "--out",
        "ratio",
    ],
    &["convert", "run", "weights.safetensors", "--to", "reference"],
    &["export", "run", "--to", "csv", "--out", "log.csv"],
    &["export", "run", "--to", "tensorboard", "--out", "board"],
    &["inspect", "run"],
    &["inspect", "--verify", "run"],
    &["devices"],
    &["bench", "--config", "tiny.toml", "--secs", "0.05", "--ablate", "encoder-with-mask-tokens"],
    &["bench", "--config", "tiny.toml", "--assume-gpu", "15000,12,50"],
    &["bench", "--config", "tiny.toml", "--secs", "0.05", "--assume-network", "1.1,30"],
    &["data", "info", "set"],
    &["data", "verify", "set"],
    &["data", "preview", "set", "--out", "sheet.png"],
    &["data", "export", "scenes:32", "--split", "validation", "--out", "exported"],
    &["audit", "gradcheck", "--layer", "linear"],
    &["audit", "parity", "PARITY"],
    &["audit", "doctor", "run"],
    &["audit", "replay", "run", "--step", "1"],
    &["audit", "trace", "--checkpoint", "run", "--out", "trace"],
];

fn place() -> Place {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 16);
    classes(&place, "set/test", &["across", "down"], 4);
    place
}

/// The commands that a help lists.
fn listed(place: &Place, args: &[&str]) -> Vec<String> {
    let help = place.done(&[args, &["--help"]].concat());
    let commands = help.split_once("Commands:\n").unwrap().1.lines().take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// One document and nothing else.
fn document(text: &str, args: &[&str]) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{args:?}: {e} in {text}"));
    assert!(value.is_object() || value.is_array(), "{args:?}: {value}");
    value
}

#[test]
fn every_command_with_results_prints_them_as_one_document() {
    let place = place();
    let golden = format!("{}/tests/golden/mae_v1.f64.safetensors", env!("CARGO_MANIFEST_DIR"));
    for call in CALLS {
        let call: Vec<&str> = call.iter().map(|&arg| if arg == "PARITY" { &golden } else { arg }).collect();
        let args = [&call[..], &["--json", "--log-format", "json"]].concat();
        let output = place.run(&args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        // The doctor finds a run of four steps unhealthy, which is a result, too.
        let codes: &[i32] = if args.contains(&"doctor") { &[0, 1] } else { &[0] };
        assert!(codes.contains(&output.status.code().unwrap()), "{args:?}: {stderr}");
        document(&String::from_utf8(output.stdout).unwrap(), &args);
        for line in stderr.lines() {
            assert!(document(line, &args)["kind"].is_string(), "{args:?}: {line}");
        }
    }
}

/// Runs the program with another stdout or stderr than a file that takes everything.
fn run_into(place: &Place, args: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
    let mut program = Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    program.current_dir(place.path("")).args(args).stdout(stdout).stderr(stderr).output().unwrap()
}

/// A file on a disk that is always full, where the system has one.
fn full() -> Option<Stdio> {
    File::options().write(true).open("/dev/full").ok().map(Stdio::from)
}

/// A pipe whose reader is gone, as that of `head -1` is.
fn closed() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

#[test]
fn a_result_that_stdout_does_not_take_is_a_failure_of_every_command() {
    let place = place();
    let golden = format!("{}/tests/golden/mae_v1.f64.safetensors", env!("CARGO_MANIFEST_DIR"));
    let others: [&[&str]; 8] = [
        &["--version"],
        &["--help"],
        &["help", "data"],
        &["audit", "parity", "--help"],
        &["completions", "bash"],
        &["completions", "fish"],
        &["man"],
        &["finetune", "--checkpoint", "run", "--print-config"],
    ];
    for call in CALLS.iter().chain(&others) {
        let call: Vec<&str> = call.iter().map(|&arg| if arg == "PARITY" { &golden } else { arg }).collect();
        let Some(full) = full() else { return eprintln!("skipped: no /dev/full here") };
        let output = run_into(&place, &call, full, Stdio::piped());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{call:?}: {stderr}");
        let lost = stderr.lines().filter(|line| line.starts_with("error: cannot write standard output: "));
        assert_eq!(lost.count(), 1, "{call:?}: {stderr}");
    }
    // What they did beside is done.
    place.done(&["inspect", "--verify", "run"]);
    place.done(&["data", "info", "set"]);
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let place = Place::trained(&[]);
    let calls: [&[&str]; 8] = [
        &["--help"],
        &["data", "info", "images"],
        &["data", "verify", "images", "--json"],
        &["inspect", "run"],
        &["inspect", "run", "--json"],
        &["completions", "zsh"],
        &["man"],
        &["pretrain", "--print-config"],
    ];
    for call in calls {
        let output = run_into(&place, call, closed(), Stdio::piped());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{call:?}");
    }
    // A run is worth finishing without anybody to read of it.
    let train = ["pretrain", "--config", "tiny.toml", "--data", "images", "--out", "unread"];
    assert_eq!(run_into(&place, &train, closed(), closed()).status.code(), Some(0));
    place.done(&["inspect", "--verify", "unread"]);
    // What a check found counts, whoever reads of it.
    place.write("images/00.png", "no picture");
    let output = run_into(&place, &["data", "verify", "images"], closed(), Stdio::piped());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn progress_that_stderr_does_not_take_is_a_failure_of_a_run_that_is_finished() {
    let place = Place::new();
    let Some(full) = full() else { return eprintln!("skipped: no /dev/full here") };
    let train =
        ["pretrain", "--config", "tiny.toml", "--data", "images", "--out", "run", "--log-format", "json"];
    let output = run_into(&place, &train, Stdio::piped(), full);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("Try next"), "the run went on");
    place.done(&["inspect", "--verify", "run"]);
}

#[test]
fn no_command_is_left_out() {
    let place = Place::new();
    let called = |at: usize, name: &String| CALLS.iter().any(|call| call.get(at) == Some(&name.as_str()));
    let commands = listed(&place, &[]);
    assert!(commands.len() > 12, "{commands:?}");
    for name in commands.iter().filter(|name| !NO_RESULTS.contains(&name.as_str())) {
        assert!(called(0, name), "{name} is not tried");
    }
    for (group, least) in [("audit", 5), ("data", 3)] {
        let names = listed(&place, &[group]);
        assert!(names.len() > least, "{group}: {names:?}");
        for name in names.iter().filter(|name| *name != "help") {
            assert!(called(1, name), "{group} {name} is not tried");
        }
    }
}

#[test]
fn what_the_documents_say_is_what_happened() {
    let place = place();
    let json = |args: &[&str]| document(&place.done(&[args, &["--json"]].concat()), args);
    let trained = json(CALLS[0]);
    let log = place.text("run/metrics.jsonl");
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(trained["run"], "run");
    assert_eq!(trained["last"]["held_out_loss"], last["held_out_loss"]);
    assert_eq!(json(CALLS[1])["run"], "tuned");
    let rebuilt = json(&[
        "reconstruct",
        "--checkpoint",
        "run",
        "images/03.png",
        "--mask-ratio",
        "0.5",
        "--out",
        "a.png",
    ]);
    let removed = rebuilt["images"][0]["removed"].clone();
    assert_eq!(removed.as_array().unwrap().len(), 8);
    place.write("mask.json", removed.to_string());
    place.done(&[
        "reconstruct",
        "--checkpoint",
        "run",
        "images/03.png",
        "--mask-file",
        "mask.json",
        "--out",
        "b.png",
    ]);
    assert!(place.read("a.png") == place.read("b.png"), "the same patches are removed");
    let features = json(CALLS[6]);
    assert_eq!((&features["images"], &features["width"]), (&32.into(), &16.into()));
    assert_eq!(json(&["inspect", "--verify", "run"])["sound"], true);
    let mut damaged = place.read("run/checkpoint/model.safetensors");
    *damaged.last_mut().unwrap() ^= 1;
    place.write("run/checkpoint/model.safetensors", damaged);
    let output = place.run(&["inspect", "--verify", "run", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let verified = document(&String::from_utf8(output.stdout).unwrap(), &["inspect", "--verify"]);
    let files = verified["checkpoints"][0]["files"].as_array().unwrap();
    let damaged: Vec<_> = files.iter().filter(|file| file["sound"] == false).collect();
    assert!(verified["sound"] == false && damaged.len() == 1, "{verified}");
    assert!(damaged[0]["file"].as_str().unwrap().ends_with("model.safetensors"), "{verified}");
}

#[test]
fn progress_and_errors_are_objects_on_request() {
    let place = Place::new();
    let train =
        ["pretrain", "--config", "tiny.toml", "--data", "images", "--log-format", "json", "--out", "run"];
    let output = place.run(&train);
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<Value> =
        String::from_utf8(output.stderr).unwrap().lines().map(|line| document(line, &train)).collect();
    let log: Vec<Value> =
        place.text("run/metrics.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of_kind = |lines: &[Value], kind: &str| -> Vec<Value> {
        lines.iter().filter(|line| line["kind"] == kind).cloned().collect()
    };
    let epochs = of_kind(&lines, "epoch");
    assert_eq!(epochs.len(), 2);
    for (said, logged) in epochs.iter().zip(of_kind(&log, "epoch")) {
        assert_eq!((&said["train_loss"], &said["epochs"]), (&logged["train_loss"], &2.into()));
    }
    let steps = of_kind(&lines, "step");
    let last = steps.last().unwrap();
    assert_eq!((&last["step"], &last["steps"], &last["epochs"]), (&4.into(), &4.into(), &2.into()));
    let output = place.run(&train);
    assert_eq!(output.status.code(), Some(2));
    let error = document(&String::from_utf8(output.stderr).unwrap(), &train);
    assert_eq!((&error["kind"], &error["exit_code"]), (&"error".into(), &2.into()));
    assert!(error["message"].as_str().unwrap().contains("--overwrite"), "{error}");
}
