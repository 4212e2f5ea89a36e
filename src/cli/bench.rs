//! `vit-mae bench`.

use super::bench_gpu;
use super::bench_ranks;
use super::device::DeviceFlags;
use super::finetune::tasks;
use super::flags::print_config;
use super::joined::ranks;
use super::outln;
use super::pretrain::methods;
use super::settings::{assignments, backend, given, over_environment, whole};
use serde::Serialize;
use std::path::PathBuf;
use vit_mae::bench::{Measurement, Plan};
use vit_mae::config::{Overrides, Resolved};
use vit_mae::exec::Backend;
use vit_mae::tasks::finetuning::{WithTransfer, with_transfer};
use vit_mae::tasks::mae::presets;
use vit_mae::tasks::pretraining::{Method, WithMethod, with_method};
use vit_mae::tasks::transfer::{DEFAULT_RECIPE, Start, Transfer};
use vit_mae::tasks::{Config, Pretrain};
use vit_mae::train::Task;
use vit_mae::train::memory::gibibytes;
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae bench                                       the default preset on all cores
  vit-mae bench --preset vit-base --batch-size 8
  vit-mae bench --method supervised                   what another way to pre-train takes
  vit-mae bench --task segment --preset photo         a step of fine-tuning
  vit-mae bench --preset cifar --threads 1 --gemm matrixmultiply --json
  vit-mae bench --ablate encoder-with-mask-tokens     what the asymmetric design saves
  vit-mae bench --preset vit-base --device cuda       on a GPU, with what its copies and products take
  vit-mae bench --preset vit-base --assume-gpu 15000,12,50    what such a GPU would make of it; needs none
  mpirun -n 4 --bind-to none vit-mae bench --preset cifar      on four processes: efficiency, exchange, waiting
  vit-mae bench --preset cifar --assume-network 1.1,30         what 2 to 64 machines would bring over 10-gigabit Ethernet

A step is that of training, forward, backward and AdamW, on made-up images; loading data is not part of it. \
Settings are resolved as for pretrain.";

/// Flags of `vit-mae bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// How the encoder is pre-trained
    #[arg(long, default_value = "mae", value_parser = methods())]
    method: String,
    /// What an encoder of the preset's architecture is fine-tuned for, instead
    #[arg(long, value_parser = tasks(), conflicts_with_all = ["method", "ablate"])]
    task: Option<String>,
    /// nano, cifar, photo, vit-tiny, vit-base, vit-large, vit-huge
    #[arg(long, default_value = presets::DEFAULT)]
    preset: String,
    /// A TOML file with settings to change
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change any setting, for example `optim.micro_batch=8`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print every setting as resolved, and where it came from, in TOML; do nothing else
    #[arg(long, conflicts_with = "json")]
    print_config: bool,
    /// Images in a step [default: the preset's]
    #[arg(long)]
    batch_size: Option<usize>,
    /// Threads [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0)]
    secs: f64,
    /// What multiplies matrices
    #[arg(long)]
    gemm: Option<Backend>,
    #[command(flatten)]
    device: DeviceFlags,
    /// Measure no step: predict what a GPU would make of its products that reaches so many GFLOP/s, copies so many GB/s each
    /// way, and takes so many microseconds from call to result
    #[arg(long, value_name = "GFLOPS,GBPS,MICROSECS", value_delimiter = ',', num_args = 1)]
    assume_gpu: Vec<f64>,
    /// Predict what 2 to 64 machines like this one would bring over a network that sends so many GB/s each way and takes so many
    /// microseconds for a message
    #[arg(
        long,
        value_name = "GBPS,MICROSECS",
        value_delimiter = ',',
        num_args = 1,
        conflicts_with = "assume_gpu"
    )]
    assume_network: Vec<f64>,
    /// Measure a variant that the paper compares with
    #[arg(long, conflicts_with_all = ["method", "task", "assume_gpu", "assume_network"])]
    ablate: Option<Ablation>,
    /// One line of JSON; a variant's figures are in a field with its name
    #[arg(long)]
    json: bool,
}

/// Variants of the design.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Ablation {
    /// The encoder sees a token for every patch; He et al. 2022, Table 2: 2.8 to 4.1 times slower
    EncoderWithMaskTokens,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    measured: Measurement,
    /// The variant of `--ablate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder_with_mask_tokens: Option<Measurement>,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    let threads = super::start_threads(args.threads)?;
    if !(args.secs > 0.0 && args.secs <= 86_400.0) {
        return Err(Error::setting("--secs", "more than 0 and at most a day", args.secs));
    }
    let mut overrides = assignments(&args.set)?;
    overrides.extend(args.device.overrides());
    overrides.extend(given([
        ("optim.batch_size", whole("--batch-size", args.batch_size)?),
        ("run.gemm", backend(args.gemm)?),
    ]));
    let overrides = over_environment(overrides)?;
    let with = Benching { args, overrides: &overrides, threads };
    match &args.task {
        Some(task) => with_transfer(task, with),
        None => with_method(&args.method, with),
    }
}

