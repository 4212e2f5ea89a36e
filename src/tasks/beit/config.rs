//! Every setting of BEiT-style pre-training, resolved as preset < recipe < file < environment < command line.

use crate::base::{Error, Result};
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::config::resolve::Layers;
use crate::config::sections::{DataConfig, OptimConfig, RunConfig, require};
use crate::config::settings::{Settings, shared_sections};
use crate::models::beit::{BeitConfig, BlockMasking};
use crate::models::mae::loss::PixelTarget;
use crate::models::vit::VitConfig;
use crate::tasks::mae::presets;
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::Table;

/// What the method has of its own.
const RECIPE: &str = include_str!("recipe.toml");

/// Most patches that k-means is given: beyond any use, and short of any trouble.
const MAX_PATCHES: usize = 1 << 24;

/// All settings; `config.toml` in a run directory is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeitSettings {
    /// Always `beit`.
    pub task: String,
    /// The trunk's architecture.
    pub model: VitConfig,
    /// What is predicted.
    pub beit: TokensConfig,
    /// What is masked.
    pub mask: BlockMaskConfig,
    /// What it learns from.
    pub data: DataConfig,
    /// How it learns.
    pub optim: OptimConfig,
    /// Everything else.
    pub run: RunConfig,
}

/// The tokens that are predicted: nearest centroids of k-means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensConfig {
    /// `V`; that of the codebook if one is given.
    pub tokens: usize,
    /// Whether each patch has its own mean and standard deviation taken out first; the codebook's if one is given.
    pub normalised: bool,
    /// Patches of the training images that k-means is given, at most.
    pub kmeans_patches: usize,
    /// Iterations of k-means, at most.
    pub kmeans_iterations: usize,
    /// A codebook that was made before; the run makes one of its training images if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebook: Option<PathBuf>,
    /// CRC-32 of the centroids, filled in when they are there: a resumed run must have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebook_crc: Option<u32>,
}

/// What is masked of each image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockMaskConfig {
    /// Share of the patches to mask, at most: block-wise masking may stop below it.
    pub mask_ratio: f64,
}

impl BeitSettings {
    /// The settings of a new run: a preset's architecture, data and optimiser, the recipe, a file, the environment and flags,
    /// in this order.
    ///
    /// # Errors
    /// An unknown preset or key, a value of the wrong type, a file that is not TOML, or settings that cannot work together.
    pub fn layered(preset: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<Self>> {
        let base = presets::trunk(preset)?;
        let recipe: Table = RECIPE.parse().map_err(|e| Error::setting("recipe beit", "TOML", e))?;
        let layers = Layers::new(base, &format!("preset {preset}")).lay(recipe, "recipe beit");
        let mut resolved: Resolved<Self> = layers.resolve(file, overrides)?;
        // A file may be that of an earlier run. This one has a codebook of its own.
        resolved.config.beit.codebook_crc = None;
        Ok(resolved)
    }

    /// The model's architecture.
    #[must_use]
    pub fn beit(&self) -> BeitConfig {
        BeitConfig { vit: self.model.clone(), vocab_size: self.beit.tokens }
    }

    /// How masks are drawn.
    #[must_use]
    pub fn masking(&self) -> BlockMasking {
        BlockMasking::of_grid(self.model.grid(), self.mask.mask_ratio)
    }

    /// What of a patch is compared with centroids.
    #[must_use]
    pub fn patches(&self) -> PixelTarget {
        PixelTarget { patch_size: self.model.patch_size, norm_pix_loss: self.beit.normalised }
    }

    /// How an image becomes what the model sees in evaluation.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::of(&self.data, (self.model.img_size, self.model.in_chans))
    }

    /// What is in memory during a training step on so many threads.
    #[must_use]
    pub fn memory(&self, threads: usize) -> StepMemory {
        let (model, vit) = (self.beit(), &self.model);
        StepMemory::new(
            &self.optim,
            model.parameters(),
            vit.in_chans * vit.img_size[0] * vit.img_size[1],
            model.activation_bytes(self.masking().target),
            threads,
        )
    }
}

impl Settings for BeitSettings {
    const TASK: Option<&'static str> = Some("beit");

    const FIXED: &'static [&'static str] = &["task", "model.", "beit.", "mask."];

    shared_sections!();

    fn vit(&self) -> VitConfig {
        self.model.clone()
    }

    fn validate(&self) -> Result<()> {
        self.beit().validate()?;
        self.beit.validate(self.model.patch_len())?;
        let (rows, columns) = self.model.grid();
        let why = "one that cuts an image into 2 rows and 2 columns of patches at least: a block never spans the grid";
        require(rows > 1 && columns > 1, "model.patch_size", why, self.model.patch_size)?;
        let ratio = self.mask.mask_ratio;
        require(ratio > 0.0 && ratio < 1.0, "mask.mask_ratio", "between 0 and 1, both excluded", ratio)?;
        let why = format!("a ratio that masks at least one of the {} patches", rows * columns);
        require(self.masking().target > 0, "mask.mask_ratio", why, ratio)?;
        self.data.validate(self.model.in_chans)?;
        self.optim.validate()?;
        self.run.validate()
    }
}

impl TokensConfig {
    fn validate(&self, patch_len: usize) -> Result<()> {
        let (least, most) = (self.tokens, MAX_PATCHES);
        let why = format!("{least} (the tokens) to {most}");
        let found = self.kmeans_patches;
        require((least..=most).contains(&found), "beit.kmeans_patches", why, found)?;
        let iterations = self.kmeans_iterations;
        require((1..=10_000).contains(&iterations), "beit.kmeans_iterations", "1 to 10000", iterations)?;
        let why = "false for patches of a single number, which have no variance";
        require(!self.normalised || patch_len > 1, "beit.normalised", why, self.normalised)
    }
}
