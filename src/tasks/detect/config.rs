//! Every setting of a detection run, resolved as image size < recipe < checkpoint < file < environment < command line.

use crate::base::{Error, Result};
use crate::config::sections::{DataConfig, OptimConfig, RunConfig};
use crate::config::settings::{Settings, shared_sections};
use crate::models::detect::DetectorConfig;
use crate::models::vit::VitConfig;
use crate::tasks::transfer::{TransferConfig, ViewConfig};
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use serde::{Deserialize, Serialize};
use toml::Table;

/// All settings; `config.toml` in a run directory is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectConfig {
    /// Always `detect`.
    pub task: String,
    /// The architecture, and what is proposed, sampled and kept.
    pub model: DetectorConfig,
    /// What is taken over, and what of it is trained.
    pub finetune: TransferConfig,
    /// What it learns from.
    pub data: DataConfig,
    /// How views are cut out of images.
    pub augment: ViewConfig,
    /// How it learns.
    pub optim: OptimConfig,
    /// Everything else.
    pub run: RunConfig,
}

impl DetectConfig {
    /// The settings of the heads that are usual for a trunk's images, as the layer below a recipe.
    pub(super) fn usual(vit: &VitConfig) -> Result<Table> {
        let wrong = |e| Error::setting("model", "numbers that TOML can hold", e);
        let model = Table::try_from(DetectorConfig::new(vit, 1)).map_err(wrong)?;
        Ok([("model".to_owned(), model.into())].into_iter().collect())
    }

    /// How an image becomes what the network sees where nothing is known of its size.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::of(&self.data, (self.model.img_size, self.model.in_chans))
    }

    /// What is in memory during a training step on so many threads: activations of the whole batch in front of the heads, since the
    /// losses are divided by how many regions are sampled in all of its images.
    #[must_use]
    pub fn memory(&self, threads: usize) -> StepMemory {
        let [height, width] = self.model.img_size;
        let image = self.model.in_chans * height * width;
        let (parameters, heads) = (self.model.parameters(), self.model.head_bytes());
        let step = StepMemory::new(&self.optim, parameters, image, heads, threads);
        let copies = step.copies + usize::from(self.finetune.ema_decay.is_some());
        StepMemory { copies, whole_batch: Some(self.model.waiting_bytes() / size_of::<f32>()), ..step }
    }
}

impl Settings for DetectConfig {
    const TASK: Option<&'static str> = Some("detect");

    const FIXED: &'static [&'static str] = &["task", "model.", "finetune.", "augment."];

    shared_sections!();

    fn vit(&self) -> VitConfig {
        self.model.vit()
    }

    fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.finetune.validate(self.model.depth)?;
        self.data.validate(self.model.in_chans)?;
        self.augment.validate(&self.data)?;
        self.optim.validate()?;
        self.run.validate()
    }
}
