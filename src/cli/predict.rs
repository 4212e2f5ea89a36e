//! `vit-mae predict`.

use super::device::DeviceFlags;
use super::judged::Folder;
use super::stderr::note;
use super::{outln, visible};
use std::path::PathBuf;
use vit_mae::base::out_file::check_spared;
use vit_mae::tasks::finetuning::{WithTransfer, with_transfer_at};
use vit_mae::tasks::transfer::{PredictRequest, Transfer};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae predict --checkpoint runs/0002 shoe.png
  vit-mae predict --checkpoint runs/0002 photos/*.jpg --top 3 --json

  vit-mae predict --checkpoint runs/0003 street.jpg --out seen     a segmentation network: a map and a picture of it

Images are PNG or JPEG of any size. A classifier sees the centre, scaled to its size; a segmentation network all of it in its \
own proportions, or with --slide window by window. Maps have a class in every pixel, as an index into the palette, and the \
size of the picture.";

/// Flags of `vit-mae predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A fine-tuned model: a run directory, or the checkpoint in it
    #[arg(long, value_name = "RUN")]
    checkpoint: PathBuf,
    /// The images, PNG or JPEG
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// How many classes a classifier names for each image [default: 5]
    #[arg(long)]
    top: Option<usize>,
    /// See pictures window by window at their own size, where the model draws maps
    #[arg(long)]
    slide: bool,
    /// Write what is seen to this folder: of each picture NAME.png with a class in every pixel, and NAME.overlay.png
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace it if it is there
    #[arg(long, requires = "out")]
    overwrite: bool,
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
            slide: args.slide,
            engine: &|gemm| args.device.engine(gemm),
        };
        let predicted = T::predict(&request)?;
        if let Some(out) = &args.out {
            if predicted.files.is_empty() {
                return Err(Error::setting("--out", "a model whose task draws what it sees", T::TRANSFER));
            }
            let mut files = predicted.files.iter().map(|(name, _)| out.join(name));
            files.try_for_each(|file| check_spared("--out", &file, &args.images, "the images"))?;
            let names: Vec<&str> = predicted.files.iter().map(|(name, _)| name.as_str()).collect();
            if let Some(folder) = Folder::new(Some(out), args.overwrite, &names)? {
                predicted.files.iter().try_for_each(|(name, bytes)| folder.write(name, bytes))?;
            }
        } else if !predicted.files.is_empty() {
            note("--out DIR draws what is seen, and writes it as files");
        }
        if args.json {
            outln!("{}", predicted.json);
        } else {
            predicted.lines.iter().for_each(|line| outln!("{}", visible(line)));
        }
        Ok(())
    }
}
