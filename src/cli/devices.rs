//! `vit-mae devices`.

use super::outln;
use serde::Serialize;
use vit_mae::Result;
use vit_mae::exec::device::Gpu;
use vit_mae::exec::{engine, kernel};

const EXAMPLES: &str = "\
Examples:
  vit-mae devices
  vit-mae pretrain --device cuda:0        products on the first GPU
  vit-mae pretrain --device auto          on a GPU if there is one, else on the CPU

A GPU is used by programs that were built with `--features accel`; docs/gpu.md says what that needs and what it is worth.";

/// Flags of `vit-mae devices`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document {
    cpu: Cpu,
    gpus: Vec<Gpu>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_gpu: Option<String>,
}

#[derive(Serialize)]
struct Cpu {
    device: &'static str,
    cores: usize,
    simd: &'static str,
}

/// Lists them. That there is no GPU is an answer, not an error.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (gpus, no_gpu) = engine::gpus().map_or_else(|why| (Vec::new(), Some(why)), |gpus| (gpus, None));
    let document = Document { cpu: Cpu { device: "cpu", cores, simd: kernel::name() }, gpus, no_gpu };
    if args.json {
        outln!("{}", super::json(&document)?);
        return Ok(());
    }
    outln!("cpu: {}, kernels on {}", super::count(cores as u64, "core"), document.cpu.simd);
    document.gpus.iter().for_each(|gpu| outln!("{gpu}"));
    if let Some(why) = &document.no_gpu {
        outln!("no GPU: {why}");
    }
    Ok(())
}
