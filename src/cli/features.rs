//! `vit-mae features`.

mod picture;

use super::device::DeviceFlags;
use super::images_bar::ImagesBar;
use super::{outln, print_skipped, visible};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vit_mae::base::out_file::check_spared;
use vit_mae::data::{Dataset, TargetKind};
use vit_mae::interop::export::Export;
use vit_mae::models::classify::Pooling;
use vit_mae::tasks::features::{Listener, features};
use vit_mae::tasks::pretrained::Pretrained;
use vit_mae::train::readable::readable;
use vit_mae::train::source;
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae features --checkpoint runs/0001 --out train.npy
  vit-mae features --checkpoint runs/0001 --split test --out test.npy
  vit-mae features --checkpoint runs/0001 --data photos --pool mean --out photos.safetensors
  vit-mae features --checkpoint runs/0001 --picture sees.png shoe.png coat.png
  vit-mae features --checkpoint runs/mae --checkpoint runs/moco --picture both.png shoe.png coat.png

One row an image, in the order of the data: the encoder's output for the whole image, nothing masked. Labels, if \
the data has any, go to train.labels.npy, or into the same .safetensors file as `labels`; each is the number of its \
class where classes are numbers, else a position in the sorted names of the classes.

--picture draws what encoders see instead: a row for each image and checkpoint, with the class token's attention of each \
head of the last block, and the patches' features as colours, their first three principal components.";

/// Flags of `vit-mae features`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run directory, or the checkpoint in it; several for a --picture that compares them
    #[arg(long, value_name = "RUN", required = true)]
    checkpoint: Vec<PathBuf>,
    /// Draw what the encoder sees in the images that are named: where its class token looks, and its patches in colours
    #[arg(long, value_name = "FILE.png", requires = "images")]
    #[arg(conflicts_with_all = ["out", "data", "format", "split", "pool", "skip_bad_images"])]
    picture: Option<PathBuf>,
    /// The images of the picture, PNG or JPEG
    #[arg(value_name = "IMAGE", requires = "picture", conflicts_with = "out")]
    images: Vec<PathBuf>,
    /// The images: a folder of PNG/JPEG, IDX, CIFAR, NumPy or WebDataset files [default: the checkpoint's]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The data's format if the path does not tell: idx, cifar, npy, webdataset, parquet, scenes, label-maps, coco, voc, folder
    #[arg(long)]
    format: Option<String>,
    /// Skip images that cannot be read (they are counted and listed) instead of stopping
    #[arg(long)]
    skip_bad_images: bool,
    /// Which part of the data
    #[arg(long, default_value = "train")]
    split: super::SplitName,
    /// The class token, or the mean of the patches' tokens, behind the encoder's last norm
    #[arg(long, alias = "pooling", default_value = "class")]
    pool: Pooling,
    /// The file to write
    #[arg(long, value_name = "FILE.npy|FILE.safetensors", required_unless_present = "picture")]
    out: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceFlags,
    /// Print what was written as one JSON document
    #[arg(long)]
    json: bool,
}

/// Computes and writes, or draws them.
pub(crate) fn run(args: &Args) -> Result<()> {
    super::start_threads(args.threads)?;
    match (&args.picture, &args.out, &args.checkpoint[..]) {
        (Some(picture), ..) => picture::run(args, picture),
        (None, Some(out), [checkpoint]) => write(args, checkpoint, out),
        (None, _, several) => {
            let expected = "one for --out, or --picture FILE.png IMAGE... to compare several";
            Err(Error::setting("--checkpoint", expected, several.len()))
        }
    }
}

/// Features of a data set, in a file.
fn write(args: &Args, checkpoint: &Path, out: &Path) -> Result<()> {
    let export = Export::new(out, args.overwrite)?;
    let mut pretrained = Pretrained::open(checkpoint)?;
    source::use_data(&mut pretrained.data, args.data.as_deref(), args.format.as_deref());
    let input = pretrained.input();
    let Pretrained { encoder, data, run, checkpoint, .. } = pretrained;
    for file in export.files() {
        check_spared("--out", &file, data.path.as_slice(), "those of the data")?;
        check_spared("--out", &file, std::slice::from_ref(&checkpoint.dir), "those of the checkpoint")?;
    }
    let dataset = source::open_split(&data, args.split.into())?;
    super::stderr::notes(dataset.notes());
    let engine = args.device.engine(run.gemm)?;
    let skip = data.skip_bad_images || args.skip_bad_images;
    let (dataset, skipped) = readable(dataset, &input, skip)?;
    let bar = ImagesBar::new();
    bar.begins(dataset.len());
    let features = features(&encoder, args.pool, &*dataset, &input, &engine, &bar)?;
    drop(bar);
    let labelled = dataset.target_kind() == TargetKind::Class;
    let labels = if labelled { Some(numbers(&*dataset)?) } else { None };
    let about = BTreeMap::from([
        ("checkpoint".to_owned(), checkpoint.dir.display().to_string()),
        ("step".to_owned(), checkpoint.state.step.to_string()),
        ("weights".to_owned(), format!("{:08x}", checkpoint.state.checksums.model)),
        ("pool".to_owned(), super::choice_name(&args.pool)),
        ("data".to_owned(), dataset.describe()),
        ("classes".to_owned(), serde_json::to_string(dataset.classes()).unwrap_or_default()),
    ]);
    let files = export.write(&features, labels.as_deref(), &about)?;
    if args.json {
        let (images, width) = features.dim();
        let document = json!({
            "checkpoint": checkpoint.dir, "step": checkpoint.state.step, "data": dataset.describe(),
            "images": images, "width": width, "labelled": labels.is_some(), "files": files,
            "label_problem": dataset.label_problem().map(ToString::to_string),
            "skipped": skipped,
        });
        outln!("{document}");
        return Ok(());
    }
    outln!("data      {}", dataset.describe());
    outln!("features  {} × {}, f32", features.nrows(), features.ncols());
    if let Some(problem) = dataset.label_problem() {
        outln!("labels    none, as they cannot be used: {}", visible(&problem.to_string()));
    }
    for file in files {
        outln!("written   {}", file.display());
    }
    print_skipped(&skipped);
    Ok(())
}

/// The class of every image: its number where all classes are numbers, whose names may have gaps, else its position.
fn numbers(dataset: &dyn Dataset) -> Result<Vec<usize>> {
    let number = |class: &String| class.parse().ok().filter(|number: &u32| number.to_string() == *class);
    let numbers: Option<Vec<u32>> = dataset.classes().iter().map(number).collect();
    let of = |label: usize| numbers.as_ref().map_or(label, |numbers| numbers[label] as usize);
    Ok(dataset.labels()?.into_iter().map(of).collect())
}
