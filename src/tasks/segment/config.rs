//! Every setting of a segmentation run, resolved as recipe < checkpoint < file < environment < command line.

use crate::base::Result;
use crate::config::sections::{DataConfig, OptimConfig, RunConfig};
use crate::config::settings::{Settings, shared_sections};
use crate::models::segment::SegmenterConfig;
use crate::models::vit::VitConfig;
use crate::tasks::transfer::{TransferConfig, ViewConfig};
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use serde::{Deserialize, Serialize};

/// All settings; `config.toml` in a run directory is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentConfig {
    /// Always `segment`.
    pub task: String,
    /// The architecture.
    pub model: SegmenterConfig,
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

impl SegmentConfig {
    /// How an image becomes what the network sees where nothing is known of its size.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::of(&self.data, (self.model.img_size, self.model.in_chans))
    }

    /// What is in memory during a training step on so many threads.
    #[must_use]
    pub fn memory(&self, threads: usize) -> StepMemory {
        let [height, width] = self.model.img_size;
        let image = self.model.in_chans * height * width;
        let (parameters, bytes) = (self.model.parameters(), self.model.activation_bytes());
        let step = StepMemory::new(&self.optim, parameters, image, bytes, threads);
        StepMemory { copies: step.copies + usize::from(self.finetune.ema_decay.is_some()), ..step }
    }
}

impl Settings for SegmentConfig {
    const TASK: Option<&'static str> = Some("segment");

    const FIXED: &'static [&'static str] =
        &["task", "model.", "finetune.", "augment.", "data.reduce_zero_label"];

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
