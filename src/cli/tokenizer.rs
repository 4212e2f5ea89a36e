//! `vit-mae tokenizer`.

use super::settings::{Override, given, over_environment, path, sides, whole};
use super::stderr::bar_target;
use super::{count, outln};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::cell::RefCell;
use std::path::PathBuf;
use vit_mae::Result;
use vit_mae::base::out_file::check_out_file;
use vit_mae::models::beit::kmeans::Iteration;
use vit_mae::tasks::beit::codebook::{Making, of_run};
use vit_mae::tasks::beit::{BeitSettings, BeitStyle};
use vit_mae::tasks::mae::presets;
use vit_mae::train::Task;

const EXAMPLES: &str = "\
Examples:
  vit-mae tokenizer --out codebook.safetensors                       of the embedded images, as `pretrain --method beit` does it
  vit-mae tokenizer --data photos --preset photo --tokens 1024 --out codebook.safetensors
  vit-mae tokenizer --tokens 256 --normalised --out contrast.safetensors
  vit-mae pretrain --method beit --set beit.codebook='\"codebook.safetensors\"'

k-means of the patches of the training images; a patch's token is its nearest centroid. The same settings, data and seed give \
the same file on any number of threads. A run without a codebook makes one by itself and leaves it in its directory.";

/// Flags of `vit-mae tokenizer`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// The images' size, channels and patches are this preset's: nano, cifar, photo, vit-tiny, vit-base, vit-large, vit-huge
    #[arg(long, default_value = presets::DEFAULT)]
    preset: String,
    /// Images: a folder of PNG/JPEG, IDX, CIFAR, NumPy or WebDataset files [presets nano and photo bring some]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The data's format if the path does not tell: idx, cifar, npy, webdataset, parquet, scenes, label-maps, coco, voc, folder
    #[arg(long)]
    format: Option<String>,
    /// Skip images that cannot be read instead of stopping
    #[arg(long)]
    skip_bad_images: bool,
    /// Height and width of the images in pixels, for example 32 or 32,64
    #[arg(long, value_name = "H[,W]", value_delimiter = ',', num_args = 1)]
    img_size: Vec<usize>,
    /// Channels of the images
    #[arg(long)]
    in_chans: Option<usize>,
    /// Side of a patch in pixels
    #[arg(long)]
    patch_size: Option<usize>,
    /// Tokens, which are the centroids of k-means [default: 512]
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// Take each patch's own mean and standard deviation out first
    #[arg(long)]
    normalised: bool,
    /// Patches that k-means is given, at most [default: 65536]
    #[arg(long, value_name = "N")]
    patches: Option<usize>,
    /// Iterations, at most [default: 20]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Everything random follows from this number
    #[arg(long)]
    seed: Option<u64>,
    /// The file to write
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// Print what was made as one JSON document
    #[arg(long)]
    json: bool,
}

/// Makes and writes a codebook.
pub(crate) fn run(args: &Args) -> Result<()> {
    super::start_threads(args.threads)?;
    check_out_file("--out", &args.out, &["safetensors"], args.overwrite)?;
    let overrides = over_environment(args.overrides()?)?;
    let mut config = BeitSettings::layered(&args.preset, None, &overrides)?.config;
    config.beit.codebook = None;
    let train = BeitStyle::source(&config)?.train;
    super::stderr::notes(train.notes());
    let bar = Bar::new();
    let tokens = of_run(&*train, &mut config, &bar)?;
    let last = bar.done();
    tokens.write(&args.out)?;
    let model = &config.model;
    if args.json {
        let document = json!({
            "data": train.describe(), "tokens": config.beit.tokens, "normalised": config.beit.normalised,
            "patch_size": model.patch_size, "in_chans": model.in_chans,
            "patches": last.as_ref().map(|last| last.patches), "iterations": last.as_ref().map(|last| last.iterations),
            "inertia": last.as_ref().map(|last| last.inertia), "empty": last.as_ref().map(|last| last.empty),
            "digest": format!("{:08x}", tokens.crc()), "file": args.out,
        });
        outln!("{document}");
        return Ok(());
    }
    let kind = if config.beit.normalised { "normalised patches" } else { "patches" };
    outln!("data      {}", train.describe());
    outln!(
        "tokens    {} of {kind} of {p} × {p} × {}",
        config.beit.tokens,
        model.in_chans,
        p = model.patch_size
    );
    if let Some(Last { iterations, inertia, patches, empty }) = last {
        let error = inertia / (patches * model.patch_len()) as f64;
        outln!("k-means   {} of {patches} patches", count(iterations as u64, "iteration"));
        outln!(
            "          mean squared error of a number {error:.4}, {} without patches",
            count(empty, "token")
        );
    }
    outln!("digest    {:08x}", tokens.crc());
    outln!("written   {}", args.out.display());
    Ok(())
}

impl Args {
    /// The flags that were given, as settings.
    fn overrides(&self) -> Result<Vec<Override>> {
        let all = given([
            ("data.path", path(self.data.as_ref())?),
            ("data.format", self.format.clone().map(Into::into)),
            ("data.skip_bad_images", self.skip_bad_images.then(|| true.into())),
            ("model.img_size", sides("--img-size", &self.img_size)?),
            ("model.in_chans", whole("--in-chans", self.in_chans)?),
            ("model.patch_size", whole("--patch-size", self.patch_size)?),
            ("beit.tokens", whole("--tokens", self.tokens)?),
            ("beit.normalised", self.normalised.then(|| true.into())),
            ("beit.kmeans_patches", whole("--patches", self.patches)?),
            ("beit.kmeans_iterations", whole("--iterations", self.iterations)?),
            ("run.seed", whole("--seed", self.seed)?),
        ]);
        Ok(all.collect())
    }
}

/// What the last iteration found.
struct Last {
    iterations: usize,
    inertia: f64,
    patches: usize,
    empty: u64,
}

/// A bar that counts patches, then iterations; it goes away with the value.
struct Bar {
    bar: ProgressBar,
    last: RefCell<Option<Last>>,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), bar_target());
        if let Ok(style) = ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} {msg} · {elapsed}") {
            bar.set_style(style);
        }
        Self { bar, last: RefCell::default() }
    }

    fn done(self) -> Option<Last> {
        self.bar.finish_and_clear();
        self.last.into_inner()
    }
}

impl Making for Bar {
    fn read(&self, patches: usize, of: usize) {
        self.bar.set_message("patches");
        self.bar.set_length(of as u64);
        self.bar.set_position(patches as u64);
    }

    fn iterated(&self, number: usize, most: usize, iteration: &Iteration<f32>) {
        self.bar.set_message("iterations");
        self.bar.set_length(most as u64);
        self.bar.set_position(number as u64);
        let empty = iteration.counts.iter().filter(|count| **count == 0).count() as u64;
        let (inertia, patches) = (iteration.inertia, iteration.ids.len());
        *self.last.borrow_mut() = Some(Last { iterations: number, inertia, patches, empty });
    }
}
