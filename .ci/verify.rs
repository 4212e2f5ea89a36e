//! `cargo verify`: runs `.ci/run`, so that one command at a desk checks what hosted CI checks.
//!
//! A cargo alias can name only cargo's own subcommands. So the alias runs this example, which does nothing but
//! hand over to the script and pass on its exit status.

use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run");
    match Command::new("bash").arg(&script).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot run `bash {}`: {error}", script.display());
            ExitCode::FAILURE
        }
    }
}
