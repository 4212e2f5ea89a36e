//! Every setting of a MoCo v3 run, resolved as preset < recipe < file < environment < command line.

use super::recipes;
use crate::base::Result;
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::config::resolve::Layers;
use crate::config::sections::{DataConfig, OptimConfig, RunConfig, require};
use crate::config::settings::{Settings, shared_sections};
use crate::data::Augment;
use crate::models::moco::MocoConfig;
use crate::models::vit::VitConfig;
use crate::tasks::Config;
use crate::tasks::mae::presets;
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use crate::train::source::crop_area;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::Value;

/// `ε` and the fraction of a new batch in the running statistics of every batch norm: PyTorch's, which the original keeps.
const BATCH_NORM: (f64, f64) = (1e-5, 0.1);

/// All settings; `config.toml` in a run directory is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MocoV3Config {
    /// Always `moco-v3`.
    pub task: String,
    /// The trunk.
    pub model: VitConfig,
    /// The heads, the loss, the momentum encoder.
    pub moco: ContrastConfig,
    /// What it learns from.
    pub data: DataConfig,
    /// How it learns.
    pub optim: OptimConfig,
    /// Everything else.
    pub run: RunConfig,
}

/// What MoCo v3 has of its own, in the terms of the original's flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContrastConfig {
    /// Hidden width of both heads.
    pub mlp_dim: usize,
    /// Width of queries and keys.
    pub out_dim: usize,
    /// What cosines are divided by.
    pub temperature: f64,
    /// The moving average's coefficient at the start; it rises to 1 along half a cosine.
    pub momentum: f64,
    /// Whether the patch projection stays as it was drawn.
    pub stop_grad_conv1: bool,
    /// Whether views change in colour and sharpness, too, or by crop and flip alone.
    pub photometric: bool,
}

impl MocoV3Config {
    /// Lays the recipe over the trunk, the data and the schedule of a preset; then a file, the environment and flags. Steps
    /// that the preset accumulates become batches as large.
    ///
    /// # Errors
    /// An unknown preset or key, a value of the wrong type, a file that is not TOML, or settings that cannot work
    /// together; the error names the file, the variable or the flag.
    pub fn layered(preset: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<Self>> {
        let (name, recipe) = recipes::of(&Config::resolve(preset, None, Vec::new())?)?;
        Layers::new(presets::trunk(preset)?, &format!("preset {preset}"))
            .lay(recipe, &format!("recipe {name}"))
            .resolve(file, overrides)
    }

    /// As [`MocoV3Config::layered`], with flags alone.
    ///
    /// # Errors
    /// As there.
    pub fn resolve(preset: &str, file: Option<&Path>, flags: Vec<(String, Value)>) -> Result<Self> {
        Ok(Self::layered(preset, file, &flags.into())?.config)
    }

    /// The network.
    #[must_use]
    pub fn architecture(&self) -> MocoConfig {
        let ContrastConfig { mlp_dim, out_dim, temperature, stop_grad_conv1, .. } = self.moco;
        MocoConfig {
            vit: self.model.clone(),
            mlp_dim,
            out_dim,
            temperature,
            stop_grad_conv1,
            batch_norm_eps: BATCH_NORM.0,
            batch_norm_momentum: BATCH_NORM.1,
        }
    }

    /// The two views of each image.
    #[must_use]
    pub fn views(&self) -> Vec<Augment> {
        let crop_area = crop_area(&self.data);
        let view = |view: Augment| Augment {
            crop_area,
            flip: self.data.flip,
            photometric: view.photometric.filter(|_| self.moco.photometric),
            ..view
        };
        Augment::moco_v3(crop_area.unwrap_or((1.0, 1.0))).map(view).to_vec()
    }

    /// How an image becomes what the trunk sees in evaluation.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::of(&self.data, (self.model.img_size, self.model.in_chans))
    }

    /// What is in memory during a training step on so many threads.
    #[must_use]
    pub fn memory(&self, threads: usize) -> StepMemory {
        let (model, [height, width]) = (self.architecture(), self.model.img_size);
        let (two_crops, bytes) =
            (2 * self.model.in_chans * height * width, self.model.activation_bytes(self.model.depth));
        let step = StepMemory::new(&self.optim, model.parameters(), two_crops, bytes, threads);
        // The momentum encoder as it was, and as it becomes.
        StepMemory {
            copies: step.copies + 2,
            whole_batch: Some(model.whole_batch(self.optim.batch_size)),
            ..step
        }
    }
}

impl Settings for MocoV3Config {
    const TASK: Option<&'static str> = Some("moco-v3");

    const FIXED: &'static [&'static str] = &["task", "model.", "moco."];

    shared_sections!();

    fn vit(&self) -> VitConfig {
        self.model.clone()
    }

    fn validate(&self) -> Result<()> {
        self.architecture().validate()?;
        let m = self.moco.momentum;
        require((0.0..=1.0).contains(&m), "moco.momentum", "0 to 1", m)?;
        self.data.validate(self.model.in_chans)?;
        self.optim.validate()?;
        let expected = "1 for moco-v3, whose heads see the whole batch: added up, gradients of several batches are those of \
                        another loss, with fewer negatives. optim.micro_batch is what saves memory here";
        require(self.optim.accum_iter == 1, "optim.accum_iter", expected, self.optim.accum_iter)?;
        let expected = "2 or more for moco-v3, which tells the images of a batch apart";
        require(self.optim.batch_size >= 2, "optim.batch_size", expected, self.optim.batch_size)?;
        self.run.validate()
    }
}
