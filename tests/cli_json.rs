//! Claim: every command that prints results prints with `--json` one JSON document on stdout and nothing else there, and
//! with `--log-format json` one JSON object a line on stderr.

mod common;
#[path = "common/labelled.rs"]
mod labelled;

use common::Place;
use labelled::classes;
use serde_json::Value;

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
    &["data", "info", "set"],
    &["data", "verify", "set"],
    &["data", "preview", "set", "--out", "sheet.png"],
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
