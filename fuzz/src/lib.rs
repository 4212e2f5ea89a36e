//! The parsers that `tests/fuzz_inputs` tests, driven by cargo-fuzz. `docs/reliability.md` says how to run them.

#[allow(dead_code, reason = "the bounds on memory are for the test")]
#[path = "../../tests/fuzz_inputs/targets.rs"]
mod targets;

use tempfile::TempDir;

thread_local! {
    static DIR: TempDir = tempfile::tempdir().expect("a temporary folder");
}

/// Reads `bytes` with the parser of that name.
///
/// # Panics
/// If there is none, or if the parser has a bug.
pub fn drive(name: &str, bytes: &[u8]) {
    let target = targets::TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    DIR.with(|dir| target.run(dir.path(), bytes));
}
