//! `vit-mae inspect`.

use super::inspect_print::print;
use super::outln;
use glob::Pattern;
use serde_json::json;
use std::path::{Path, PathBuf};
use vit_mae::audit::inspect::inspect;
use vit_mae::checkpoint::verify::{FileCheck, Verified, verify};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae inspect runs/0001                              the checkpoint of a run
  vit-mae inspect runs/0001 --tensor 'blocks.0.*'
  vit-mae inspect model.safetensors --json | jq '.tensors[].name'
  vit-mae inspect --verify runs/0001                     every byte of every checkpoint of a run

A bare file of weights must have the reference's names, of a whole masked autoencoder or of its encoder; the \
number of heads leaves no trace in it. --verify compares each file with the checksums in state.bin and loads nothing \
into a model; exit code 1 if anything is damaged.";

/// Flags of `vit-mae inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run directory, a checkpoint in it, or a safetensors file
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Show only the tensors whose names fit, with * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    tensor: Option<String>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Check every byte of every file instead
    #[arg(long, conflicts_with = "tensor")]
    verify: bool,
}

/// Inspects and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.verify {
        return check(&args.checkpoint, args.json);
    }
    let pattern = args.tensor.as_deref().map(|text| {
        Pattern::new(text).map_err(|e| Error::setting("--tensor", "a pattern such as 'blocks.*.norm?.*'", e))
    });
    let pattern = pattern.transpose()?;
    let mut inspection = inspect(&args.checkpoint)?;
    if let Some(pattern) = pattern {
        let names = inspection.tensors.len();
        inspection.tensors.retain(|row| pattern.matches(&row.name));
        if inspection.tensors.is_empty() {
            let expected = format!("a pattern that fits one of the {names} tensors");
            return Err(Error::setting("--tensor", expected, pattern));
        }
    }
    if args.json {
        outln!("{}", super::json(&inspection)?);
    } else {
        print(&inspection);
    }
    Ok(())
}

/// Checks every byte, and prints a line a file.
fn check(path: &Path, json: bool) -> Result<()> {
    let checkpoints = verify(path)?;
    if json {
        let sound = checkpoints.iter().all(Verified::is_sound);
        let rows: Vec<_> = checkpoints.iter().map(document).collect();
        outln!("{}", json!({ "sound": sound, "checkpoints": rows }));
    } else {
        checkpoints.iter().for_each(print_verified);
    }
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

/// A checkpoint's files for `--json`.
fn document(checkpoint: &Verified) -> serde_json::Value {
    let file = |file: &FileCheck| {
        let (holds, damage) = match &file.verdict {
            Ok(holds) => (Some(holds), None),
            Err(error) => (None, Some(error.to_string())),
        };
        json!({ "file": file.path, "bytes": file.bytes, "sound": damage.is_none(), "holds": holds, "damage": damage })
    };
    json!({ "checkpoint": checkpoint.dir, "files": checkpoint.files.iter().map(file).collect::<Vec<_>>() })
}

fn print_verified(checkpoint: &Verified) {
    outln!("{}", checkpoint.dir.display());
    for file in &checkpoint.files {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        match &file.verdict {
            Ok(what) => outln!("  {name:<24} {:>12} bytes  ok       {what}", file.bytes),
            Err(error) => outln!("  {name:<24} {:>12} bytes  DAMAGED  {error}", file.bytes),
        }
    }
}
