//! The checks are checked: bugs are planted one at a time, and some check must catch each.
//!
//! `build.rs` makes a copy of the layers, the model and the checks in which every bug of [`bugs`] stands
//! behind a switch, `match planted() { 7 => { the bug } _ => { the source } }`. The copy lives in this module
//! alone; the sources know nothing of it and stay readable.

pub mod bugs;

/// The copy.
#[allow(warnings, clippy::all, clippy::pedantic, reason = "generated from the sources that are linted")]
mod house {
    include!(concat!(env!("OUT_DIR"), "/house/house.rs"));
}

use super::gradcheck::GradCheck;
use bugs::Bug;
use rayon::prelude::*;
use serde::Serialize;
use std::cell::Cell;

thread_local! {
    /// The bug that is switched on, counted from 1; 0 for none. A check runs on one thread.
    static PLANTED: Cell<usize> = const { Cell::new(0) };
}

/// Asked by the copy wherever a bug is planted.
fn planted() -> usize {
    PLANTED.get()
}

/// Which check catches which bug.
#[derive(Clone, Debug, Serialize)]
pub struct KillMatrix {
    /// The checks' names, one a column.
    pub checks: Vec<String>,
    /// Checks that fail without any bug: then nothing else here means anything.
    pub false_alarms: Vec<String>,
    /// Bugs whose snippet no longer stands in its file: they could not be planted.
    pub stale: Vec<String>,
    /// One a bug.
    pub bugs: Vec<Fate>,
}

/// What became of one bug.
#[derive(Clone, Debug, Serialize)]
pub struct Fate {
    /// The source file.
    pub file: &'static str,
    /// What is wrong.
    pub bug: &'static str,
    /// What stands in the source, and what stood there instead.
    pub edits: Vec<[&'static str; 2]>,
    /// For each check whether it failed.
    pub caught: Vec<bool>,
}

impl Fate {
    /// Whether some check caught it.
    #[must_use]
    pub fn died(&self) -> bool {
        self.caught.contains(&true)
    }
}

impl KillMatrix {
    /// Whether every bug was planted and caught, and nothing else was.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.stale.is_empty()
            && self.false_alarms.is_empty()
            && !self.bugs.is_empty()
            && self.bugs.iter().all(Fate::died)
    }

    /// The bugs that no check caught.
    pub fn survivors(&self) -> impl Iterator<Item = &Fate> {
        self.bugs.iter().filter(|fate| !fate.died())
    }
}

/// The checks for this purpose: one whole model of the six is enough.
fn checks() -> impl Iterator<Item = &'static house::checks::Check> {
    let skipped = ["1 channel,", "5 channels,", "3 channels, pixels"];
    house::checks::ALL.iter().filter(move |check| !skipped.iter().any(|part| check.case.starts_with(part)))
}

/// Plants every bug, runs all checks on each, on rayon's threads; `done` is called after each bug.
pub fn run(done: &(impl Fn() + Sync)) -> KillMatrix {
    let names: Vec<String> = checks().map(house::checks::Check::name).collect();
    let alarms = failures(0);
    let bugs = bugs::all();
    let fate = |(number, bug): (usize, &Bug)| {
        let caught = failures(number + 1);
        done();
        let edits = bug.edits().map(|edit| [edit.old, edit.new]).collect();
        Fate { file: bug.file, bug: bug.name, edits, caught }
    };
    KillMatrix {
        false_alarms: names
            .iter()
            .zip(&alarms)
            .filter(|(_, failed)| **failed)
            .map(|(n, _)| n.clone())
            .collect(),
        stale: house::STALE.iter().map(ToString::to_string).collect(),
        bugs: bugs.par_iter().enumerate().map(fate).collect(),
        checks: names,
    }
}

/// For each check whether it fails with this bug. A few elements of each tensor are enough to see it.
fn failures(bug: usize) -> Vec<bool> {
    let check = GradCheck { elements: 3, ..GradCheck::default() };
    PLANTED.set(bug);
    let failures = checks().map(|planted| !(planted.run)(&check).passed()).collect();
    PLANTED.set(0);
    failures
}
