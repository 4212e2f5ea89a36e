//! `vit-mae data preview`.

use super::super::{json, outln, visible};
use super::Place;
use serde::Serialize;
use std::path::PathBuf;
use vit_mae::Result;
use vit_mae::base::out_file::{check_out_file, check_spared};
use vit_mae::checkpoint::atomic::write_atomic;
use vit_mae::draw::preview::{Preview, draw};

const EXAMPLES: &str = "\
Examples:
  vit-mae data preview data/fashion-mini --out sheet.png
  vit-mae data preview photos --out sheet.png --seed 7 --columns 12
  vit-mae data preview 'shards/*.tar' --out sheet.png --rows 20

A row shows images of one class under their class's name; without labels all rows show images and where they come \
from. Where there are more classes than rows, --seed draws some.";

/// Flags of `vit-mae data preview`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The PNG file to write
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
    /// Which part of the data
    #[arg(long, default_value = "train")]
    split: crate::cli::SplitName,
    /// Draws the images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Classes, or rows of images without labels
    #[arg(long, default_value_t = 10)]
    rows: usize,
    /// Images in a row
    #[arg(long, default_value_t = 8)]
    columns: usize,
    /// Replace the file if it is there
    #[arg(long)]
    overwrite: bool,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    written: PathBuf,
    data: String,
    images: usize,
    classes_shown: usize,
    classes: usize,
    bad: Vec<String>,
}

/// Draws and writes.
pub(crate) fn run(args: &Args) -> Result<()> {
    check_out_file("--out", &args.out, &["png"], args.overwrite)?;
    check_spared("--out", &args.out, std::slice::from_ref(&args.place.path), "the images")?;
    let splits = args.place.open_only(Some(args.split))?;
    let (_, dataset) = &splits[0];
    let preview = Preview { rows: args.rows, columns: args.columns, seed: args.seed };
    let sheet = draw(&**dataset, &preview)?;
    write_atomic(&args.out, &sheet.png)?;
    let [classes_shown, classes] = sheet.classes;
    let (data, images, bad) = (dataset.describe(), sheet.shown, sheet.bad);
    let report = Report { written: args.out.clone(), data, images, classes_shown, classes, bad };
    if args.json {
        outln!("{}", json(&report)?);
        return Ok(());
    }
    outln!("data     {}", report.data);
    let of = if classes > 0 { format!(", {classes_shown} of {classes} classes") } else { String::new() };
    outln!("images   {images}{of}");
    report.bad.iter().for_each(|reason| outln!("bad      {}", visible(reason)));
    outln!("written  {}", report.written.display());
    Ok(())
}
