//! Damage: what is missing, cut, foreign or changed is said, and is never healthy.

use super::*;
use crate::forge::reseal;
use std::path::Path;
use vit_mae::audit::doctor::examine;

#[test]
fn what_is_no_run_is_refused() {
    let place = Place::new();
    place.refused(&["audit", "doctor", "nowhere"], &["nowhere", "a run directory", "nothing of this name"]);
    place.refused(&["audit", "doctor", "tiny.toml"], &["a run directory", "a file"]);
    place.refused(&["audit", "doctor", "images"], &["images", "neither"]);
    place.write("bad/config.toml", "nonsense");
    place.refused(&["audit", "doctor", "bad"], &["bad", "config.toml", "settings"]);
    place.write("huge/config.toml", vec![b'#'; 2 << 20]);
    place.refused(&["audit", "doctor", "huge"], &["huge", "file length"]);
}

#[test]
fn a_log_without_a_record_is_not_healthy() {
    let place = trained(&["--epochs", "4"]);
    place.write("run/metrics.jsonl", "");
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["bytes that the checkpoint counts", "found 0 bytes"]);
    fs::remove_file(place.path("run/metrics.jsonl")).unwrap();
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["metrics.jsonl"]);
    fs::remove_dir_all(place.path("run/checkpoint")).unwrap();
    place.write("run/metrics.jsonl", "");
    assert_found(&diagnose(&place, &[]).1, "files", "problem", &["has no record"]);
    fs::remove_file(place.path("run/metrics.jsonl")).unwrap();
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert!(report["summary"].as_str().unwrap().starts_with("not healthy"));
}

#[test]
fn a_torn_line_is_a_note_and_a_wrong_line_or_a_cut_log_a_problem() {
    let place = trained(&[]);
    let log = place.text("run/metrics.jsonl");
    place.write("run/metrics.jsonl", format!("{log}{{\"kind\":\"st"));
    let diagnosis = diagnose(&place, &[]);
    assert_healthy(&diagnosis);
    assert_found(&diagnosis.1, "files", "note", &["cut short"]);

    let wrong = log.replacen("\"loss\":", "\"loss\":\"x\",\"y\":", 5);
    place.write("run/metrics.jsonl", wrong);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["line 1"]);

    let lines: Vec<&str> = log.lines().collect();
    let (before, after) = log.split_once("\"lr\":").unwrap();
    place.write("run/metrics.jsonl", format!("{before}\"lr\":1{after}"));
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["chain in line"]);

    place.write("run/metrics.jsonl", lines[..lines.len() / 2].join("\n") + "\n");
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["before the checkpoint's step"]);

    // The last record is of an epoch: no step is missing, and yet the run cannot go on with the log.
    place.write("run/metrics.jsonl", lines[..lines.len() - 1].join("\n") + "\n");
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["that the checkpoint counts"]);

    let other = log.replace("\"train_loss\":0.", "\"train_loss\":1.");
    place.write("run/metrics.jsonl", other);
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["the checkpoint remembers"]);
}

#[test]
fn a_checkpoint_that_is_missing_foreign_or_cut_is_a_problem() {
    let place = trained(&["--epochs", "4"]);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mae_v1.f32.safetensors");
    let model = place.read("run/checkpoint/model.safetensors");
    let state = place.read("run/checkpoint/state.bin");
    let sick = |words: &[&str]| {
        let (code, report) = diagnose(&place, &[]);
        assert_eq!(code, 1);
        assert_found(&report, "files", "problem", words);
    };
    place.write("run/checkpoint/model.safetensors", fs::read(golden).unwrap());
    sick(&["model.safetensors", "tensors"]);
    place.write("run/checkpoint/model.safetensors", &model[..model.len() / 2]);
    sick(&["model.safetensors"]);
    place.write("run/checkpoint/model.safetensors", &model);
    place.write("run/checkpoint/optimizer.safetensors", &model);
    sick(&["optimizer.safetensors"]);
    place.write("run/checkpoint/state.bin", &state[..30]);
    sick(&["state.bin"]);
    fs::remove_file(place.path("run/checkpoint/state.bin")).unwrap();
    sick(&["checkpoint"]);
    fs::remove_dir_all(place.path("run/checkpoint")).unwrap();
    sick(&["there is no checkpoint, though step 32 is done"]);
}

#[test]
fn no_flipped_byte_makes_a_panic_or_a_healthy_checkpoint() {
    let place = trained(&["--epochs", "4"]);
    assert!(examine(&place.path("run"), Some(&place.path("images"))).is_ok());
    let examined = |run: &Path| examine(run, Some(&place.path("images")));
    for name in [
        "config.toml",
        "metrics.jsonl",
        "checkpoint/model.safetensors",
        "checkpoint/optimizer.safetensors",
        "checkpoint/state.bin",
    ] {
        let path = place.path("run").join(name);
        let good = fs::read(&path).unwrap();
        for i in 0..12 {
            // Places near the start, where headers are, and evenly over the rest.
            let at = if i < 6 { i * 7 % good.len() } else { (i - 5) * (good.len() - 1) / 7 };
            let mut bad = good.clone();
            bad[at] ^= 1 << (i % 8);
            fs::write(&path, &bad).unwrap();
            let report = examined(&place.path("run"));
            if name.starts_with("checkpoint") {
                assert!(!report.is_ok_and(|r| r.healthy()), "{name}, byte {at}");
            }
        }
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn the_text_has_the_verdicts_the_table_and_what_to_try() {
    let place = trained(&["--set", "optim.lr=0.0", "--epochs", "3"]);
    let output = place.run(&["audit", "doctor", "run"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for word in [
        "learning rate       problem",
        "What to try",
        "  1. set a learning rate",
        "encoder weights",
        "run: not healthy",
    ] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    let help = place.done(&["audit", "doctor", "--help"]);
    for word in ["Examples:", "Exit codes", "--json", "--data"] {
        assert!(help.contains(word), "no {word} in {help}");
    }
}

#[test]
fn settings_that_promise_more_than_there_is_do_not_fill_the_memory() {
    let place = trained(&["--epochs", "4"]);
    let vast = |text: &str| {
        let text =
            text.replace("\nembed_dim = 32", "\nembed_dim = 8192").replace("\ndepth = 1", "\ndepth = 12");
        assert!(text.contains("8192"));
        text
    };
    place.write("run/config.toml", vast(&place.text("run/config.toml")));
    reseal(&place, |state| {
        state.config_toml = vast(&state.config_toml);
        state.config_digest = crc32fast::hash(state.config_toml.as_bytes());
    });
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "files", "problem", &["numbers, as the settings say"]);
    place.refused(&["inspect", "run"], &["numbers, as the settings say"]);
}
