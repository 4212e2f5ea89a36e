//! Claim: the gradient check finds bugs. Every backward pass of the library has been got wrong in the
//! ways in which one gets it wrong (`planted_bugs/bugs.rs`), and for each bug some check fails.
//!
//! The checks are those of `tests/gradcheck.rs`, run on a copy of the layers and the model in which the
//! bugs can be switched on one by one (`planted_bugs/build.rs` makes the copy).
//! `cargo test --test planted_bugs -- --nocapture` prints which check caught which bug.

#[path = "planted_bugs/bugs.rs"]
mod bugs;

/// The copy that [`checks`] are run on.
#[allow(warnings, clippy::all, clippy::pedantic, reason = "generated")]
mod house {
    include!(concat!(env!("OUT_DIR"), "/house/house.rs"));
}

use bugs::BUGS;
use rayon::prelude::*;
use std::cell::Cell;
use vit_mae::audit::{Check, GradCheck};

thread_local! {
    /// The bug that is switched on, counted from 1; 0 for none. A check runs on one thread.
    static PLANTED: Cell<usize> = const { Cell::new(0) };
}

fn planted() -> usize {
    PLANTED.get()
}

/// The checks for this purpose: one whole model of the six is enough.
fn checks() -> impl Iterator<Item = (&'static str, Check)> {
    let skipped = ["1 channel,", "5 channels,", "3 channels, pixels"];
    house::checks::ALL.into_iter().filter(move |(name, _)| !skipped.iter().any(|part| name.contains(part)))
}

/// For each check whether it fails with this bug.
fn failures(bug: usize) -> Vec<bool> {
    let check = GradCheck { elements: 3, ..GradCheck::default() };
    PLANTED.set(bug);
    let failures = checks().map(|(_, run)| !run(&check).passed()).collect();
    PLANTED.set(0);
    failures
}

#[test]
fn every_planted_bug_is_caught() {
    assert!(house::STALE.is_empty(), "update tests/planted_bugs/bugs.rs: {:#?}", house::STALE);
    assert!(!failures(0).contains(&true), "without a bug, every check passes");

    let matrix: Vec<Vec<bool>> = (1..=BUGS.len()).into_par_iter().map(failures).collect();
    for (i, (name, _)) in checks().enumerate() {
        println!("{:70}{}╭ {name}", "", "│ ".repeat(i));
    }
    let mut survivors = Vec::new();
    for (bug, caught) in BUGS.iter().zip(matrix) {
        let name = format!("{}: {}", bug.file, bug.name);
        let marks: String = caught.iter().map(|&caught| if caught { "● " } else { "· " }).collect();
        println!("{name:70}{marks}");
        if !caught.contains(&true) {
            survivors.push(format!("{name}: `{}` for `{}`", bug.new, bug.old));
        }
    }
    println!("{} bugs planted, {} survived", BUGS.len(), survivors.len());
    assert!(survivors.is_empty(), "no check caught {survivors:#?}");
}
