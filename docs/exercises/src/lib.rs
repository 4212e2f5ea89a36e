//! Exercises: backward passes to write by hand, and the grader that checks them against differences.
//!
//! The skeletons are in `yours/`. `cargo test -p exercises` grades them; see `docs/exercises/README.md`.

pub mod checks;
pub mod grader;
pub mod list;

#[cfg(feature = "solutions")]
#[path = "solutions.rs"]
pub mod answers;

#[cfg(not(feature = "solutions"))]
#[path = "yours/mod.rs"]
#[allow(unused_variables, reason = "a skeleton does not use what it is given")]
pub mod answers;
