//! Every setting of a fine-tuning run, resolved as recipe < checkpoint < file < environment < command line.

use super::recipes;
use crate::base::Result;
use crate::config::sections::{DataConfig, OptimConfig, RunConfig};
use crate::config::settings::{Settings, shared_sections};
use crate::data::AugmentConfig;
use crate::exec::engine::Engine;
use crate::models::classify::{Classifier, ClassifierConfig};
use crate::models::vit::VitConfig;
use crate::tasks::classify::evaluate::Evaluator;
use crate::tasks::transfer::{TransferConfig, layered};
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// All settings; `config.toml` in a run directory is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetuneConfig {
    /// Always `classify`: what tells this file from that of a pre-training run.
    pub task: String,
    /// The architecture.
    pub model: ClassifierConfig,
    /// What is taken over, and what of it is trained.
    pub finetune: TransferConfig,
    /// What it learns from.
    pub data: DataConfig,
    /// What happens to its images and targets, beside crops and flips.
    pub augment: AugmentConfig,
    /// How it learns.
    pub optim: OptimConfig,
    /// Everything else.
    pub run: RunConfig,
}

impl FinetuneConfig {
    /// Resolves a recipe, the settings that follow from the architecture and the data of a pre-training run
    /// (`given`, which may hold parts of sections), a file and overrides, in this order, and checks the result.
    ///
    /// # Errors
    /// An unknown recipe or key, a value of the wrong type, a file that is not TOML, or settings that cannot work
    /// together.
    pub fn resolve(
        recipe: &str,
        given: Table,
        file: Option<&Path>,
        overrides: Vec<(String, Value)>,
    ) -> Result<Self> {
        Ok(layered(Table::new(), recipes::RECIPES, recipe, (given, ""), file, &overrides.into())?.config)
    }

    /// How an image becomes what the model sees in evaluation.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::of(&self.data, (self.model.img_size, self.model.in_chans))
    }

    /// A classifier with these settings, to evaluate images; `checkpoint` is where its weights come from.
    #[must_use]
    pub fn evaluator<'a>(
        &'a self,
        model: &'a Classifier<f32>,
        input: &'a Input,
        checkpoint: &'a Path,
        engine: &'a Engine,
    ) -> Evaluator<'a> {
        Evaluator { model, input, classes: &self.finetune.classes, engine, checkpoint }
    }

    /// What is in memory during a training step on so many threads.
    #[must_use]
    pub fn memory(&self, threads: usize) -> StepMemory {
        let (model, [height, width]) = (&self.model, self.model.img_size);
        let activations = model.activation_bytes(self.finetune.tune_blocks);
        let image = model.in_chans * height * width;
        let step = StepMemory::new(&self.optim, model.parameters(), image, activations, threads);
        StepMemory { copies: step.copies + usize::from(self.finetune.ema_decay.is_some()), ..step }
    }
}

impl Settings for FinetuneConfig {
    const TASK: Option<&'static str> = Some("classify");

    const FIXED: &'static [&'static str] = &["task", "model.", "finetune.", "augment."];

    shared_sections!();

    fn vit(&self) -> VitConfig {
        self.model.vit()
    }

    fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.finetune.validate(self.model.depth)?;
        self.data.validate(self.model.in_chans)?;
        let [height, width] = self.model.img_size;
        self.augment.validate(height, width, self.model.in_chans)?;
        self.optim.validate()?;
        self.run.validate()
    }
}
