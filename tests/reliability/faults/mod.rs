//! Claim: whatever operation on the disk fails, stops half-way, or is the last one before the process dies or the power
//! goes: the run directory holds a complete checkpoint, and the run resumed from it ends with the same bits.
//!
//! Every operation of a whole run is made to go wrong once, in every way. `TEST_FAULTS=long` does so for a longer run.

#![cfg(unix)]

mod disk;

use crate::common::Place;
use disk::{Fault, Faulty};
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vit_mae::base::disk::{Disk, Os};
use vit_mae::checkpoint::{Checkpoint, dir, keep};
use vit_mae::tasks::{Config, Pretrain};
use vit_mae::train::metrics::{self, EpochRecord, Record, StepRecord};
use vit_mae::train::{Observer, Run, RunDir};
use vit_mae::{Error, Result};

const FAULTS: [Fault; 5] =
    [Fault::Fails, Fault::StopsHalfWay, Fault::Kill, Fault::PowerCut, Fault::PowerCutNamesKept];

struct Nobody;

impl Observer for Nobody {
    fn step(&mut self, _: &StepRecord, _: u64) {}
    fn epoch(&mut self, _: &EpochRecord) {}
    fn should_stop(&self) -> Option<u8> {
        None
    }
}

/// A run of some epochs of 2 steps with a checkpoint after each, 2 of them kept.
fn config(place: &Place, epochs: i64) -> Config {
    let text = |text: &str| -> toml::Value { text.parse().unwrap() };
    let images = place.path("images");
    let flags = [
        ("data.path", toml::Value::from(images.to_str().unwrap())),
        ("optim.epochs", epochs.into()),
        ("run.checkpoint_every_steps", text("1")),
        ("run.checkpoint_every_epochs", text("1")),
        ("run.pictures_every_epochs", text("100")),
        ("run.digest_every_steps", text("1")),
        ("run.keep", text("2")),
        ("run.held_out_images", text("0")),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Config::resolve("nano", Some(&place.path("tiny.toml")), flags).unwrap()
}

fn begin(config: &Config, run: &Path, disk: impl Disk + 'static) -> Result<()> {
    let run = RunDir::create(Some(run.into()), true)?.on(Arc::new(disk));
    Run::<Pretrain>::new(config.clone(), &(), || Ok(run))?.train("", &mut Nobody).map(drop)
}

fn resume(run: &Path, disk: impl Disk + 'static) -> Result<()> {
    let run = RunDir::open(run)?.on(Arc::new(disk));
    Run::<Pretrain>::resume(run, |before| Ok(before.clone()))?.train("", &mut Nobody).map(drop)
}

/// Checksums of weights and moments, the log's chain.
type Bits = (u32, u32, [u8; 32]);

/// What must be the same, and each record's step with its digest.
fn result(run: &Path) -> (Bits, Vec<(u64, Option<String>)>) {
    let state = Checkpoint::open(run).unwrap().state;
    let log = metrics::read(&run.join("metrics.jsonl")).unwrap();
    metrics::check_chain(run, &log).unwrap();
    let log = log.iter().map(|record| match record {
        Record::Step(r) => (r.step, r.weights_digest.clone()),
        other => (other.step(), None),
    });
    ((state.checksums.model, state.checksums.optimizer, state.log.chain), log.collect())
}

/// Every checkpoint that a reader would find is whole.
fn assert_valid(run: &Path, what: &str) -> u64 {
    let found = Checkpoint::open(run).unwrap_or_else(|e| panic!("{what}: {e}"));
    for (_, older) in keep::older(run).unwrap() {
        Checkpoint::open(&older).unwrap_or_else(|e| panic!("{what}: {e}"));
    }
    found.state.step
}

#[test]
fn after_any_fault_at_any_operation_the_run_goes_on_to_the_same_bits() {
    let place = Place::in_memory();
    let epochs = if std::env::var("TEST_FAULTS").is_ok_and(|v| v == "long") { 10 } else { 1 };
    let config = config(&place, epochs);
    let whole = place.path("whole");
    let counting = Faulty::sound();
    begin(&config, &whole, counting.clone()).unwrap();
    let (expected, operations) = (result(&whole), counting.operations());
    assert!(operations > 80, "{operations} operations");
    let nothing_yet = AtomicUsize::new(0);
    let all: Vec<_> = FAULTS.iter().flat_map(|&fault| (0..operations).map(move |at| (fault, at))).collect();
    all.par_iter().for_each(|&(fault, at)| {
        let (what, run) = (format!("{fault:?} at operation {at}"), place.path(&format!("{fault:?}-{at}")));
        let ended = begin(&config, &run, Faulty::new(at, fault));
        if dir::find(&run).is_err() {
            // Nothing was trained yet, so nothing is lost; such a run begins again, if it knows its settings.
            nothing_yet.fetch_add(1, Ordering::Relaxed);
            assert!(ended.is_err(), "{what}");
            assert!(metrics::read(&run.join("metrics.jsonl")).unwrap_or_default().is_empty(), "{what}");
            if !run.join("config.toml").is_file() {
                return;
            }
        } else {
            let step = assert_valid(&run, &what);
            if let Err(Error::Halted { step: promised, .. }) = &ended {
                assert_eq!(step, *promised, "{what}");
            }
        }
        resume(&run, Faulty::sound()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_valid(&run, &what);
        assert!(result(&run) == expected, "{what}: other bits");
        std::fs::remove_dir_all(&run).unwrap();
    });
    let (faults, nothing_yet) = (all.len(), nothing_yet.into_inner());
    assert!(nothing_yet < faults / 4, "{nothing_yet} of {faults}");
    println!(
        "{faults} faults at {operations} operations; {nothing_yet} before the first checkpoint; 0 runs lost"
    );
}

#[test]
fn a_fault_while_resuming_harms_nothing_either() {
    let place = Place::in_memory();
    let config = config(&place, 1);
    let whole = place.path("whole");
    begin(&config, &whole, Faulty::sound()).unwrap();
    let expected = result(&whole);
    // Half a run: its process dies at the 60th operation.
    begin(&config, &place.path("half"), Faulty::new(60, Fault::Kill)).unwrap_err();
    let before = assert_valid(&place.path("half"), "half a run");
    let copy = |run: &Path| {
        let status = std::process::Command::new("cp").arg("-r").arg(place.path("half")).arg(run).status();
        assert!(status.unwrap().success());
    };
    copy(&place.path("counted"));
    let counting = Faulty::sound();
    resume(&place.path("counted"), counting.clone()).unwrap();
    let operations = counting.operations();
    let all: Vec<_> = FAULTS.iter().flat_map(|&fault| (0..operations).map(move |at| (fault, at))).collect();
    all.par_iter().for_each(|&(fault, at)| {
        let (what, run) = (format!("{fault:?} at operation {at}"), place.path(&format!("{fault:?}-{at}")));
        copy(&run);
        resume(&run, Faulty::new(at, fault)).ok();
        assert!(assert_valid(&run, &what) >= before, "{what}");
        resume(&run, Faulty::sound()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(result(&run) == expected, "{what}: other bits");
    });
    println!("{} faults at {operations} operations of a resumed run; 0 runs lost", all.len());
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint_and_says_so() {
    let place = Place::in_memory();
    let config = config(&place, 2);
    let whole = place.path("whole");
    begin(&config, &whole, Faulty::sound()).unwrap();
    let expected = result(&whole);
    let bytes: u64 = ["model.safetensors", "optimizer.safetensors", "state.bin"]
        .map(|name| whole.join("checkpoint").join(name).metadata().unwrap().len())
        .iter()
        .sum();
    // Full at many places of the second and third checkpoint.
    for room in (0..20).map(|i| bytes + 4096 + bytes * i / 10) {
        let run = place.path("run");
        let error = begin(&config, &run, Faulty::small(room)).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        let (message, step) = (error.to_string(), assert_valid(&run, "a full disk"));
        assert!(message.contains("cannot write"), "{message}");
        assert!(message.contains(&format!("The checkpoint of step {step} in")), "{message}");
        assert!(message.contains("is intact"), "{message}");
        resume(&run, Faulty::sound()).unwrap();
        assert!(result(&run) == expected, "{room} bytes of room: other bits");
        std::fs::remove_dir_all(&run).unwrap();
    }
}

#[test]
fn a_directory_that_became_read_only_leaves_the_last_checkpoint_and_says_so() {
    let place = Place::in_memory();
    // From the 60th operation on nothing can be written any more.
    let error = begin(&config(&place, 2), &place.path("run"), Faulty::new(60, Fault::Kill)).unwrap_err();
    let (message, step) = (error.to_string(), assert_valid(&place.path("run"), "read-only"));
    assert!(message.starts_with("cannot write"), "{message}");
    assert!(message.contains(&format!("The checkpoint of step {step} in")), "{message}");
}

/// A real file system of 1 MiB, where this process may mount one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_file_system_leaves_the_last_checkpoint_and_says_so() {
    use std::process::Command;
    let place = Place::in_memory();
    let small = place.path("small");
    std::fs::create_dir(&small).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&small).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("no file system may be mounted here; the small disk of the test above stands in");
        return;
    }
    let filled = std::panic::catch_unwind(|| {
        let base = ["pretrain", "--data", "images", "--config", "tiny.toml", "--set"];
        let every = ["run.checkpoint_every_steps=1", "--set", "run.pictures_every_epochs=100"];
        let more = ["--epochs", "20", "--keep", "100", "--out", "small/run"];
        let output = place.run(&[&base[..], &every, &more].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        let step = assert_valid(&small.join("run"), "a full file system");
        assert!(step > 0 && message.contains(&format!("The checkpoint of step {step} in")), "{message}");
        let config = place.text("small/run/config.toml");
        assert!(config.contains("epochs = 20"), "torn: {config}");
        // With room again, it goes on.
        place.done(&["pretrain", "--resume", "small/run", "--keep", "1"]);
    });
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    filled.unwrap();
}

#[test]
fn a_checkpoint_that_does_not_fit_is_not_begun() {
    #[derive(Debug)]
    struct Nearly;
    impl Disk for Nearly {
        fn create(&self, path: &Path) -> std::io::Result<Box<dyn vit_mae::base::disk::DiskFile>> {
            assert!(!path.to_string_lossy().contains("checkpoint"), "begun");
            Os.create(path)
        }
        fn reopen(&self, path: &Path, len: u64) -> std::io::Result<Box<dyn vit_mae::base::disk::DiskFile>> {
            Os.reopen(path, len)
        }
        fn create_dir_all(&self, path: &Path) -> std::io::Result<()> {
            Os.create_dir_all(path)
        }
        fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
            Os.rename(from, to)
        }
        fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
            Os.sync_dir(dir)
        }
        fn remove_file(&self, path: &Path) -> std::io::Result<()> {
            Os.remove_file(path)
        }
        fn remove_dir_all(&self, path: &Path) -> std::io::Result<()> {
            Os.remove_dir_all(path)
        }
        fn free_bytes(&self, _: &Path) -> std::io::Result<u64> {
            Ok(10_000)
        }
    }
    let place = Place::in_memory();
    let error = begin(&config(&place, 1), &place.path("run"), Nearly).unwrap_err().to_string();
    assert!(error.contains("bytes, and 10000 are free"), "{error}");
}

#[test]
fn a_panic_leaves_the_last_checkpoint_and_says_so() {
    struct Clumsy(u64);
    impl Observer for Clumsy {
        fn step(&mut self, record: &StepRecord, _: u64) {
            assert!(record.step < self.0, "dropped the cup");
        }
        fn epoch(&mut self, _: &EpochRecord) {}
        fn should_stop(&self) -> Option<u8> {
            None
        }
    }
    let place = Place::in_memory();
    let config = config(&place, 2);
    let run = RunDir::create(Some(place.path("run")), false).unwrap();
    let mut run = Run::<Pretrain>::new(config.clone(), &(), || Ok(run)).unwrap();
    let error = run.train("", &mut Clumsy(3)).unwrap_err();
    drop(run);
    assert_eq!(error.exit_code(), 1);
    let message = error.to_string();
    assert!(
        message.contains("dropped the cup") && message.contains("The checkpoint of step 2 in"),
        "{message}"
    );
    resume(&place.path("run"), Faulty::sound()).unwrap();
    begin(&config, &place.path("whole"), Faulty::sound()).unwrap();
    assert!(result(&place.path("run")) == result(&place.path("whole")));
}
