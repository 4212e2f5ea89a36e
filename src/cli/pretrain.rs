//! `vit-mae pretrain`.

use super::flags::{Training, print_config};
use super::joined::ranks;
use super::settings::{Override, backend, choice, given, number, over_environment, pair, path, sides, whole};
use super::training::{resume, train};
use clap::builder::{PossibleValue, PossibleValuesParser};
use std::path::{Path, PathBuf};
use toml::Value;
use vit_mae::Result;
use vit_mae::config::Overrides;
use vit_mae::config::settings::Settings;
use vit_mae::exec::Backend;
use vit_mae::mae::Strategy;
use vit_mae::tasks::mae::config::OnNonfinite;
use vit_mae::tasks::mae::presets;
use vit_mae::tasks::pretraining::{METHODS, Method, WithMethod, method_of, with_method};
use vit_mae::tasks::{WithTask, with_task_of};
use vit_mae::train::resume::settings_of;
use vit_mae::train::{Run, RunDir, Task};

const EXAMPLES: &str = "\
Examples:
  vit-mae pretrain                                          the embedded images, a few minutes
  vit-mae pretrain --epochs 2 --out /tmp/try                a quick try
  vit-mae pretrain --preset photo                           colour photographs, random crops
  vit-mae pretrain --method beit                            the same network, taught to name tokens of masked patches
  vit-mae pretrain --method supervised                      the same network, taught by the labels
  vit-mae pretrain --preset cifar --data cifar-10-batches-bin --mask-ratio 0.8
  vit-mae pretrain --config my.toml --set optim.betas='[0.9, 0.98]'
  vit-mae pretrain --resume runs/0001                       go on after an interruption, with the same bits
  vit-mae pretrain --resume runs/0001 --epochs 60           train longer

Settings are resolved as preset < --config file < environment (VIT_MAE_OPTIM__EPOCHS=3 is optim.epochs) < flags; \
--print-config shows the result, which is written to config.toml in the run directory and can be given to --config \
again. A change of the epochs alone keeps the fraction of warm-up.

--resume takes every setting from the run's checkpoint. File, environment and flags may change what does not make it \
another run: epochs, learning rate, weight decay, clipping, logging, where the data lies. A change is written into the \
log.";

/// The methods as values of a flag, each with what it is.
pub(super) fn methods() -> PossibleValuesParser {
    PossibleValuesParser::new(METHODS.iter().map(|(name, what)| PossibleValue::new(*name).help(*what)))
}

/// Flags of `vit-mae pretrain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// How the encoder is pre-trained
    #[arg(long, default_value = "mae", value_parser = methods(), conflicts_with = "resume")]
    method: String,
    /// Start from these settings: nano, cifar, photo, vit-tiny, vit-base, vit-large, vit-huge
    #[arg(long, default_value = presets::DEFAULT)]
    preset: String,

    /// Images: a folder of PNG/JPEG, IDX, CIFAR, NumPy or WebDataset files [presets nano and photo bring some]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The data's format if the path does not tell: idx, cifar, npy, webdataset, parquet, scenes, label-maps, coco, voc, folder
    #[arg(long)]
    format: Option<String>,
    /// Random resized crops of this fraction of the area, for example 0.2,1
    #[arg(long, value_name = "MIN,MAX", value_delimiter = ',', num_args = 1)]
    crop: Vec<f64>,
    /// Skip images that cannot be read (they are counted and listed) instead of stopping
    #[arg(long)]
    skip_bad_images: bool,

    /// Height and width of the model's images in pixels, for example 32 or 32,64
    #[arg(long, value_name = "H[,W]", value_delimiter = ',', num_args = 1)]
    img_size: Vec<usize>,
    /// Channels of the model's images
    #[arg(long)]
    in_chans: Option<usize>,
    /// Side of a patch in pixels
    #[arg(long)]
    patch_size: Option<usize>,
    /// Normalise each patch of the target by its own mean and variance
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    norm_pix_loss: Option<bool>,

    /// With --method supervised: use this fraction of the labels, class by class
    #[arg(long, value_name = "FRACTION")]
    labels: Option<f64>,
    /// Fraction of patches to remove, between 0 and 1 [preset nano: 0.75]
    #[arg(long)]
    mask_ratio: Option<f64>,
    /// Which patches are removed [preset nano: random]
    #[arg(long)]
    mask_strategy: Option<Strategy>,

    #[command(flatten)]
    pub(super) training: Training,
    /// What multiplies matrices
    #[arg(long)]
    gemm: Option<Backend>,

    /// Go on with the run in this directory from its last checkpoint
    #[arg(long, value_name = "RUN", conflicts_with_all = ["preset", "out", "overwrite"])]
    resume: Option<PathBuf>,
    /// How many checkpoints stay, besides the best one [presets: 1]
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// What to do with a step whose loss or gradient is not finite [presets: stop]
    #[arg(long)]
    on_nonfinite: Option<OnNonfinite>,
}

