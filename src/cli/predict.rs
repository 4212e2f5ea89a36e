//! `vit-mae predict`.

use super::device::DeviceFlags;
use super::outln;
use std::path::PathBuf;
use vit_mae::Result;
use vit_mae::tasks::finetuning::{WithTransfer, with_transfer_at};
use vit_mae::tasks::transfer::{PredictRequest, Transfer};

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

/// Predicts and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    super::start_threads(args.threads)?;
    with_transfer_at(&args.checkpoint, Prediction { args })
}

/// What is asked, whatever the task.
struct Prediction<'a> {
    args: &'a Args,
}

impl WithTransfer for Prediction<'_> {
    type Output = ();

    fn run<T: Transfer>(self) -> Result<()> {
        let Self { args } = self;
        let request = PredictRequest {
            checkpoint: &args.checkpoint,
            pictures: &args.images,
            top: args.top,
            engine: &|gemm| args.device.engine(gemm),
        };
        let predicted = T::predict(&request)?;
        if args.json {
            outln!("{}", predicted.json);
        } else {
            predicted.lines.iter().for_each(|line| outln!("{line}"));
        }
        Ok(())
    }
}
