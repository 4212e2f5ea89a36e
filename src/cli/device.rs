//! Flags that say where large products run.

use super::settings::{Override, given, over_environment};
use super::stderr;
use vit_mae::Result;
use vit_mae::exec::Backend;
use vit_mae::exec::device::Device;
use vit_mae::exec::engine::{Engine, Offloading};
use vit_mae::tasks::Config;
use vit_mae::tasks::mae::presets;

/// The settings that say how a device is used; the environment's others are not an inference command's.
const OF_DEVICES: [&str; 3] = ["run.device", "run.tf32", "run.offload_from"];

/// Where large products run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct DeviceFlags {
    /// Where large products run: cpu, cuda[:N] (an NVIDIA GPU), or auto; `vit-mae devices` lists them [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<Device>,
    /// On a GPU: round what is multiplied in f32 to TF32's 10 bits of mantissa, faster and less exact
    #[arg(long)]
    tf32: bool,
}

impl DeviceFlags {
    /// As settings of training.
    pub(crate) fn overrides(self) -> impl Iterator<Item = Override> {
        given([
            ("run.device", self.device.map(|device| device.to_string().into())),
            ("run.tf32", self.tf32.then(|| true.into())),
        ])
    }

    /// For a command that trains nothing: what the flags say, else the environment, else the CPU. The device that a
    /// checkpoint was trained on does not matter: another machine may have none.
    pub(crate) fn offloading(self) -> Result<Offloading> {
        let mut overrides = over_environment(self.overrides().collect())?;
        overrides.environment.retain(|variable| OF_DEVICES.contains(&variable.key.as_str()));
        Ok(Config::layered(presets::DEFAULT, None, &overrides)?.config.run.offloading())
    }

    /// Opens it.
    pub(crate) fn engine(self, gemm: Backend) -> Result<Engine> {
        let engine = Engine::open(gemm, self.offloading()?)?;
        if let Some(why) = engine.no_gpu() {
            stderr::note(format_args!("on the CPU, since {why}"));
        }
        Ok(engine)
    }
}

/// A line of a training's description, unless products run on the CPU because nothing else was asked for.
pub(crate) fn print_engine(engine: &Engine) {
    if engine.device() != Device::Cpu || engine.no_gpu().is_some() {
        super::outln!("device   {engine}");
    }
}
