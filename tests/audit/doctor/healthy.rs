//! Healthy runs: finished, moved, interrupted.

use super::*;

#[test]
fn a_healthy_run_is_called_healthy_with_every_check_done() {
    let place = trained(&[]);
    let diagnosis = diagnose(&place, &[]);
    assert_healthy(&diagnosis);
    let report = diagnosis.1;
    assert_eq!(with_verdict(&report, "not_done"), [""; 0]);
    assert_found(&report, "masks", "ok", &["12 of 16 patches", "75.0 %"]);
    assert_found(&report, "logged loss", "ok", &["recomputed"]);
    assert_found(&report, "trivial predictors", "ok", &["nearest visible patch"]);
    let groups = report["groups"].as_array().unwrap();
    let decay = |group: &str| groups.iter().find(|g| g["group"] == group).unwrap()["weight_decay"].clone();
    assert_eq!(decay("encoder weights"), 0.05);
    assert_eq!(decay("encoder biases"), 0.0);
    assert_eq!(decay("decoder token"), 0.05);
}

#[test]
fn a_healthy_run_on_normalised_patches_is_called_healthy() {
    let place = trained(&["--norm-pix-loss"]);
    let diagnosis = diagnose(&place, &[]);
    assert_healthy(&diagnosis);
    assert_found(&diagnosis.1, "trivial predictors", "ok", &["each patch's own mean gives 0.7"]);
}

#[test]
fn weights_that_were_converted_are_not_judged_as_if_they_were_trained_here() {
    let place = trained(&["--epochs", "2"]);
    place.done(&["convert", "run", "w.safetensors", "--to", "reference"]);
    fs::remove_dir_all(place.path("run")).unwrap();
    let to_run = ["convert", "w.safetensors", "run", "--to", "run", "--preset", "nano", "--config"];
    place.done(&[&to_run[..], &["small.toml", "--mean", "0.5", "--std", "0.2"]].concat());
    let (_, report) = diagnose(&place, &["--data", "images"]);
    assert_found(&report, "files", "note", &["converted and not trained here"]);
    assert_found(&report, "data", "ok", &["not trained on any data yet"]);
    assert_found(&report, "progress", "note", &["step 0 of", "not trained yet"]);
    assert_found(&report, "dead weights", "not_done", &["converted from elsewhere"]);
    place.refused(&["pretrain", "--resume", "run", "--data", "images"], &["run", "finetune --checkpoint"]);
}

#[test]
fn a_run_that_was_moved_is_diagnosed_without_its_images() {
    let place = trained(&[]);
    fs::create_dir(place.path("elsewhere")).unwrap();
    fs::rename(place.path("run"), place.path("elsewhere/run")).unwrap();
    fs::rename(place.path("images"), place.path("elsewhere/pictures")).unwrap();
    let doctor = |flags: &[&str]| {
        let args = [&["audit", "doctor", "elsewhere/run", "--json"], flags].concat();
        let output = place.run(&args);
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
    };
    let without = doctor(&[]);
    assert_healthy(&without);
    assert_found(&without.1, "data", "not_done", &["images"]);
    assert_found(&without.1, "gradients", "not_done", &["images"]);
    assert_found(&without.1, "finite weights", "ok", &[]);
    assert_found(&without.1, "over-fitting", "ok", &[]);
    let with = doctor(&["--data", "elsewhere/pictures"]);
    assert_healthy(&with);
    assert_eq!(with_verdict(&with.1, "not_done"), [""; 0]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_is_diagnosed_as_far_as_it_went() {
    use std::process::{Command, Stdio};
    let place = place();
    let mut program = Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    program.current_dir(place.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    program.args(["pretrain", "--data", "images", "--config", "small.toml", "--out", "run"]);
    let mut child = program.args(["--epochs", "5000", "--warmup-epochs", "6"]).spawn().unwrap();
    let logged =
        || fs::read_to_string(place.path("run/metrics.jsonl")).map_or(0, |text| text.lines().count());
    while logged() < 100 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    let (_, going_on) = diagnose(&place, &[]);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    let (code, interrupted) = diagnose(&place, &[]);
    assert_eq!(code, 0);
    for report in [going_on, interrupted] {
        assert_eq!(with_verdict(&report, "problem"), [""; 0]);
        // How far the run came depends on the machine, and after some thirty epochs these few images over-fit.
        let warnings = with_verdict(&report, "warning");
        assert!(warnings.iter().all(|warning| warning.starts_with("over-fitting")), "{warnings:?}");
        assert_found(&report, "progress", "note", &["of 40000"]);
    }
}

#[test]
fn a_run_that_was_resumed_for_more_epochs_is_called_healthy() {
    let place = trained(&["--epochs", "20", "--warmup-epochs", "4"]);
    place.done(&["pretrain", "--resume", "run", "--epochs", "30"]);
    let diagnosis = diagnose(&place, &[]);
    assert_healthy(&diagnosis);
    assert_found(&diagnosis.1, "settings", "note", &["optim.epochs after step 160"]);
    assert_found(&diagnosis.1, "logged loss", "ok", &["step 240"]);
}
