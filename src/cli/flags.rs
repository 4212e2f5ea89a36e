//! Flags that several kinds of training share.

use super::device::DeviceFlags;
use super::settings::{Override, assignments, given, number, over_environment, whole};
use std::path::PathBuf;
use vit_mae::Result;
use vit_mae::config::overrides::Variable;
use vit_mae::config::{Resolved, Settings};

/// What `--print-config` prints.
pub(crate) fn print_config<S: Settings>(resolved: &Resolved<S>) -> Result<()> {
    let text = resolved.to_toml()?;
    super::outln!("{}", text.trim_end());
    Ok(())
}

/// Which labelled images.
#[derive(Debug, clap::Args)]
pub(crate) struct LabelledData {
    /// Labelled images: a folder with one sub-folder a class, IDX, CIFAR, NumPy or WebDataset files [default: the checkpoint's]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// The data's format if the path does not tell: idx, cifar, npy, webdataset, parquet, scenes, label-maps, coco, voc, folder
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Skip images that cannot be read (they are counted and listed) instead of stopping
    #[arg(long)]
    pub(crate) skip_bad_images: bool,
}

impl LabelledData {
    /// The same, with what the environment says in the place of flags that were not given.
    pub(crate) fn over_environment(&self) -> Result<Self> {
        let environment = over_environment(Vec::new())?.environment;
        let given = |key: &str| environment.iter().find(|variable| variable.key == key).map(Variable::plain);
        Ok(Self {
            data: self.data.clone().or_else(|| given("data.path").map(PathBuf::from)),
            format: self.format.clone().or_else(|| given("data.format")),
            skip_bad_images: self.skip_bad_images,
        })
    }
}

/// How the model learns, and what else every run has.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Training {
    /// A TOML file with settings to change
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Change any setting, for example `optim.min_lr=1e-6`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print every setting as resolved, and where it came from, in TOML; do nothing else
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Passes over the data
    #[arg(long)]
    epochs: Option<u64>,
    /// Epochs of linear warm-up
    #[arg(long)]
    warmup_epochs: Option<f64>,
    /// Images in an iteration
    #[arg(long)]
    batch_size: Option<usize>,
    /// Iterations per optimiser step
    #[arg(long)]
    accum_iter: Option<usize>,
    /// Base learning rate, per 256 images
    #[arg(long)]
    blr: Option<f64>,
    /// Weight decay
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Clip the gradient to this norm
    #[arg(long, value_name = "NORM")]
    clip_grad: Option<f64>,

    /// Everything random follows from this number
    #[arg(long)]
    seed: Option<u64>,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) device: DeviceFlags,
    /// The run directory [default: the next free number, runs/0001, …]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an earlier run in --out
    #[arg(long, requires = "out")]
    pub(crate) overwrite: bool,
    /// Show the run on TensorBoard, too: event files in its folder `tensorboard`. A run that is resumed goes on with it
    #[arg(long)]
    pub(crate) tensorboard: bool,
    /// Print the result as one JSON document on stdout, and nothing else there
    #[arg(long, conflicts_with = "print_config")]
    pub(crate) json: bool,
}

impl Training {
    /// The flags that were given, as settings; flags of their own win over `--set`.
    pub(crate) fn overrides(&self) -> Result<Vec<Override>> {
        let mut all = assignments(&self.set)?;
        all.extend(self.device.overrides());
        all.extend(given([
            ("optim.epochs", whole("--epochs", self.epochs)?),
            ("optim.warmup_epochs", number(self.warmup_epochs)),
            ("optim.batch_size", whole("--batch-size", self.batch_size)?),
            ("optim.accum_iter", whole("--accum-iter", self.accum_iter)?),
            ("optim.blr", number(self.blr)),
            ("optim.weight_decay", number(self.weight_decay)),
            ("optim.clip_grad", number(self.clip_grad)),
            ("run.seed", whole("--seed", self.seed)?),
        ]));
        Ok(all)
    }
}
