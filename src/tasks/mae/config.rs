//! Every setting of a pre-training run, resolved as preset < file < environment < command line.

use super::presets;
use crate::base::{Error, Result};
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::config::resolve::Layers;
use crate::config::sections::require;
use crate::config::settings::{Settings, shared_sections};
use crate::models::mae::cost::Cost;
use crate::models::mae::masking::{Masking, len_keep};
use crate::models::mae::{MaeConfig, Strategy};
use crate::models::vit::VitConfig;
use crate::optim::Schedule;
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::Value;

pub use crate::config::sections::{DataConfig, OnNonfinite, OptimConfig, RunConfig};

/// All settings; `config.toml` in a run directory is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The architecture.
    pub model: MaeConfig,
    /// What is removed.
    pub mask: MaskConfig,
    /// What it learns from.
    pub data: DataConfig,
    /// How it learns.
    pub optim: OptimConfig,
    /// Everything else.
    pub run: RunConfig,
}

/// What is removed from each image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// How patches are chosen.
    pub strategy: Strategy,
    /// Fraction of patches removed.
    pub mask_ratio: f64,
}

impl Config {
    /// Resolves a preset, a file and overrides (`mask.mask_ratio`, value) in this order, and checks the
    /// result. A file or overrides that change only the number of epochs keep the fraction of warm-up.
    ///
    /// # Errors
    /// An unknown preset or key, a value of the wrong type, a file that is not TOML, or settings that
    /// cannot work together; the error names the file or the flag.
    pub fn resolve(preset: &str, file: Option<&Path>, overrides: Vec<(String, Value)>) -> Result<Self> {
        Ok(Self::layered(preset, file, &overrides.into())?.config)
    }

    /// The same with the environment's settings below the command line's, and with the origin of each.
    ///
    /// # Errors
    /// As [`Config::resolve`]; the error names the file, the variable or the flag.
    pub fn layered(preset: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<Self>> {
        let table = presets::text(preset)?.parse().map_err(|e| Error::setting("--preset", "TOML", e))?;
        Layers::new(table, &format!("preset {preset}")).resolve(file, overrides)
    }

    /// How an image becomes what the model sees in evaluation.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::of(&self.data, (self.model.img_size, self.model.in_chans))
    }

    /// How masks are drawn.
    #[must_use]
    pub fn masking(&self) -> Masking {
        Masking { strategy: self.mask.strategy, mask_ratio: self.mask.mask_ratio, grid: self.model.grid() }
    }

    /// What is in memory during a training step on so many threads.
    #[must_use]
    pub fn memory(&self, threads: usize) -> StepMemory {
        let (model, [height, width]) = (&self.model, self.model.img_size);
        let len_keep = len_keep(model.num_patches(), self.mask.mask_ratio);
        let activations = Cost { config: model, len_keep }.activation_bytes(1);
        let image = model.in_chans * height * width;
        StepMemory::new(&self.optim, model.parameters().all, image, activations, threads)
    }

    /// The learning-rate schedule, in absolute rates.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.optim.schedule()
    }
}

impl Settings for Config {
    const TASK: Option<&'static str> = None;

    const FIXED: &'static [&'static str] = &["model.", "mask."];

    shared_sections!();

    fn vit(&self) -> VitConfig {
        self.model.vit()
    }

    fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.mask.validate(self.model.num_patches())?;
        self.data.validate(self.model.in_chans)?;
        self.optim.validate()?;
        self.run.validate()
    }
}

impl MaskConfig {
    /// Refuses a ratio that removes nothing or everything of `patches` patches.
    fn validate(&self, patches: usize) -> Result<()> {
        let ratio = self.mask_ratio;
        require(ratio > 0.0 && ratio < 1.0, "mask.mask_ratio", "between 0 and 1, both excluded", ratio)?;
        let keep = len_keep(patches, ratio);
        let found = format!("{ratio}, which keeps {keep}");
        require(
            (1..patches).contains(&keep),
            "mask.mask_ratio",
            format!("a ratio that keeps and removes at least one of the {patches} patches"),
            found,
        )
    }
}
