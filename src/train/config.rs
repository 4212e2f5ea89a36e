//! Every setting of a pre-training run, resolved as preset < file < command line.

use super::resolve::{Layers, one_line};
use crate::base::{Error, Result};
use crate::exec::Backend;
use crate::mae::masking::{Masking, len_keep};
use crate::mae::{MaeConfig, Strategy};
use crate::optim::Schedule;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The most epochs: a slip of the keyboard should not become a run of a thousand years.
const MAX_EPOCHS: u64 = 1_000_000;

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
    /// Share of patches removed.
    pub mask_ratio: f64,
}

/// Which images, and what happens to them on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A file or folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `idx`, `cifar` or `folder`; recognised from the path if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Random resized crops of this share of the area, `[smallest, largest]`; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<[f64; 2]>,
    /// Whether every second image, at random, is mirrored.
    pub flip: bool,
    /// Per-channel mean of pixels in [0, 1]; measured on the training images if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Per-channel standard deviation; measured if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
    /// How often each image appears in an epoch, each time with a crop of its own.
    pub repeats: usize,
    /// Most mebibytes of decoded images kept in memory.
    pub cache_mib: usize,
    /// Whether an unreadable image is skipped and listed instead of stopping the run.
    pub skip_bad_images: bool,
}

/// How the model learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimConfig {
    /// Passes over the data.
    pub epochs: u64,
    /// Epochs of linear warm-up.
    pub warmup_epochs: f64,
    /// Images in an iteration.
    pub batch_size: usize,
    /// Iterations whose gradients make up one step.
    pub accum_iter: usize,
    /// Images that one task carries through forward and backward; decides speed and rounding, nothing else.
    pub micro_batch: usize,
    /// Base learning rate, per 256 images.
    pub blr: f64,
    /// Absolute learning rate; takes the place of `blr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Learning rate at the end.
    pub min_lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Largest norm of the gradient; not clipped if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_grad: Option<f64>,
}

/// Seed, product backend, and what is logged how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// All randomness is a function of this and of an address.
    pub seed: u64,
    /// Which crate multiplies matrices.
    pub gemm: Backend,
    /// A line in `metrics.jsonl` every so many steps.
    pub log_every_steps: u64,
    /// Reconstructions every so many epochs, and after the last.
    pub pictures_every_epochs: u64,
    /// A checkpoint every so many epochs, and after the last.
    pub checkpoint_every_epochs: u64,
    /// A checkpoint every so many steps besides; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every_steps: Option<u64>,
    /// How many checkpoints stay; the best one stays besides.
    #[serde(default = "one")]
    pub keep: usize,
    /// A digest of the weights in `metrics.jsonl` every so many steps, and after the last.
    #[serde(default = "fifty")]
    pub digest_every_steps: u64,
    /// What becomes of a step whose loss or gradient is not finite.
    #[serde(default)]
    pub on_nonfinite: OnNonfinite,
    /// Images of the test split on which the held-out loss is measured; 0 for none.
    pub held_out_images: usize,
}

/// What becomes of a step whose loss or gradient is not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnNonfinite {
    /// It ends the run.
    #[default]
    Stop,
    /// It changes nothing, is logged and counted.
    Skip,
}

fn one() -> usize {
    1
}

fn fifty() -> u64 {
    50
}

impl Config {
    /// Resolves a preset, a file and overrides (`mask.mask_ratio`, value) in this order, and checks the
    /// result. A file or overrides that change only the number of epochs keep the share of warm-up.
    ///
    /// # Errors
    /// An unknown preset or key, a value of the wrong type, a file that is not TOML, or settings that
    /// cannot work together; the error names the file or the flag.
    pub fn resolve(preset: &str, file: Option<&Path>, overrides: Vec<(String, Value)>) -> Result<Self> {
        Layers::new(preset)?.resolve(file, overrides)
    }

