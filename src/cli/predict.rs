//! `vit-mae predict`.

use super::device::DeviceFlags;
use super::outln;
use serde::Serialize;
use std::path::PathBuf;
use vit_mae::tasks::classify;
use vit_mae::tasks::classify::evaluate::Prediction;
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae predict --checkpoint runs/0002 shoe.png
  vit-mae predict --checkpoint runs/0002 photos/*.jpg --top 3 --json

Images are PNG or JPEG of any size; they are scaled to the model's size and their centre is cut out.";

/// Flags of `vit-mae predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A fine-tuned classifier: a run directory, or the checkpoint in it
    #[arg(long, value_name = "RUN")]
    checkpoint: PathBuf,
    /// The images, PNG or JPEG
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// How many classes are named for each image
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceFlags,
}

/// What `--json` prints for an image.
#[derive(Serialize)]
struct Answer<'a> {
    image: &'a PathBuf,
    predictions: Vec<Prediction>,
}

/// Predicts and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    super::start_threads(args.threads)?;
    if args.top == 0 {
        return Err(Error::setting("--top", "at least 1", args.top));
    }
    let (model, config, checkpoint) = classify::load_best(&args.checkpoint)?;
    let input = config.input();
    let engine = args.device.engine(config.run.gemm)?;
    let evaluator = config.evaluator(&model, &input, &checkpoint.dir, &engine);
    let answers = args.images.iter().zip(evaluator.predict(&args.images, args.top)?);
    let answers: Vec<Answer> = answers.map(|(image, predictions)| Answer { image, predictions }).collect();
    if args.json {
        outln!("{}", super::json(&answers)?);
        return Ok(());
    }
    let widest = config.finetune.classes.iter().map(|class| class.chars().count()).max().unwrap_or(0);
    for answer in &answers {
        outln!("{}", answer.image.display());
        for Prediction { class, probability } in &answer.predictions {
            outln!("  {class:<widest$}  {:>6.2} %", 100.0 * probability);
        }
    }
    Ok(())
}