/// What is asked, whatever the method or the task.
struct Benching<'a> {
    args: &'a Args,
    overrides: &'a Overrides,
    threads: usize,
}

impl WithMethod for Benching<'_> {
    type Output = ();

    fn run<M: Method>(self) -> Result<()> {
        let resolved = M::layered(&self.args.preset, self.args.config.as_deref(), self.overrides)?;
        self.measure::<M>(resolved, M::METHOD)
    }
}

impl WithTransfer for Benching<'_> {
    type Output = ();

    fn run<T: Transfer>(self) -> Result<()> {
        let Self { args, overrides, .. } = self;
        let origin = format!("preset {}", args.preset);
        let given = (Start::preset(&args.preset)?.given()?, origin.as_str());
        let resolved = T::layered(DEFAULT_RECIPE, given, args.config.as_deref(), overrides)?;
        self.measure::<T>(resolved, T::TRANSFER)
    }
}

impl Benching<'_> {
    fn measure<T: Task>(self, resolved: Resolved<T::Config>, method: &'static str) -> Result<()> {
        let Self { args, overrides, threads } = self;
        if args.print_config {
            return print_config(&resolved);
        }
        let config = resolved.config;
        let name =
            args.config.as_ref().map_or_else(|| args.preset.clone(), |path| path.display().to_string());
        let plan = Plan::<T> { config, method, name, threads, secs: args.secs };
        if let Some([gflops, gbps, latency]) = bench_gpu::assumed(&args.assume_gpu)? {
            return show(args.json, &plan.forecast(gflops, gbps, latency)?, bench_gpu::print_forecast);
        }
        if let Some(network) = bench_ranks::assumed(&args.assume_network)? {
            return show(args.json, &plan.over(network)?, bench_ranks::print_forecast);
        }
        if ranks().size() > 1 {
            if let Some(Ablation::EncoderWithMaskTokens) = args.ablate {
                let size = ranks().size();
                return Err(Error::setting("number of ranks", "1 with --ablate", size));
            }
            return show(args.json, &plan.run_together(&ranks())?, bench_ranks::print);
        }
        let measured = plan.run()?;
        let ablated = match args.ablate {
            Some(Ablation::EncoderWithMaskTokens) => Some(ablate(args, overrides, threads)?),
            None => None,
        };
        show(args.json, &Document { measured, encoder_with_mask_tokens: ablated }, print_document)
    }
}

/// Prints figures, for people or as a line of JSON.
fn show<M: Serialize>(json: bool, figures: &M, print: fn(&M)) -> Result<()> {
    if json {
        outln!("{}", super::json_line(figures)?);
    } else {
        print(figures);
    }
    Ok(())
}

/// A masked autoencoder whose encoder sees a token for all patches but one, which must stay removed. A token costs the
/// same whether pixels or a mask token are in it.
fn ablate(args: &Args, overrides: &Overrides, threads: usize) -> Result<Measurement> {
    let mut config = Config::layered(&args.preset, args.config.as_deref(), overrides)?.config;
    config.mask.mask_ratio = 0.5 / config.model.num_patches() as f64;
    let (name, method) = (args.preset.clone(), Pretrain::METHOD);
    Plan::<Pretrain> { config, method, name, threads, secs: args.secs }.run()
}

fn print_document(Document { measured, encoder_with_mask_tokens }: &Document) {
    print(measured);
    if let Some(ablated) = encoder_with_mask_tokens {
        outln!("\nwith a token for every patch in the encoder:");
        print(ablated);
        let speedup = measured.images_per_s.median / ablated.images_per_s.median;
        outln!("\nthe asymmetric design is {speedup:.2} times as fast");
    }
}

fn print(m: &Measurement) {
    let rate = m.images_per_s;
    let (batch, chunk) = (m.batch_size, m.micro_batch);
    let (method, preset, threads) = (m.method, &m.preset, m.threads);
    outln!(
        "{method}, {preset}: batch {batch} in chunks of {chunk}, {threads} threads, kernels on {}",
        m.simd
    );
    outln!("images/s          {:.1}  (lowest {:.1}, highest {:.1})", rate.median, rate.min, rate.max);
    outln!("GFLOP per image   {:.4}", m.gflop_per_image);
    outln!(
        "GFLOP/s           {:.1}, {:.0} % of the {:.1} that large products reach here",
        m.gflops,
        100.0 * m.share_of_ceiling,
        m.gemm_ceiling_gflops
    );
    let peak = m.peak_rss_bytes.map_or("unknown on this system".to_owned(), gibibytes);
    outln!("peak memory       {peak} (expected {})", gibibytes(m.predicted_bytes));
    outln!("parameters        {}", m.parameters);
    outln!("device            {}", m.device);
    for (kind, share) in &m.time_shares {
        outln!("  {kind:<26} {:>5.1} %", 100.0 * share);
    }
    if let Some(offload) = &m.offload {
        bench_gpu::print(offload);
    }
}
