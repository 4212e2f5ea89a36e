//! Claim: a run can be killed at any instant. Whatever `SIGKILL` hits, a complete checkpoint is there, the log has no
//! torn and no doubled line after resuming, and the run ends with the bits of one that was never killed.
//!
//! `TEST_KILLS=1000 cargo test --test reliability crash:: -- --nocapture` is the long mode, `TEST_SOAK_HOURS=8` soaks.
#![cfg(unix)]

use crate::common::Place;
use crate::common::run::log;
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::checkpoint::{Checkpoint, dir};
use vit_mae::train::{RunDir, metrics};

/// Checkpoints after every step, three of them kept: most of the time is spent where a kill could hurt.
const SETS: [&str; 5] = [
    "run.checkpoint_every_steps=1",
    "run.pictures_every_epochs=1",
    "run.digest_every_steps=3",
    "run.keep=3",
    "optim.epochs=4",
];

fn place() -> Place {
    let place = Place::new();
    place.images("pictures/train", 24, (8, 8), 1);
    place.images("pictures/test", 4, (8, 8), 1);
    place
}

fn begin(out: &str) -> Vec<&str> {
    let mut args = vec!["pretrain", "--config", "tiny.toml", "--data", "pictures", "--out", out];
    args.push("--overwrite");
    args.extend(SETS.iter().flat_map(|set| ["--set", set]));
    args
}

fn spawn(place: &Place, args: &[&str]) -> Child {
    let mut program = Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    program.current_dir(place.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    program.args(args).spawn().unwrap()
}

/// What must be the same whether killed or not: weights and moments, and the log without measured times.
fn digest(place: &Place, out: &str) -> (u32, u32, [u8; 32], Vec<Value>) {
    let state = Checkpoint::open(&place.path(out)).unwrap().state;
    assert!(place.text(&format!("{out}/metrics.jsonl")).ends_with('\n'));
    (state.checksums.model, state.checksums.optimizer, state.log.chain, log(place, out))
}

/// After a kill: if there ever was a checkpoint there is one now, no older than the last one seen, and the log
/// holds at least what it counts. Returns its step.
fn check(place: &Place, out: &str, seen: Option<u64>) -> Option<u64> {
    if dir::find(&place.path(out)).is_err() {
        assert_eq!(seen, None, "the checkpoint of step {seen:?} is gone");
        return None;
    }
    let state = Checkpoint::open(&place.path(out)).unwrap().state;
    assert!(Some(state.step) >= seen, "back from {seen:?} to {}", state.step);
    let log = place.read(&format!("{out}/metrics.jsonl"));
    let counted = usize::try_from(state.log.bytes).unwrap();
    assert!(log.len() >= counted, "{} bytes of log, {counted} counted", log.len());
    assert_eq!(crc32fast::hash(&log[..counted]), state.log.crc);
    Some(state.step)
}

#[test]
fn killed_at_random_instants_a_run_ends_with_the_bits_of_one_that_was_not() {
    let wanted: u64 = std::env::var("TEST_KILLS").map_or(25, |n| n.parse().unwrap());
    let hours: f64 = std::env::var("TEST_SOAK_HOURS").map_or(0.0, |n| n.parse().unwrap());
    let place = place();
    let start = Instant::now();
    assert!(spawn(&place, &begin("whole")).wait().unwrap().success());
    let duration = start.elapsed();
    let whole = digest(&place, "whole");
    let mut random = rng(2022, Purpose::Synthetic, 0, 0);
    let (mut kills, mut runs, mut lost_steps) = (0, 0, 0);
    while kills < wanted || start.elapsed().as_secs_f64() < 3600.0 * hours {
        let mut seen = None;
        let mut tries = 0;
        loop {
            let resumable = place.path("run/config.toml").is_file() && tries > 0;
            let mut child =
                spawn(&place, &if resumable { vec!["pretrain", "--resume", "run"] } else { begin("run") });
            // On a machine that has become slower, kills come later and later, so that it ends all the same.
            tries += 1;
            std::thread::sleep(duration.mul_f64(uniform(&mut random) * (0.6 + f64::from(tries) / 20.0)));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
            let status = child.wait().unwrap();
            if let Some(code) = status.code() {
                assert_eq!(code, 0, "neither killed nor done");
                break;
            }
            let logged = metrics::read(&place.path("run/metrics.jsonl")).unwrap_or_default();
            seen = check(&place, "run", seen);
            lost_steps += logged.last().map_or(0, metrics::Record::step).saturating_sub(seen.unwrap_or(0));
        }
        runs += 1;
        assert!(digest(&place, "run") == whole, "run {runs} ended with other bits, after {kills} kills");
        std::fs::remove_dir_all(place.path("run")).unwrap();
    }
    println!(
        "{kills} kills in {runs} runs: all ended with the same bits; {lost_steps} logged steps were run again"
    );
}

#[test]
fn two_processes_cannot_write_to_one_run() {
    let place = place();
    let mut owner = spawn(&place, &[&begin("run")[..], &["--epochs", "100000"]].concat());
    while !place.path("run/checkpoint/state.bin").is_file() {
        std::thread::sleep(Duration::from_millis(2));
        assert!(owner.try_wait().unwrap().is_none(), "it ended by itself");
    }
    let pid = owner.id().to_string();
    for args in [vec!["pretrain", "--resume", "run"], begin("run")] {
        let output = place.run(&args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("run/vit-mae.lock") && message.contains(&pid), "{message}");
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert_eq!(place.text("run/vit-mae.lock").trim(), pid, "left behind");
    RunDir::open(place.path("run")).expect("a lock whose owner is dead is no lock");
}

#[test]
fn sigterm_and_ctrl_c_save_and_end_with_their_own_codes() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let place = place();
        let mut child = spawn(&place, &[&begin("run")[..], &["--epochs", "100000"]].concat());
        let logged = || metrics::read(&place.path("run/metrics.jsonl")).is_ok_and(|log| !log.is_empty());
        while !logged() {
            std::thread::sleep(Duration::from_millis(2));
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let step = check(&place, "run", Some(1)).unwrap();
        let last = metrics::read(&place.path("run/metrics.jsonl")).unwrap().last().unwrap().step();
        assert_eq!(step, last, "nothing is lost");
    }
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let place = place();
    // One step of many seconds, so that the second one comes in its midst.
    let long = ["--set", "data.repeats=16384", "--batch-size", "300000"];
    let mut child = spawn(&place, &[&begin("run")[..], &long].concat());
    while !place.path("run/checkpoint/state.bin").is_file() {
        std::thread::sleep(Duration::from_millis(2));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    let pid = child.id().to_string();
    for _ in 0..2 {
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(check(&place, "run", Some(0)), Some(0), "nothing was saved, nothing was harmed");
}