    /// These settings with a file and flags laid on top, as when a run is resumed.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn changed(&self, file: Option<&Path>, flags: Vec<(String, Value)>) -> Result<Self> {
        Layers::over(self)?.resolve(file, flags)
    }

    /// Reads settings that were resolved before.
    ///
    /// # Errors
    /// If the text, which stands in `path`, is not a complete configuration.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self> {
        let wrong = |e: toml::de::Error| {
            Error::input(path, "settings", "a complete configuration", one_line(e, text))
        };
        let config: Self = toml::from_str(text).map_err(wrong)?;
        config.validate()?;
        Ok(config)
    }

    /// As TOML.
    ///
    /// # Errors
    /// Only if a number cannot be written in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::setting("settings", "numbers that TOML can hold", e))
    }

    /// As a table of sections.
    ///
    /// # Errors
    /// Only if a number cannot be written in TOML.
    pub fn to_table(&self) -> Result<Table> {
        Table::try_from(self).map_err(|e| Error::setting("settings", "numbers that TOML can hold", e))
    }

    /// Checks all that can be known before any data is read.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.validate_mask()?;
        self.validate_data()?;
        self.validate_optim()?;
        for (key, value) in [
            ("run.log_every_steps", self.run.log_every_steps),
            ("run.pictures_every_epochs", self.run.pictures_every_epochs),
            ("run.checkpoint_every_epochs", self.run.checkpoint_every_epochs),
            ("run.checkpoint_every_steps", self.run.checkpoint_every_steps.unwrap_or(1)),
            ("run.keep", self.run.keep as u64),
            ("run.digest_every_steps", self.run.digest_every_steps),
        ] {
            require(value > 0, key, "at least 1", value)?;
        }
        Ok(())
    }

    fn validate_mask(&self) -> Result<()> {
        let ratio = self.mask.mask_ratio;
        require(ratio > 0.0 && ratio < 1.0, "mask.mask_ratio", "between 0 and 1, both excluded", ratio)?;
        let patches = self.model.num_patches();
        let keep = len_keep(patches, ratio);
        let found = format!("{ratio}, which keeps {keep}");
        require(
            (1..patches).contains(&keep),
            "mask.mask_ratio",
            format!("a ratio that keeps and removes at least one of the {patches} patches"),
            found,
        )
    }

    fn validate_data(&self) -> Result<()> {
        let data = &self.data;
        require(data.repeats > 0, "data.repeats", "at least 1", data.repeats)?;
        if let Some([smallest, largest]) = data.crop {
            let possible = 0.0 < smallest && smallest <= largest && largest <= 1.0;
            require(possible, "data.crop", "0 < smallest ≤ largest ≤ 1", format!("[{smallest}, {largest}]"))?;
        }
        for (key, values, positive) in [("data.mean", &data.mean, false), ("data.std", &data.std, true)] {
            if let Some(values) = values {
                let expected = format!("{} finite numbers, one a channel", self.model.in_chans);
                let possible = values.len() == self.model.in_chans
                    && values.iter().all(|x| x.is_finite() && (*x > 0.0 || !positive));
                require(possible, key, expected, format!("{values:?}"))?;
            }
        }
        Ok(())
    }

    fn validate_optim(&self) -> Result<()> {
        let o = &self.optim;
        for (key, value) in [
            ("optim.batch_size", o.batch_size),
            ("optim.accum_iter", o.accum_iter),
            ("optim.micro_batch", o.micro_batch),
        ] {
            require(value > 0, key, "at least 1", value)?;
        }
        let epochs = (1..=MAX_EPOCHS).contains(&o.epochs);
        require(epochs, "optim.epochs", format!("1 to {MAX_EPOCHS}"), o.epochs)?;
        let warmup = (0.0..o.epochs as f64).contains(&o.warmup_epochs);
        let expected = format!("at least 0 and less than the {} epochs", o.epochs);
        require(warmup, "optim.warmup_epochs", expected, o.warmup_epochs)?;
        for (key, value) in [
            ("optim.blr", o.blr),
            ("optim.lr", o.lr.unwrap_or(0.0)),
            ("optim.min_lr", o.min_lr),
            ("optim.weight_decay", o.weight_decay),
        ] {
            require(value >= 0.0 && value.is_finite(), key, "0 or more", value)?;
        }
        for beta in o.betas {
            require((0.0..1.0).contains(&beta), "optim.betas", "at least 0 and less than 1", beta)?;
        }
        let clip = o.clip_grad.unwrap_or(1.0);
        require(clip > 0.0 && clip.is_finite(), "optim.clip_grad", "more than 0", clip)
    }

    /// How masks are drawn.
    #[must_use]
    pub fn masking(&self) -> Masking {
        Masking { strategy: self.mask.strategy, mask_ratio: self.mask.mask_ratio, grid: self.model.grid() }
    }

    /// The learning-rate schedule, in absolute rates.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let o = &self.optim;
        let scaled = Schedule::absolute_lr(o.blr, o.batch_size * o.accum_iter);
        Schedule {
            lr: o.lr.unwrap_or(scaled),
            min_lr: o.min_lr,
            warmup_epochs: o.warmup_epochs,
            epochs: o.epochs as f64,
        }
    }
}

fn require(holds: bool, key: &str, expected: impl Into<String>, found: impl ToString) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::setting(key, expected, found)) }
}
