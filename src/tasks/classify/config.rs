//! Every setting of a fine-tuning run, resolved as recipe < checkpoint < file < environment < command line.

use super::recipes;
use crate::base::{Error, Result};
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::config::resolve::Layers;
use crate::config::sections::{DataConfig, OptimConfig, RunConfig, require};
use crate::config::settings::{Settings, shared_sections};
use crate::data::AugmentConfig;
use crate::exec::engine::Engine;
use crate::models::classify::{Classifier, ClassifierConfig};
use crate::models::vit::VitConfig;
use crate::tasks::classify::evaluate::Evaluator;
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
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

/// What is taken over from pre-training, what of it is trained, and with how many labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferConfig {
    /// The run whose encoder is fine-tuned; none for training from scratch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<PathBuf>,
    /// CRC-32 of the weights that were taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_crc: Option<u32>,
    /// How many of the last blocks are trained, beside the head: 0 for the head alone, all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune_blocks: Option<usize>,
    /// The learning rate of a layer is this times that of the layer above it.
    pub layer_decay: f64,
    /// Chance that a residual branch of the last block is left out; it rises linearly from 0 in the first.
    pub drop_path: f64,
    /// Decay of a moving average of the weights, which then is what is judged and kept; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Fraction of the training images whose labels are used, class by class.
    pub label_share: f64,
    /// The names of the classes, as the data has them.
    #[serde(default)]
    pub classes: Vec<String>,
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
        Ok(Self::layered(recipe, (given, ""), file, &overrides.into())?.config)
    }

    /// The same with the environment's settings below the command line's, and with the origin of each; what is given
    /// comes with its own.
    ///
    /// # Errors
    /// As [`FinetuneConfig::resolve`]; the error names the file, the variable or the flag.
    pub fn layered(
        recipe: &str,
        (given, origin): (Table, &str),
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<Resolved<Self>> {
        let wrong = |e: toml::de::Error| Error::setting("--recipe", "TOML", e);
        let table: Table = recipes::text(recipe)?.parse().map_err(wrong)?;
        let layers = Layers::new(table, &format!("recipe {recipe}")).lay(given, origin);
        let mut resolved = layers.resolve(file, overrides)?;
        resolved.origins.set("model.num_classes", "a placeholder until the data is opened");
        Ok(resolved)
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
        let transfer = &self.finetune;
        let averaged = transfer.ema_decay.is_some();
        StepMemory::finetuning(&self.model, &self.optim, transfer.tune_blocks, averaged, threads)
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

impl TransferConfig {
    fn validate(&self, depth: usize) -> Result<()> {
        if let Some(blocks) = self.tune_blocks {
            let expected = format!("0 to {depth}, the blocks there are");
            require(blocks <= depth, "finetune.tune_blocks", expected, blocks)?;
        }
        let decay = self.layer_decay;
        require(decay > 0.0 && decay <= 1.0, "finetune.layer_decay", "more than 0, at most 1", decay)?;
        let rate = self.drop_path;
        require((0.0..1.0).contains(&rate), "finetune.drop_path", "at least 0 and less than 1", rate)?;
        if let Some(decay) = self.ema_decay {
            require((0.0..1.0).contains(&decay), "finetune.ema_decay", "at least 0 and less than 1", decay)?;
        }
        let share = self.label_share;
        require(share > 0.0 && share <= 1.0, "finetune.label_share", "more than 0, at most 1", share)
    }
}
