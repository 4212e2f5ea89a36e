//! `vit-mae reconstruct`.

use super::device::DeviceFlags;
use super::{choice_name, outln};
use serde::Serialize;
use std::path::{Path, PathBuf};
use vit_mae::base::out_file::{check_out_file, check_spared};
use vit_mae::checkpoint::atomic::write_atomic;
use vit_mae::config::Settings;
use vit_mae::data::load_image;
use vit_mae::mae::reconstruct::Stats;
use vit_mae::mae::{Mask, mask_from_file};
use vit_mae::tasks::Config;
use vit_mae::tasks::mae::gallery;
use vit_mae::tasks::mae::gallery::Rows;
use vit_mae::tasks::mae::load;
use vit_mae::train::WorkerPool;
use vit_mae::train::eval_images;
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae reconstruct --checkpoint runs/0001 shoe.png --out rebuilt.png
  vit-mae reconstruct --checkpoint runs/0001 a.jpg b.jpg --mask-ratio 0.9 --seed 7 --out rebuilt.png
  vit-mae reconstruct --checkpoint runs/0001 a.jpg --mask-file removed.json --out rebuilt.png

Columns: original, masked, reconstruction, reconstruction with the visible patches pasted in. Images of \
any size are scaled to the model's and cut to its shape.

A model trained with norm_pix_loss predicts each patch without its mean and contrast. --stats visible \
interpolates both from visible patches; --stats oracle takes them from the true patch, which leaks the \
answer into the picture (its caption says so).";

/// Flags of `vit-mae reconstruct`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// A run directory, or the checkpoint in it
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// The images, PNG or JPEG
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The picture to draw
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
    /// Fraction of patches to remove [default: as in training]
    #[arg(long, conflicts_with = "mask_file")]
    mask_ratio: Option<f64>,
    /// Draws the masks
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Indices of the patches to remove: a JSON list, or numbers separated by spaces, commas or lines
    #[arg(long, value_name = "FILE")]
    mask_file: Option<PathBuf>,
    /// Where the mean and contrast of removed patches come from if the target was normalised (oracle: leaks the answer)
    #[arg(long, default_value = "visible")]
    stats: Stats,
    /// Threads [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceFlags,
    /// One JSON document instead of text, with the patches that were removed from each image
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    picture: &'a Path,
    checkpoint: &'a Path,
    step: u64,
    stats: String,
    images: Vec<Hidden<'a>>,
}

/// An image and the indices of its removed patches, ascending.
#[derive(Serialize)]
struct Hidden<'a> {
    image: &'a Path,
    removed: Vec<usize>,
}

/// Draws the sheet.
pub(crate) fn run(args: &Args) -> Result<()> {
    super::start_threads(args.threads)?;
    check_picture("--out", &args.out, &args.images, true)?;
    let (model, mut config, checkpoint) = load::load(&args.checkpoint)?;
    if let Some(ratio) = args.mask_ratio {
        config.mask.mask_ratio = ratio;
        config.validate().map_err(|e| match e {
            Error::Setting { expected, found, .. } => Error::setting("--mask-ratio", expected, found),
            other => other,
        })?;
    }
    let masks = masks(args, &config)?;
    let input = config.input();
    let images = args
        .images
        .iter()
        .map(|path| input.image(&path.display().to_string(), &load_image(path)?))
        .collect::<Result<Vec<_>>>()?;
    let views: Vec<_> = images.iter().map(|image| image.view()).collect();
    let images = ndarray::stack(ndarray::Axis(0), &views).expect("input images share the model's shape");
    let workers = WorkerPool::new(args.device.engine(config.run.gemm)?);
    let rows = Rows { images: images.view(), masks: &masks, stats: args.stats };
    let png = gallery::draw(&model, &config, rows, &workers)?;
    write_atomic(&args.out, &png)?;
    if !args.json {
        outln!("{}", args.out.display());
        return Ok(());
    }
    let hidden = |(image, mask): (_, &Mask)| Hidden { image, removed: removed(mask) };
    let document = Document {
        picture: &args.out,
        checkpoint: &checkpoint.dir,
        step: checkpoint.state.step,
        stats: choice_name(&args.stats),
        images: args.images.iter().map(PathBuf::as_path).zip(&masks).map(hidden).collect(),
    };
    outln!("{}", super::json(&document)?);
    Ok(())
}

fn removed(mask: &Mask) -> Vec<usize> {
    let mut removed = mask.ids_shuffle[mask.len_keep..].to_vec();
    removed.sort_unstable();
    removed
}

/// Refuses a picture to draw, named by `flag`, that cannot be meant, before the work; no image is overwritten.
pub(super) fn check_picture(flag: &str, out: &Path, images: &[PathBuf], overwrite: bool) -> Result<()> {
    check_spared(flag, out, images, "the images")?;
    check_out_file(flag, out, &["png"], overwrite)
}

/// One mask an image: from the file, or drawn.
fn masks(args: &Args, config: &Config) -> Result<Vec<Mask>> {
    let count = args.images.len();
    if let Some(path) = &args.mask_file {
        return Ok(vec![mask_from_file(path, config.model.num_patches())?; count]);
    }
    let masking = config.masking();
    Ok((0..count).map(|i| masking.mask(args.seed, eval_images::EPOCH, i as u64)).collect())
}
