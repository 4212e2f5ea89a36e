//! `vit-mae inspect`.

use super::say;
use std::path::PathBuf;
use vit_mae::checkpoint::verify::{Verified, verify};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae inspect --verify runs/0001                        every checkpoint of a run
  vit-mae inspect --verify runs/0001/checkpoint             one of them

Every byte is checked against the checksums in state.bin; nothing is loaded into a model. Exit code 1 if anything \
is damaged.";

/// Flags of `vit-mae inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run directory, or a checkpoint in it
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Check every byte of every file
    #[arg(long, required = true)]
    verify: bool,
}

/// Checks, and prints a line a file.
pub(crate) fn run(args: &Args) -> Result<()> {
    let checkpoints = verify(&args.checkpoint)?;
    checkpoints.iter().for_each(print);
    let files: Vec<_> = checkpoints.iter().flat_map(|checkpoint| &checkpoint.files).collect();
    let damaged: Vec<_> = files.iter().filter(|file| file.verdict.is_err()).collect();
    match damaged.first() {
        None => Ok(()),
        Some(first) => {
            let (count, all, path) = (damaged.len(), files.len(), first.path.display());
            let what = format!("{count} of {all} files are damaged, the first of them {path}");
            Err(Error::CheckFailed(what))
        }
    }
}

fn print(checkpoint: &Verified) {
    say!("{}", checkpoint.dir.display());
    for file in &checkpoint.files {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        match &file.verdict {
            Ok(what) => say!("  {name:<24} {:>12} bytes  ok       {what}", file.bytes),
            Err(error) => say!("  {name:<24} {:>12} bytes  DAMAGED  {error}", file.bytes),
        }
    }
}
