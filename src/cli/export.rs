//! `vit-mae export`.

use super::judged::Folder;
use super::outln;
use super::stderr::note;
use std::fs;
use std::path::{Path, PathBuf};
use vit_mae::base::out_file::check_out_file;
use vit_mae::checkpoint::atomic::write_atomic;
use vit_mae::interop::csv;
use vit_mae::train::logs::tensorboard;
use vit_mae::train::run_dir::is_event_file;
use vit_mae::train::{RunDir, metrics};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae export runs/0001 --to csv --out metrics.csv
  vit-mae export runs/0001 --to tensorboard --out board/0001     then: tensorboard --logdir board

CSV has a row for each line of metrics.jsonl and a column for each key. TensorBoard gets scalars (loss, learning rate, \
norm of the gradient, images per second, validation loss and accuracy) and pictures (reconstructions, confusion matrix). \
A run that is going on can be exported as far as it is.";

/// Flags of `vit-mae export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run directory, of pre-training or fine-tuning
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// In which form
    #[arg(long)]
    to: Form,
    /// A .csv file, or a folder for TensorBoard's event file
    #[arg(long, value_name = "FILE.csv|DIR")]
    out: PathBuf,
    /// Replace an earlier export
    #[arg(long)]
    overwrite: bool,
    /// Print what was written as one JSON document
    #[arg(long)]
    json: bool,
}

/// What a log can become.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// A table for spreadsheets and data frames
    Csv,
    /// An event file
    Tensorboard,
}

/// Writes the file, and says where.
pub(crate) fn run(args: &Args) -> Result<()> {
    let run = RunDir::look_at(&args.run)?;
    let torn = fs::read(run.metrics()).is_ok_and(|log| metrics::is_torn(&log));
    let (file, bytes) = match args.to {
        Form::Csv => {
            check_out_file("--out", &args.out, &["csv"], args.overwrite)?;
            let bytes = csv::table(&metrics::read(&run.metrics())?)?;
            write_atomic(&args.out, &bytes)?;
            (args.out.clone(), bytes.len())
        }
        Form::Tensorboard => {
            let earlier = earlier_events(&args.out)?;
            let names: Vec<&str> = earlier.iter().map(String::as_str).collect();
            let folder = Folder::new(Some(&args.out), args.overwrite, &names)?;
            let (name, bytes) = tensorboard::export(&run)?;
            if let Some(folder) = folder {
                folder.write(&name, &bytes)?;
            }
            // TensorBoard would show both.
            for old in earlier.iter().filter(|old| **old != name).map(|old| args.out.join(old)) {
                fs::remove_file(&old).map_err(Error::write(&old))?;
            }
            (args.out.join(name), bytes.len())
        }
    };
    if torn {
        note(
            "the last line of metrics.jsonl is cut short, as a run that is writing it or was killed leaves it; it was left out",
        );
    }
    if args.json {
        outln!("{}", serde_json::json!({ "run": run.path(), "file": file, "bytes": bytes, "torn": torn }));
    } else {
        outln!("{}", file.display());
    }
    Ok(())
}

/// The event files of earlier exports in a folder, if it is there. Beside those of anything else TensorBoard would show two runs as
/// one, and they are not replaced.
fn earlier_events(folder: &Path) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(Error::read(folder))?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| is_event_file(name));
    match names.iter().find(|name| !tensorboard::is_export(name)) {
        Some(name) => {
            let expected =
                "a folder without event files of a run or of other programs, which are not replaced";
            Err(Error::setting("--out", expected, folder.join(name).display()))
        }
        None => Ok(names),
    }
}
