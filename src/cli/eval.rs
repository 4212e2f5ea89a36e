//! `vit-mae eval`.

use super::device::DeviceFlags;
use super::flags::LabelledData;
use super::images_bar::ImagesBar;
use super::judged::{Folder, print_table};
use super::stderr::notes;
use super::{outln, print_skipped};
use std::path::PathBuf;
use vit_mae::Result;
use vit_mae::data::Split;
use vit_mae::tasks::finetuning::{WithTransfer, with_transfer_at};
use vit_mae::tasks::transfer::{JudgeRequest, Transfer};

const EXAMPLES: &str = "\
Examples:
  vit-mae eval --checkpoint runs/0002                         the test split of the data it was tuned on
  vit-mae eval --checkpoint runs/0002 --data photos/train     any folder with one sub-folder a class
  vit-mae eval --checkpoint runs/0002 --split train --json
  vit-mae eval --checkpoint runs/0002 --out judged            also evaluation.json, confusion.png, wrong.png
  vit-mae eval --checkpoint runs/0003 --slide                 a segmentation network, window by window

Classes are told by their names; a classifier's data may lack some of those that were learnt, that of other tasks may not. Without --split the test split is \
judged where there is one, else the validation split, else all images. wrong.png shows the images on which the \
classifier is most confidently wrong. Of a segmentation network: mIoU and accuracies over the pixels of all images, and with \
--out the map of each as a PNG with a palette under the image's name, and worst.png with the images of the lowest mIoU.";

/// Flags of `vit-mae eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A fine-tuned model: a run directory, or the checkpoint in it
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
    /// Write evaluation.json and pictures to this folder; of a segmentation network also its maps
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Judge images window by window at their own size, where the model draws maps
    #[arg(long)]
    slide: bool,
    /// Replace them if they are there
    #[arg(long, requires = "out")]
    overwrite: bool,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceFlags,
}

/// Judges and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    super::start_threads(args.threads)?;
    with_transfer_at(&args.checkpoint, Evaluation { args })
}

/// What is asked, whatever the task.
struct Evaluation<'a> {
    args: &'a Args,
}

impl WithTransfer for Evaluation<'_> {
    type Output = ();

    fn run<T: Transfer>(self) -> Result<()> {
        let Self { args } = self;
        let out = args.out.as_deref();
        let folder = Folder::new(out, args.overwrite, T::JUDGED_FILES)?;
        let writes = out.map(|out| T::JUDGED_FILES.iter().map(|name| out.join(name)).collect());
        let request = JudgeRequest {
            checkpoint: &args.checkpoint,
            data: args.labelled.data.as_deref(),
            format: args.labelled.format.as_deref(),
            split: args.split.map(Split::from),
            skip_bad_images: args.labelled.skip_bad_images,
            slide: args.slide,
            writes: writes.unwrap_or_default(),
            engine: &|gemm| args.device.engine(gemm),
        };
        let bar = ImagesBar::new();
        let judged = T::judge(&request, &bar)?;
        drop(bar);
        notes(&judged.notes);
        if let Some(folder) = &folder {
            folder.replace(&judged.files)?;
        }
        if args.json {
            outln!("{}", judged.json);
            return Ok(());
        }
        judged.head.iter().for_each(|(word, text)| outln!("{word:<11} {text}"));
        for table in &judged.tables {
            outln!();
            print_table(table);
        }
        print_skipped(&judged.skipped);
        Ok(())
    }
}
