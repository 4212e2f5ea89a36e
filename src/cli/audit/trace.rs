//! `vit-mae audit trace`.

use crate::cli::settings::{assignments, given, whole};
use crate::cli::{outln, start_threads};
use std::path::PathBuf;
use vit_mae::audit::trace::{self, Batch, Start, Trace};
use vit_mae::tasks::Config;
use vit_mae::tasks::mae::presets;
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae audit trace --out trace                               first step of the default preset
  vit-mae audit trace --checkpoint runs/0001 --out trace        next step of a trained model
  vit-mae audit trace --checkpoint runs/0001 --images shoe.png shirt.png --out trace
  vit-mae audit trace --preset vit-tiny --images cat.jpg --lr 1e-3 --out trace

Writes trace.html, a page that walks through the step (arrow keys, no network needed), and trace.safetensors \
with every tensor on it. Without --images, two images of the data are taken. A step from a checkpoint uses its \
moments; otherwise the moments start at zero.";

/// Flags of `vit-mae audit trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// Take the step from this run directory, or the checkpoint in it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["preset", "config", "set"])]
    checkpoint: Option<PathBuf>,
    /// Take the first step of these settings: nano, cifar, photo, vit-tiny, … [default: nano]
    #[arg(long)]
    preset: Option<String>,
    /// A TOML file with settings to change
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change any setting, for example `mask.mask_ratio=0.5`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// PNG or JPEG files of any size, at most 8 [default: two of the data]
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    images: Vec<PathBuf>,
    /// Draws the masks, and the initial weights where there is no checkpoint
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Learning rate of the step, absolute [default: the settings' rate for a batch of this size]
    #[arg(long)]
    lr: Option<f64>,
    /// The folder for the two files: a new or empty one, or one with an earlier trace
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Takes the step and writes it down.
pub(crate) fn run(args: &Args) -> Result<()> {
    start_threads(args.threads)?;
    trace::check_out(&args.out)?;
    let mut start = start(args)?;
    if let Some(lr) = args.lr.filter(|lr| !(*lr >= 0.0 && lr.is_finite())) {
        return Err(Error::setting("--lr", "0 or more", lr));
    }
    let batch = Batch::open(&mut start.config, &args.images, args.seed)?;
    let lr = args.lr.unwrap_or_else(|| batch.lr(&start.config));
    let trace = Trace::record(start, batch, lr)?;
    let written = trace::write(&trace, &args.out)?;
    let tensors = trace.tensors().len();
    if args.json {
        let document = serde_json::json!({
            "loss": trace.loss, "loss_after": trace.loss_after, "grad_norm": trace.grad_norm, "lr": trace.lr,
            "step": trace.adamw.steps, "images": trace.batch.sources, "tensors": tensors,
            "page": written.page, "page_bytes": written.page_bytes,
            "safetensors": written.tensors, "safetensors_bytes": written.tensors_bytes,
        });
        outln!("{document}");
        return Ok(());
    }
    outln!("model     {}", trace.origin);
    outln!("images    {}", trace.batch.sources.join(", "));
    outln!("loss      {:.6}, and {:.6} on the same images after the step", trace.loss, trace.loss_after);
    outln!("gradient  norm {:.6}; step {} at learning rate {}", trace.grad_norm, trace.adamw.steps, trace.lr);
    outln!(
        "tensors   {}  ({tensors} tensors, {})",
        written.tensors.display(),
        megabytes(written.tensors_bytes)
    );
    outln!("page      {}  ({})", written.page.display(), megabytes(written.page_bytes));
    Ok(())
}

/// The model that takes the step.
fn start(args: &Args) -> Result<Start> {
    if let Some(dir) = &args.checkpoint {
        return Start::from_checkpoint(dir);
    }
    let preset = args.preset.as_deref().unwrap_or(presets::DEFAULT);
    let mut overrides = assignments(&args.set)?;
    overrides.extend(given([("run.seed", whole("--seed", Some(args.seed))?)]));
    let config = Config::resolve(preset, args.config.as_deref(), overrides)?;
    let name = match &args.config {
        Some(path) => path.display().to_string(),
        None => format!("preset {preset}"),
    };
    Start::initialised(config, &name)
}

/// `3.1 MB`.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
