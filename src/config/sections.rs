//! The sections of a configuration that every kind of training has: its data, how it learns, and the rest.

use crate::base::{Error, Result};
use crate::exec::Backend;
use crate::exec::device::Device;
use crate::exec::engine::{Engine, Offloading};
use crate::optim::Schedule;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The key of the validation fraction, which errors name.
const VAL_FRACTION: &str = "data.val_fraction";
/// The most epochs: a slip of the keyboard should not become a run of a thousand years.
const MAX_EPOCHS: u64 = 1_000_000;

/// The samples that an epoch has at least where `data.repeats` is absent.
pub const EPOCH_SAMPLES: usize = 1600;

/// Which images, and what happens to them on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A file or folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `idx`, `cifar`, `npy`, `webdataset`, `parquet`, `scenes`, `label-maps`, `coco`, `voc` or `folder`; recognised from the path if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Random resized crops of this fraction of the area, `[smallest, largest]`; none if absent.
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
    /// How often each image appears in an epoch, each time with a crop of its own. If absent, as often as it takes to
    /// make an epoch of at least [`EPOCH_SAMPLES`], so that a handful of images is a run as long as a folder of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<usize>,
    /// Most mebibytes of decoded images kept in memory.
    pub cache_mib: usize,
    /// Whether an unreadable image is skipped and listed instead of stopping the run.
    pub skip_bad_images: bool,
    /// Fraction of the training images (in fine-tuning: of the labelled ones, class by class) that is held out to choose
    /// by, where the data has no validation split of its own. Older settings have none: nothing was held out.
    #[serde(default)]
    pub val_fraction: f64,
    /// Whether 0 in label maps is no class but ignored, and class k is what the files call k + 1, as ADE20K is used.
    #[serde(default, skip_serializing_if = "is_off")]
    pub reduce_zero_label: bool,
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
    /// What multiplies matrices on the CPU.
    pub gemm: Backend,
    /// Where large products run: `cpu`, `cuda:N`, or `auto`, in whose place the device that was found is written.
    #[serde(default)]
    pub device: Device,
    /// On a GPU: whether operands in f32 are rounded to TF32's 10 bits of mantissa.
    #[serde(default)]
    pub tf32: bool,
    /// On a GPU: multiplications from which a product goes there; [`crate::exec::cublas::FROM`] if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offload_from: Option<usize>,
    /// On several ranks: the seconds after which one that waits for another in a step gives up, and all end;
    /// [`crate::train::together::TIMEOUT_SECS`] if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_timeout_secs: Option<u64>,
    /// A line in `metrics.jsonl` every so many steps.
    pub log_every_steps: u64,
    /// Pictures every so many epochs, and after the last.
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
    /// Most validation images, which are judged after every epoch and choose the best checkpoint; 0 for none.
    /// Pre-training takes no more than these out of the training images.
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_off(switch: &bool) -> bool {
    !switch
}

fn one() -> usize {
    1
}

fn fifty() -> u64 {
    50
}

impl DataConfig {
    /// Checks what can be known before any data is read, for images of `in_chans` channels.
    pub(crate) fn validate(&self, in_chans: usize) -> Result<()> {
        require(self.repeats != Some(0), "data.repeats", "at least 1", 0)?;
        let fraction = self.val_fraction;
        require((0.0..1.0).contains(&fraction), VAL_FRACTION, "at least 0 and less than 1", fraction)?;
        if let Some([smallest, largest]) = self.crop {
            let possible = 0.0 < smallest && smallest <= largest && largest <= 1.0;
            require(possible, "data.crop", "0 < smallest ≤ largest ≤ 1", format!("[{smallest}, {largest}]"))?;
        }
        for (key, values, positive) in [("data.mean", &self.mean, false), ("data.std", &self.std, true)] {
            if let Some(values) = values {
                let kind = if positive { "positive" } else { "finite" };
                let expected = format!("{in_chans} {kind} numbers, one a channel");
                let possible = values.len() == in_chans
                    && values.iter().all(|x| x.is_finite() && (*x > 0.0 || !positive));
                require(possible, key, expected, format!("{values:?}"))?;
            }
        }
        Ok(())
    }
}

impl OptimConfig {
    /// Refuses numbers with which nothing can be learnt.
    pub(crate) fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("optim.batch_size", self.batch_size),
            ("optim.accum_iter", self.accum_iter),
            ("optim.micro_batch", self.micro_batch),
        ] {
            require(value > 0, key, "at least 1", value)?;
        }
        let epochs = (1..=MAX_EPOCHS).contains(&self.epochs);
        require(epochs, "optim.epochs", format!("1 to {MAX_EPOCHS}"), self.epochs)?;
        let warmup = (0.0..self.epochs as f64).contains(&self.warmup_epochs);
        let expected = format!("at least 0 and less than the {} epochs", self.epochs);
        require(warmup, "optim.warmup_epochs", expected, self.warmup_epochs)?;
        for (key, value) in [
            ("optim.blr", self.blr),
            ("optim.lr", self.lr.unwrap_or(0.0)),
            ("optim.min_lr", self.min_lr),
            ("optim.weight_decay", self.weight_decay),
        ] {
            require(value >= 0.0 && value.is_finite(), key, "0 or more", value)?;
        }
        for beta in self.betas {
            require((0.0..1.0).contains(&beta), "optim.betas", "at least 0 and less than 1", beta)?;
        }
        let clip = self.clip_grad.unwrap_or(1.0);
        require(clip > 0.0 && clip.is_finite(), "optim.clip_grad", "more than 0", clip)
    }

    /// The learning-rate schedule, in absolute rates.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let scaled = Schedule::absolute_lr(self.blr, self.batch_size * self.accum_iter);
        Schedule {
            lr: self.lr.unwrap_or(scaled),
            min_lr: self.min_lr,
            warmup_epochs: self.warmup_epochs,
            epochs: self.epochs as f64,
        }
    }
}

impl RunConfig {
    /// Opens the device, and puts it down in the place of `auto`; likewise what multiplies, where the machine lacks what was asked for.
    ///
    /// # Errors
    /// If there is no such device, or it cannot be used.
    pub fn open_engine(&mut self) -> Result<Engine> {
        if !self.gemm.is_available() {
            self.gemm = Backend::Gemm;
        }
        let engine = self.engine()?;
        self.device = engine.device();
        Ok(engine)
    }

    /// The device, opened.
    ///
    /// # Errors
    /// If there is no such device, or it cannot be used.
    pub fn engine(&self) -> Result<Engine> {
        Engine::open(self.gemm, self.offloading())
    }

    /// How a device is to be used.
    #[must_use]
    pub fn offloading(&self) -> Offloading {
        Offloading { device: self.device, tf32: self.tf32, from: self.offload_from }
    }

    /// Refuses intervals of nothing.
    pub(crate) fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("run.log_every_steps", self.log_every_steps),
            ("run.pictures_every_epochs", self.pictures_every_epochs),
            ("run.checkpoint_every_epochs", self.checkpoint_every_epochs),
            ("run.checkpoint_every_steps", self.checkpoint_every_steps.unwrap_or(1)),
            ("run.keep", self.keep as u64),
            ("run.rank_timeout_secs", self.rank_timeout_secs.unwrap_or(1)),
            ("run.digest_every_steps", self.digest_every_steps),
        ] {
            require(value > 0, key, "at least 1", value)?;
        }
        Ok(())
    }
}

/// An error that names the setting, unless the condition holds.
pub(crate) fn require(
    holds: bool,
    key: &str,
    expected: impl Into<String>,
    found: impl ToString,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::setting(key, expected, found)) }
}
