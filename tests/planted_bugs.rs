//! Claim: the gradient check finds bugs. Every backward pass of the library has been got wrong in the
//! ways in which one gets it wrong (`planted_bugs/bugs.rs`), and for each bug some check fails.
//!
//! The checks are those of `tests/gradcheck.rs`, run on a copy of the layers and the model in which the
//! bugs can be switched on one by one (`planted_bugs/build.rs` makes the copy).
//! `cargo test --test planted_bugs -- --nocapture` prints which check caught which bug.

#[path = "planted_bugs/bugs.rs"]
mod bugs;
#[path = "common/checks.rs"]
mod checks;

/// The copy that [`checks`] are run on.
#[allow(warnings, clippy::all, clippy::pedantic, reason = "generated")]
mod house {
    include!(concat!(env!("OUT_DIR"), "/house/house.rs"));
}

use bugs::BUGS;
use std::sync::atomic::{AtomicUsize, Ordering};
use vit_mae::audit::GradCheck;

/// The bug that is switched on, counted from 1; 0 for none.
static PLANTED: AtomicUsize = AtomicUsize::new(0);

pub fn planted() -> usize {
    PLANTED.load(Ordering::Relaxed)
}

/// For each check whether it fails with this bug.
fn failures(bug: usize) -> Vec<bool> {
    let check = GradCheck { elements: 8, ..GradCheck::default() };
    PLANTED.store(bug, Ordering::Relaxed);
    let failures = checks::ALL.iter().map(|(_, run)| !run(&check).passed()).collect();
    PLANTED.store(0, Ordering::Relaxed);
    failures
}

/// One test, since the switch is one for the process.
#[test]
fn every_planted_bug_is_caught() {
    assert!(house::STALE.is_empty(), "update tests/planted_bugs/bugs.rs: {:#?}", house::STALE);
    assert!(!failures(0).contains(&true), "without a bug, every check passes");

    let mut survivors = Vec::new();
    for (i, (name, _)) in checks::ALL.iter().enumerate() {
        println!("{:66}{}╭ {name}", "", "│ ".repeat(i));
    }
    for (i, bug) in BUGS.iter().enumerate() {
        let caught = failures(i + 1);
        let marks: String = caught.iter().map(|&caught| if caught { "● " } else { "· " }).collect();
        println!("{:66}{marks}", format!("{}: {}", bug.file, bug.name));
        if !caught.contains(&true) {
            survivors.push(format!("{}: {}", bug.file, bug.name));
        }
    }
    println!("{} bugs planted, {} survived", BUGS.len(), survivors.len());
    assert!(survivors.is_empty(), "no check caught {survivors:#?}");
}
