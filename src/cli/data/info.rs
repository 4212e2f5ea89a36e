//! `vit-mae data info`.

use super::super::images_bar::ImagesBar;
use super::super::{json, outln, visible};
use super::Place;
use serde::Serialize;
use std::fmt::Write;
use vit_mae::Result;
use vit_mae::data::dense_survey::DenseSurvey;
use vit_mae::data::{Contents, OfSplit, Split, Survey, survey};
use vit_mae::tasks::features::Listener;

const EXAMPLES: &str = "\
Examples:
  vit-mae data info data/fashion-mini
  vit-mae data info 'shards/train-*.tar' --all
  vit-mae data info photos --json | jq '.splits[0].classes'
  vit-mae data info ADEChallengeData2016 --reduce-zero-label

Sizes, channels, mean and standard deviation are those of at most 1000 evenly spaced images a split, or of all with --all, \
and so are pixels and objects of classes; classes of whole images are counted over all. docs/data.md has the formats.";

/// How many images are looked at unless all are.
const MOST_IMAGES: usize = 1000;

/// Flags of `vit-mae data info`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Look at every image, not at 1000 of them
    #[arg(long)]
    all: bool,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    path: String,
    splits: Vec<SplitReport>,
    /// What is there and not read.
    notes: Vec<String>,
}

#[derive(Serialize)]
struct SplitReport {
    split: Split,
    data: String,
    #[serde(flatten)]
    survey: Survey,
}

/// Looks and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Contents { splits, notes } = args.place.open()?;
    let most = (!args.all).then_some(MOST_IMAGES);
    let bar = ImagesBar::new();
    for (_, dataset) in &splits {
        bar.begins(most.map_or(dataset.len(), |most| most.min(dataset.len())));
    }
    let look = |(split, dataset): OfSplit| SplitReport {
        split,
        data: dataset.describe(),
        survey: survey(&*dataset, most, &|| bar.finished(1)),
    };
    let splits = splits.into_iter().map(look).collect();
    drop(bar);
    let report = Report { path: args.place.path.display().to_string(), splits, notes };
    if args.json {
        outln!("{}", json(&report)?);
    } else {
        report.splits.iter().for_each(print);
    }
    Ok(())
}

fn print(SplitReport { split, data, survey }: &SplitReport) {
    outln!("{split}\n  data      {}", visible(data));
    let Survey { images, looked_at, .. } = survey;
    let of = if looked_at < images { format!(", {looked_at} of them looked at") } else { String::new() };
    outln!("  images    {images}{of}");
    if let (Some(height), Some(width)) = (survey.height, survey.width) {
        let [high, wide] = survey.median.unwrap_or_default();
        outln!("  size      {} high, {} wide", range(height, high), range(width, wide));
    }
    let channels: Vec<String> =
        survey.channels.iter().map(|(&n, images)| kind(n, survey.alpha > 0, *images)).collect();
    outln!("  channels  {}", channels.join(", "));
    if let Some(pixels) = &survey.pixels {
        outln!("  mean      {}", numbers(&pixels.mean));
        outln!("  std       {}", numbers(&pixels.std));
    }
    if let Some(first) = &survey.first_bad {
        outln!("  bad       {} of {looked_at}, the first: {}", survey.bad, visible(first));
    }
    if let Some(problem) = &survey.label_problem {
        outln!("  classes   labels that cannot be used: {}\n", visible(problem));
        return;
    }
    if let Some(dense) = &survey.dense {
        print_dense(dense);
        return;
    }
    if survey.classes.is_empty() {
        outln!("  classes   no labels\n");
        return;
    }
    outln!("  classes   {}\n", survey.classes.len());
    let widest = survey.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
    outln!("    {:<widest$} {:>8}", "class", "images");
    for class in &survey.classes {
        outln!("    {:<widest$} {:>8}", visible(&class.name), class.images);
    }
    outln!();
}

fn range([low, high]: [usize; 2], median: usize) -> String {
    if low == high { low.to_string() } else { format!("{low} to {high} (median {median})") }
}

/// What label maps or objects hold, of the images looked at.
fn print_dense(dense: &DenseSurvey) {
    let ignored =
        dense.ignored.map_or(String::new(), |part| format!(", {} of the pixels ignored", percent(part)));
    let crowds = dense
        .crowds
        .filter(|&n| n > 0)
        .map_or(String::new(), |crowds| format!(", {crowds} of the objects crowds"));
    outln!("  target    {}{ignored}{crowds}", dense.kind);
    outln!("  classes   {}\n", dense.classes.len());
    let widest = dense.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
    let objects = if dense.crowds.is_some() { "  objects    small   medium    large" } else { "" };
    outln!("    {:<widest$} {:>8}{objects} {:>8}", "class", "images", "pixels");
    for class in &dense.classes {
        let numbers = class.objects.into_iter().chain(class.sizes.into_iter().flatten());
        let objects = numbers.map(|number| format!(" {number:>8}")).collect::<Vec<_>>().concat();
        outln!(
            "    {:<widest$} {:>8}{objects} {:>8}",
            visible(&class.name),
            class.images,
            percent(class.pixels)
        );
    }
    outln!();
}

fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

fn kind(channels: usize, alpha: bool, images: usize) -> String {
    let name = match (channels, alpha) {
        (1, _) => "grey".to_owned(),
        (2, true) => "grey with alpha".to_owned(),
        (3, _) => "colour".to_owned(),
        (4, true) => "colour with alpha".to_owned(),
        (n, _) => format!("{n} channels"),
    };
    format!("{name} ({images})")
}

fn numbers(values: &[f32]) -> String {
    values.iter().fold(String::new(), |mut text, x| {
        let _ = write!(text, "{}{x:.4}", if text.is_empty() { "" } else { ", " });
        text
    })
}
