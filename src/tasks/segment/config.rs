//! Every setting of a segmentation run, resolved as recipe < checkpoint < file < environment < command line.

use super::recipes;
use crate::base::{Error, Result};
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::config::resolve::Layers;
use crate::config::sections::{DataConfig, OptimConfig, RunConfig, require};
use crate::config::settings::{Settings, shared_sections};
use crate::data::Augment;
use crate::data::augment::{Photometric, ScaleCrop};
use crate::models::segment::SegmenterConfig;
use crate::models::vit::VitConfig;
use crate::tasks::transfer::TransferConfig;
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::Table;

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

/// How training views are cut out of images and their label maps, beside flips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// The smallest and the largest scale, relative to that at which an image just covers the view. What is larger is cut,
    /// what is smaller padded with pixels that are ignored.
    pub scale: [f64; 2],
    /// Whether brightness, contrast, saturation and hue change.
    pub jitter: bool,
}

impl SegmentConfig {
    /// Resolves a recipe, the settings that follow from the architecture and the data of a pre-training run (`given`, with
    /// where they come from), a file and overrides, in this order, and checks the result.
    ///
    /// # Errors
    /// An unknown recipe or key, a value of the wrong type, a file that is not TOML, or settings that cannot work together.
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

    /// How an image becomes what the network sees where nothing is known of its size.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::of(&self.data, (self.model.img_size, self.model.in_chans))
    }

    /// The random changes of a training view.
    #[must_use]
    pub fn view(&self) -> Augment {
        let [low, high] = self.augment.scale;
        Augment {
            scale_crop: Some(ScaleCrop { low, high }),
            flip: self.data.flip,
            photometric: self.augment.jitter.then_some(Photometric::JITTER),
            ..Augment::SEGMENTATION
        }
    }

    /// What is in memory during a training step on so many threads.
    #[must_use]
    pub fn memory(&self, threads: usize) -> StepMemory {
        let [height, width] = self.model.img_size;
        let image = self.model.in_chans * height * width;
        let (parameters, bytes) = (self.model.parameters(), self.model.activation_bytes());
        let step = StepMemory::of_model(&self.optim, parameters, image, bytes, threads);
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
        let expected = "none for segmentation, whose views augment.scale describes";
        require(self.data.crop.is_none(), "data.crop", expected, format!("{:?}", self.data.crop))?;
        let [low, high] = self.augment.scale;
        let possible = low > 0.0 && low <= high && high <= MOST_SCALE;
        let expected = format!("[smallest, largest] with 0 < smallest ≤ largest ≤ {MOST_SCALE}");
        require(possible, "augment.scale", expected, format!("[{low}, {high}]"))?;
        self.optim.validate()?;
        self.run.validate()
    }
}

/// A crop at more than this scale would show a few pixels of the image.
const MOST_SCALE: f64 = 64.0;