/// Trains, and says where everything is.
pub(crate) fn run(args: &Args) -> Result<()> {
    let threads = super::start_threads(args.training.threads)?;
    let overrides = over_environment(args.overrides()?)?;
    let with = Pretraining { args, overrides: &overrides, threads };
    match &args.resume {
        None => with_method(&args.method, with),
        Some(path) => {
            let state = settings_of(&RunDir::look_at(path)?)?;
            with_task_of(&state, path, Resuming { path, with })
        }
    }
}

/// What is asked, whatever the method.
struct Pretraining<'a> {
    args: &'a Args,
    overrides: &'a Overrides,
    threads: usize,
}

impl WithMethod for Pretraining<'_> {
    type Output = ();

    fn run<M: Method>(self) -> Result<()> {
        let Self { args, overrides, threads } = self;
        let resolved = M::layered(&args.preset, args.training.config.as_deref(), overrides)?;
        if args.training.print_config {
            return print_config(&resolved);
        }
        let (out, overwrite) = (args.training.out.clone(), args.training.overwrite);
        RunDir::check(out.as_deref(), overwrite)?;
        let start = M::start_again(&resolved.config)?;
        let run = Run::<M>::new_among(ranks(), resolved.config, &start, || RunDir::create(out, overwrite))?;
        train(run, &args.training, threads, &super::command_line())
    }
}

/// Going on with a run, whatever its task.
struct Resuming<'a> {
    path: &'a Path,
    with: Pretraining<'a>,
}

impl WithTask for Resuming<'_> {
    type Output = ();

    fn run<T: Task>(self) -> Result<()> {
        let Self { path, with: Pretraining { args, overrides, threads } } = self;
        resume::<T>(path, &args.training, overrides, threads, method_of(T::Config::TASK))
    }
}

impl Args {
    /// The flags that were given, as settings.
    fn overrides(&self) -> Result<Vec<Override>> {
        let mut all = self.training.overrides()?;
        all.extend(given([
            ("data.path", path(self.data.as_ref())?),
            ("data.format", self.format.clone().map(Value::from)),
            ("data.crop", pair("--crop", &self.crop)?),
            ("data.skip_bad_images", self.skip_bad_images.then(|| true.into())),
            ("model.img_size", sides("--img-size", &self.img_size)?),
            ("model.in_chans", whole("--in-chans", self.in_chans)?),
            ("model.patch_size", whole("--patch-size", self.patch_size)?),
            ("model.norm_pix_loss", self.norm_pix_loss.map(Value::from)),
            ("finetune.label_share", number(self.labels)),
            ("mask.mask_ratio", number(self.mask_ratio)),
            ("mask.strategy", choice(self.mask_strategy)),
            ("run.gemm", backend(self.gemm)?),
            ("run.keep", whole("--keep", self.keep)?),
            ("run.on_nonfinite", choice(self.on_nonfinite)),
        ]));
        Ok(all)
    }
}
