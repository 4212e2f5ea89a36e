//! Claim: the checks find bugs. Every layer, the model and the loss have been got wrong in the ways in which
//! one gets them wrong (`src/audit/mutants/bugs`), and for each bug some check fails.
//!
//! `vit-mae audit gradcheck --mutants` prints which check catches which bug.

use std::sync::LazyLock;
use vit_mae::audit::mutants::{self, KillMatrix};

static MATRIX: LazyLock<KillMatrix> = LazyLock::new(|| mutants::run(&[], &|| ()));

#[test]
fn every_planted_bug_is_caught() {
    let matrix = &*MATRIX;
    assert!(matrix.stale.is_empty(), "update src/audit/mutants/bugs: {:#?}", matrix.stale);
    assert!(matrix.false_alarms.is_empty(), "without a bug, every check passes: {:?}", matrix.false_alarms);
    let survivors: Vec<_> = matrix.survivors().collect();
    assert!(survivors.is_empty(), "no check caught {survivors:#?}");
    assert!(matrix.passed());
}

/// The bugs that a reader of the project was promised to find among them.
#[test]
fn the_bugs_that_people_make_are_among_them() {
    let names: Vec<&str> = mutants::bugs::all().iter().map(|bug| bug.name).collect();
    assert!(names.len() >= 70, "{} bugs", names.len());
    for promised in [
        "residual past the MLP dropped",
        "not transposed",
        "without 1/√d_h",
        "softmax without its row sum",
        "without the first mean",
        "without the second mean",
        "GELU′ of the tanh form",
        "instead of +=",
        "mask inverted",
        "unshuffle forgotten",
        "unshuffle applied twice",
        "dmask_token from visible patches",
        "class row dropped",
        "averaged over all patches",
        "N for N − 1",
        "db from one image only",
        "keys before the moving average",
        "statistics over both crops",
        "missing 2 T",
        "gradient through keys",
    ] {
        assert!(names.iter().any(|name| name.contains(promised)), "no bug `{promised}`");
    }
}

/// Forward and backward wrong alike: gradients agree, so only a formula or an adjoint can tell.
#[test]
fn mistakes_made_twice_are_caught_by_formulas() {
    let matrix = &*MATRIX;
    let formula: Vec<bool> = matrix.checks.iter().map(|name| name.contains(", formula")).collect();
    for fate in matrix.bugs.iter().filter(|fate| fate.bug.starts_with("forward and backward")) {
        assert!(fate.caught.iter().zip(&formula).any(|(c, f)| *c && *f), "{}: {}", fate.file, fate.bug);
    }
}
