//! `vit-mae data verify`.

use super::super::images_bar::ImagesBar;
use super::super::{json, outln, visible};
use super::Place;
use serde::Serialize;
use vit_mae::data::{Split, verify};
use vit_mae::tasks::features::Listener;
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae data verify photos
  vit-mae data verify 'shards/*.tar' --json
  vit-mae data verify photos && vit-mae pretrain --data photos --preset photo

Exit code 0 if every image can be decoded, 1 if any cannot; 2 if the data set as a whole cannot be opened, for \
example a shard that is cut short.";

/// Flags of `vit-mae data verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Only this part of the data
    #[arg(long)]
    split: Option<crate::cli::SplitName>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    path: String,
    images: usize,
    bad: Vec<Bad>,
}

/// An image that cannot be read.
#[derive(Serialize)]
struct Bad {
    split: Split,
    index: usize,
    image: String,
    reason: String,
}

/// Decodes everything and prints what is bad.
pub(crate) fn run(args: &Args) -> Result<()> {
    let splits = args.place.open_only(args.split)?;
    let images = splits.iter().map(|(_, dataset)| dataset.len()).sum();
    let bar = ImagesBar::new();
    bar.begins(images);
    let mut bad = Vec::new();
    for (split, dataset) in &splits {
        let found = verify(&**dataset, &|| bar.finished(1));
        let named = |(index, reason)| Bad { split: *split, index, image: dataset.source(index), reason };
        bad.extend(found.into_iter().map(named));
    }
    drop(bar);
    let report = Report { path: args.place.path.display().to_string(), images, bad };
    let total = crate::cli::count(images as u64, "image");
    if args.json {
        outln!("{}", json(&report)?);
    } else {
        // A reason names its image.
        report.bad.iter().for_each(|bad| outln!("{}", visible(&bad.reason)));
        if report.bad.is_empty() {
            outln!("{total}: all can be read");
        }
    }
    if report.bad.is_empty() {
        return Ok(());
    }
    Err(Error::CheckFailed(format!("{} of {total} cannot be read", report.bad.len())))
}
