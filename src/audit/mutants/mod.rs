//! The checks are checked: bugs are planted one at a time, and some check must catch each.
//!
//! `build.rs` makes a copy of the layers, the model and the checks in which every bug of [`bugs`] stands
//! behind a switch, `match planted(&[7]) { 7 => { the bug } _ => { the source } }`. The copy lives in this module
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
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

thread_local! {
    /// The bug that is switched on, counted from 1; 0 for none. A check runs on one thread.
    static PLANTED: Cell<usize> = const { Cell::new(0) };
    /// The bugs whose switches a check without any bug asks for, while that is written down.
    static REACHED: RefCell<Option<BTreeSet<usize>>> = const { RefCell::new(None) };
}

/// Asked by the copy wherever bugs are planted, with the numbers of those.
fn planted(here: &[usize]) -> usize {
    let bug = PLANTED.get();
    if bug == 0 {
        REACHED.with_borrow_mut(|reached| reached.iter_mut().for_each(|reached| reached.extend(here)));
    }
    bug
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

/// The checks for this purpose: one whole model of the six is enough, and one detection network of the two.
fn checks() -> impl Iterator<Item = &'static house::checks::Check> {
    let skipped = ["1 channel,", "5 channels,", "3 channels, pixels", "boxes alone"];
    house::checks::ALL.iter().filter(move |check| !skipped.iter().any(|part| check.case.starts_with(part)))
}

/// A check without any bug.
struct Sound {
    check: &'static house::checks::Check,
    /// Whether it fails all the same.
    alarm: bool,
    /// The bugs whose switches it asks for. Another bug cannot change what it computes: nothing differs before the first
    /// switch of a bug is asked for.
    reached: BTreeSet<usize>,
}

/// Plants every bug that the checks of these layers reach, of all layers if none is named, and runs those checks, on rayon's
/// threads; `done` is called after each bug.
pub fn run(layers: &[String], done: &(impl Fn() + Sync)) -> KillMatrix {
    let wanted = |layer: &str| layers.is_empty() || layers.iter().any(|wanted| wanted == layer);
    let all: Vec<_> = checks().filter(|check| wanted(check.layer)).collect();
    let sound: Vec<Sound> = all.par_iter().map(|check| Sound::of(check)).collect();
    let bugs = bugs::all();
    let reached = |number: usize| sound.iter().any(|sound| sound.reached.contains(&(number + 1)));
    let bugs: Vec<_> = bugs.iter().enumerate().filter(|(i, _)| layers.is_empty() || reached(*i)).collect();
    let fate = |&(number, bug): &(usize, &Bug)| {
        let caught = sound.iter().map(|sound| sound.catches(number + 1)).collect();
        done();
        let edits = bug.edits().map(|edit| [edit.old, edit.new]).collect();
        Fate { file: bug.file, bug: bug.name, edits, caught }
    };
    let name = |sound: &Sound| sound.check.name();
    KillMatrix {
        false_alarms: sound.iter().filter(|sound| sound.alarm).map(name).collect(),
        stale: house::STALE.iter().map(ToString::to_string).collect(),
        bugs: bugs.par_iter().map(fate).collect(),
        checks: sound.iter().map(name).collect(),
    }
}

impl Sound {
    fn of(check: &'static house::checks::Check) -> Self {
        REACHED.replace(Some(BTreeSet::new()));
        let alarm = fails(check, 0);
        Self { check, alarm, reached: REACHED.take().unwrap_or_default() }
    }

    fn catches(&self, bug: usize) -> bool {
        self.reached.contains(&bug) && fails(self.check, bug)
    }
}

/// Whether a check fails with this bug. A few elements of each tensor are enough to see it.
fn fails(check: &house::checks::Check, bug: usize) -> bool {
    let few = GradCheck { elements: 3, ..GradCheck::default() };
    PLANTED.set(bug);
    let failed = !(check.run)(&few).passed();
    PLANTED.set(0);
    failed
}
