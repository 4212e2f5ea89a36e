//! `vit-mae convert`.

use super::settings::assignments;
use super::stderr::notes;
use super::{outln, visible};
use std::path::PathBuf;
use vit_mae::Result;
use vit_mae::interop::convert::{Conversion, Given, Report, Target, convert};

const EXAMPLES: &str = "\
Examples:
  vit-mae convert runs/0001 my-mae --to hf                        for ViTMAEForPreTraining.from_pretrained
  vit-mae convert runs/0001 encoder.safetensors --to timm --encoder-only
  vit-mae convert facebook-vit-mae-base runs/base --to run        then: reconstruct, probe, finetune, features
  vit-mae convert mae_pretrain_vit_base.safetensors runs/base --to run --preset vit-base --fresh-decoder
  vit-mae convert fine-tuned classifier.safetensors --to reference

SRC is a run directory of pre-training or of fine-tuning for classification, a Hugging Face folder (config.json, model.safetensors) or a \
safetensors file with the names of facebookresearch/mae or timm. Every tensor must find its place; --encoder-only \
leaves out decoder, head and pooler. A .pth file is answered with the lines of Python that convert it.

A file's shapes do not tell the number of heads: --to hf and --to run need --preset or --config then. Mean and standard \
deviation of the pixels come from the run, the folder's preprocessor_config.json, --mean and --std, or from --config or --preset \
where these name them.";

/// Flags of `vit-mae convert`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// A run directory, a Hugging Face folder, or a .safetensors file
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// What to write: a .safetensors file, or for hf and run a folder
    #[arg(value_name = "DST")]
    destination: PathBuf,
    /// In which layout
    #[arg(long)]
    to: Target,
    /// Leave out decoder, head and pooler
    #[arg(long)]
    encoder_only: bool,
    /// With --to run: draw a new decoder for an encoder that has none; reconstructions are noise until it is trained
    #[arg(long)]
    fresh_decoder: bool,
    /// A file's architecture: that of this preset
    #[arg(long)]
    preset: Option<String>,
    /// A file's architecture: the settings in this TOML file, over those of --preset [default: vit-base]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change any setting, for example `model.num_heads=6`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Mean of each channel, of pixels from 0 to 1
    #[arg(long, value_name = "M,…", value_delimiter = ',', num_args = 1)]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel
    #[arg(long, value_name = "S,…", value_delimiter = ',', num_args = 1)]
    std: Option<Vec<f32>>,
    /// Replace what an earlier conversion wrote to DST; a run that was trained is never replaced
    #[arg(long)]
    overwrite: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
}

/// Converts, and says what came out.
pub(crate) fn run(args: &Args) -> Result<()> {
    let given = Given {
        preset: args.preset.clone(),
        config: args.config.clone(),
        set: assignments(&args.set)?,
        mean: args.mean.clone(),
        std: args.std.clone(),
    };
    let report = convert(&Conversion {
        source: args.source.clone(),
        destination: args.destination.clone(),
        to: args.to,
        encoder_only: args.encoder_only,
        fresh_decoder: args.fresh_decoder,
        overwrite: args.overwrite,
        given,
    })?;
    notes(&report.notes);
    if args.json {
        outln!("{}", super::json(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &Report) {
    outln!("read      {}, {} of a {}", report.source.display(), report.kind, report.from);
    if let Some(wrapping) = &report.wrapping {
        outln!("names     as a wrapper of the model has them; taken off: {}", visible(wrapping));
    }
    let tensors = super::count(report.tensors as u64, "tensor");
    outln!("wrote     {}, {tensors} with {} numbers", report.destination.display(), report.parameters);
    if !report.left_out.is_empty() {
        let (count, first) = (report.left_out.len() as u64, &report.left_out[0]);
        outln!(
            "left out  {} of decoder, head or pooler, the first of them {}",
            super::count(count, "tensor"),
            visible(first)
        );
    }
    if report.to == Target::Run {
        let run = super::quoted(&report.destination.to_string_lossy());
        outln!("\nTry next  vit-mae inspect {run}");
    }
}
