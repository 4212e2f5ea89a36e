//! `vit-mae data verify`.

use super::super::images_bar::ImagesBar;
use super::super::{json, outln, visible};
use super::Place;
use serde::Serialize;
use vit_mae::data::{Split, crosses_splits, repeated, verify};
use vit_mae::tasks::features::Listener;
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae data verify photos
  vit-mae data verify 'shards/*.tar' --json
  vit-mae data verify photos && vit-mae pretrain --data photos --preset photo

A picture that is there more than once, pixel for pixel, is listed with its places, those of several splits first: what \
a model was trained on tells nothing as a test. It is no error.

Exit code 0 if every image can be decoded, 1 if any cannot; 2 if the data set as a whole cannot be opened, for \
example a shard that is cut short.";

/// Repeated pictures that are named; `--json` names all.
const MOST_NAMED: usize = 10;

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
    /// The places of each picture that is there more than once.
    repeated: Vec<Vec<Spot>>,
}

/// An image that cannot be read.
#[derive(Serialize)]
struct Bad {
    split: Split,
    index: usize,
    image: String,
    reason: String,
}

/// Where a picture is.
#[derive(Serialize)]
struct Spot {
    split: Split,
    index: usize,
    image: String,
}

/// Decodes everything and prints what is bad and what is there more than once.
pub(crate) fn run(args: &Args) -> Result<()> {
    let splits = args.place.open_only(args.split)?;
    let images = splits.iter().map(|(_, dataset)| dataset.len()).sum();
    let bar = ImagesBar::new();
    bar.begins(images);
    let (mut bad, mut pictures) = (Vec::new(), Vec::new());
    for (split, dataset) in &splits {
        let found = verify(&**dataset, &|| bar.finished(1));
        let named = |(index, reason)| Bad { split: *split, index, image: dataset.source(index), reason };
        bad.extend(found.bad.into_iter().map(named));
        pictures.extend(found.pictures.into_iter().map(|(index, picture)| (picture, (*split, index))));
    }
    drop(bar);
    let repeated = repeated(pictures);
    let crossing = repeated.iter().filter(|places| crosses_splits(places)).count();
    let source = |split: Split, index: usize| {
        let of = splits.iter().find(|(found, _)| *found == split);
        of.map_or_else(String::new, |(_, dataset)| dataset.source(index))
    };
    let spot = |(split, index)| Spot { split, index, image: source(split, index) };
    let repeated = repeated.into_iter().map(|places| places.into_iter().map(spot).collect()).collect();
    let report = Report { path: args.place.path.display().to_string(), images, bad, repeated };
    let total = crate::cli::count(images as u64, "image");
    if args.json {
        outln!("{}", json(&report)?);
    } else {
        // A reason names its image.
        report.bad.iter().for_each(|bad| outln!("{}", visible(&bad.reason)));
        if report.bad.is_empty() {
            outln!("{total}: all can be read");
        }
        print_repeated(&report.repeated, crossing);
    }
    if report.bad.is_empty() {
        return Ok(());
    }
    Err(Error::CheckFailed(format!("{} of {total} cannot be read", report.bad.len())))
}

/// How many pictures there are more than once, and the places of the first.
fn print_repeated(repeated: &[Vec<Spot>], crossing: usize) {
    if repeated.is_empty() {
        return;
    }
    let pictures = crate::cli::count(repeated.len() as u64, "picture");
    outln!("{pictures} more than once, {crossing} of them in several splits:");
    for places in repeated.iter().take(MOST_NAMED) {
        let named = places.iter().map(|place| format!("{} {}", place.split, visible(&place.image)));
        outln!("  {}", named.collect::<Vec<_>>().join(" = "));
    }
    if let Some(more) = repeated.len().checked_sub(MOST_NAMED).filter(|&more| more > 0) {
        outln!("  and {more} more (--json names all)");
    }
}
