//! `vit-mae pretrain`.

use super::device::print_engine;
use super::flags::{Training, print_config, train};
use super::settings::{Override, choice, given, number, over_environment, pair, path, sides, whole};
use super::{count, outln, print_skipped};
use std::path::PathBuf;
use toml::Value;
use vit_mae::Result;
use vit_mae::config::resolve::changed;
use vit_mae::exec::Backend;
use vit_mae::mae::Strategy;
use vit_mae::optim::groups;
use vit_mae::tasks::mae::config::OnNonfinite;
use vit_mae::tasks::mae::{Outcome, presets};
use vit_mae::tasks::{Config, Pretrain};
use vit_mae::train::resume::preview;
use vit_mae::train::{Run, RunDir};

const EXAMPLES: &str = "\
Examples:
  vit-mae pretrain                                          the embedded images, a few minutes
  vit-mae pretrain --epochs 2 --out /tmp/try                a quick try
  vit-mae pretrain --preset photo                           colour photographs, random crops
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

/// Ways to pre-train.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Method {
    /// Rebuild the patches that were removed (He et al. 2022)
    Mae,
}

/// Flags of `vit-mae pretrain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// How the encoder is pre-trained
    #[arg(long, default_value = "mae")]
    method: Method,
    /// Start from these settings: nano, cifar, photo, vit-tiny, vit-base, vit-large, vit-huge
    #[arg(long, default_value = presets::DEFAULT)]
    preset: String,

    /// Images: a folder of PNG/JPEG, IDX, CIFAR, NumPy or WebDataset files [presets nano and photo bring some]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The data's format if the path does not tell: idx, cifar, npy, webdataset, parquet, folder
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

    /// Fraction of patches to remove, between 0 and 1 [preset nano: 0.75]
    #[arg(long)]
    mask_ratio: Option<f64>,
    /// Which patches are removed [preset nano: random]
    #[arg(long)]
    mask_strategy: Option<Strategy>,

    #[command(flatten)]
    training: Training,
    /// Which crate multiplies matrices
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
    let Method::Mae = args.method;
    let threads = super::start_threads(args.training.threads)?;
    let (file, overrides) = (args.training.config.as_deref(), over_environment(args.overrides()?)?);
    if args.training.print_config {
        return print_config(&match &args.resume {
            Some(path) => preview::<Config>(&RunDir::open(path)?, file, &overrides)?,
            None => Config::layered(&args.preset, file, &overrides)?,
        });
    }
    let mut command = super::command_line();
    let run = if let Some(path) = &args.resume {
        let run = RunDir::open(path)?;
        command = format!("vit-mae pretrain --config {}", super::quoted(&run.config().to_string_lossy()));
        Run::<Pretrain>::resume(run, |before| Ok(changed(before, file, &overrides)?.config))
            .map_err(|error| overrides.name_variable(error))?
    } else {
        RunDir::check(args.training.out.as_deref(), args.training.overwrite)?;
        let config = Config::layered(&args.preset, file, &overrides)?.config;
        Run::<Pretrain>::new(config, &(), || {
            RunDir::create(args.training.out.clone(), args.training.overwrite)
        })?
    };
    super::stderr::notes(run.learner.loader.dataset().notes());
    train(run, &args.training, &command, |run| describe(run, threads), conclude)
}

/// What is about to happen.
fn describe(run: &Run<Pretrain>, threads: usize) {
    let model = &run.learner.config.model;
    let parameters = model.parameters();
    outln!("data     {}", run.learner.task.data);
    outln!(
        "model    {}×{}×{} in {} patches of {}; encoder {}/{}/{}, decoder {}/{}/{} (width/blocks/heads); {} parameters, {} of them trained",
        model.img_size[0],
        model.img_size[1],
        model.in_chans,
        model.num_patches(),
        model.patch_size,
        model.embed_dim,
        model.depth,
        model.num_heads,
        model.decoder_embed_dim,
        model.decoder_depth,
        model.decoder_num_heads,
        parameters.all,
        parameters.trained,
    );
    outln!("groups   {}", groups::summary(&run.learner.groups));
    let (optim, mask) = (&run.learner.config.optim, &run.learner.config.mask);
    outln!(
        "training {} of {}, batch {} × {}, lr {:.2e}; {:.0} % of the patches removed; {} threads",
        count(optim.epochs, "epoch"),
        count(run.learner.steps_per_epoch(), "step"),
        optim.batch_size,
        optim.accum_iter,
        run.learner.config.schedule().lr,
        mask.mask_ratio * 100.0,
        threads,
    );
    print_engine(run.learner.workers.engine());
    outln!("run      {}", run.log.run.path().display());
    if run.steps_done() > 0 {
        outln!("resumed  after {}", count(run.steps_done(), "step"));
    }
    for change in run.log.changes.iter().filter(|change| change.step == run.steps_done()) {
        outln!("changed  {} from {} to {}", change.key, or_none(&change.from), or_none(&change.to));
    }
    if let Some(why) = &run.learner.task.no_validation {
        outln!("note     no validation loss: {why}");
    }
}

/// What came out, where it is, and what to try next.
fn conclude(run: &Run<Pretrain>, outcome: &Outcome) {
    outln!();
    for (name, value) in outcome.summary(run.learner.config.model.parameters().all) {
        outln!("{name:<44} {value:>9}");
    }
    print_skipped(&outcome.skipped);
    let dir = super::quoted(&run.log.run.path().to_string_lossy());
    outln!(
        "\nLook at   {}\n          {}\n\nTry next  vit-mae reconstruct --checkpoint {dir} IMAGE… --out rebuilt.png\n          \
         vit-mae pretrain --mask-ratio 0.9",
        run.log.run.report_html().display(),
        run.log.run.reconstructions().display(),
    );
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
            ("mask.mask_ratio", number(self.mask_ratio)),
            ("mask.strategy", choice(self.mask_strategy)),
            ("run.gemm", choice(self.gemm)),
            ("run.keep", whole("--keep", self.keep)?),
            ("run.on_nonfinite", choice(self.on_nonfinite)),
        ]));
        Ok(all)
    }
}

/// A value of a setting, or that there was none.
fn or_none(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}
