//! `vit-mae eval`.

use super::device::DeviceFlags;
use super::flags::LabelledData;
use super::images_bar::ImagesBar;
use super::judged::{Folder, classes_in_words, print_classes, print_head, print_row};
use super::stderr::{note, notes};
use super::{outln, print_skipped};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use vit_mae::Result;
use vit_mae::data::{Dataset, Split};
use vit_mae::tasks::classify;
use vit_mae::tasks::classify::confusion;
use vit_mae::tasks::classify::summary::Summary;
use vit_mae::tasks::features::Listener;
use vit_mae::tasks::mae::config::DataConfig;
use vit_mae::train::readable::readable;
use vit_mae::train::source;

const EXAMPLES: &str = "\
Examples:
  vit-mae eval --checkpoint runs/0002                         the test split of the data it was tuned on
  vit-mae eval --checkpoint runs/0002 --data photos/train     any folder with one sub-folder a class
  vit-mae eval --checkpoint runs/0002 --split train --json
  vit-mae eval --checkpoint runs/0002 --out judged            also evaluation.json, confusion.png, wrong.png

Classes are told by their names; the data may lack some of those that were learnt. Without --split the test split is \
judged where there is one, else the validation split, else all images. wrong.png shows the images on which the \
classifier is most confidently wrong.";

/// Flags of `vit-mae eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A fine-tuned classifier: a run directory, or the checkpoint in it
    #[arg(long, value_name = "RUN")]
    checkpoint: PathBuf,
    #[command(flatten)]
    labelled: LabelledData,
    /// Which part of the data [default: test where there is one, else validation, else all images]
    #[arg(long)]
    split: Option<super::SplitName>,
    /// One JSON document instead of text, with the confusion matrix
    #[arg(long)]
    json: bool,
    /// Write evaluation.json, confusion.png and wrong.png to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace them if they are there
    #[arg(long, requires = "out")]
    overwrite: bool,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceFlags,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    checkpoint: PathBuf,
    step: u64,
    data: String,
    /// Why images were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
    #[serde(flatten)]
    summary: Summary,
}

const FILES: [&str; 3] = ["evaluation.json", "confusion.png", "wrong.png"];

/// The test split, or what stands in for it, which is said.
fn judged(data: &DataConfig) -> Result<Arc<dyn Dataset>> {
    let (split, dataset) = source::judged_or_all(data)?;
    if split == Split::Validation {
        note("the data has no test split: its validation split is judged");
    }
    Ok(dataset)
}

/// Judges and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    super::start_threads(args.threads)?;
    let folder = Folder::new(args.out.as_deref(), args.overwrite, &FILES)?;
    let (model, mut config, checkpoint) = classify::load_best(&args.checkpoint)?;
    source::use_data(&mut config.data, args.labelled.data.as_deref(), args.labelled.format.as_deref());
    let dataset = match args.split.map(Split::from) {
        Some(split) => source::open_split(&config.data, split)?,
        None => judged(&config.data)?,
    };
    notes(dataset.notes());
    let input = config.input();
    let skip = config.data.skip_bad_images || args.labelled.skip_bad_images;
    let (dataset, skipped) = readable(dataset, &input, skip)?;
    let engine = args.device.engine(config.run.gemm)?;
    let evaluator = config.evaluator(&model, &input, &checkpoint.dir, &engine);
    let bar = ImagesBar::new();
    bar.begins(dataset.len());
    let evaluation = evaluator.evaluate(&*dataset, &bar)?;
    drop(bar);
    let classes = &config.finetune.classes;
    let report = Report {
        step: checkpoint.state.step,
        data: dataset.describe(),
        skipped,
        summary: Summary::new(&evaluation.metrics, classes),
        checkpoint: checkpoint.dir.clone(),
    };
    let json = super::json(&report)?;
    if let Some(folder) = &folder {
        let title = format!(
            "{} on {} images of {}: {:.1} % right",
            report.checkpoint.display(),
            report.summary.images,
            report.data,
            100.0 * report.summary.top1
        );
        folder.write(FILES[0], json.as_bytes())?;
        folder.write(FILES[1], &confusion::draw(&evaluation.metrics, classes, &title)?)?;
        if let Some(sheet) = evaluator.wrong_sheet(&evaluation, &*dataset)? {
            folder.write(FILES[2], &sheet)?;
        }
    }
    if args.json {
        outln!("{json}");
        return Ok(());
    }
    outln!("checkpoint  {}, step {}", report.checkpoint.display(), report.step);
    outln!("data        {}\n", report.data);
    print_head();
    print_row(&classes_in_words(&report.summary), &report.summary);
    outln!();
    print_classes(&report.summary);
    print_skipped(&report.skipped);
    Ok(())
}
