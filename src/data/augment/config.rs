//! The settings of fine-tuning's augmentation: one section of a configuration file, checked as a whole.

use serde::{Deserialize, Serialize};

use super::super::Mixing;
use super::{Augment, RandAugment};
use crate::base::{Error, Result};

/// What happens to images and targets on their way to a classifier that learns; everything is off by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// The most pixels that an image is shifted in each direction; not shifted if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_crop: Option<usize>,
    /// How likely a rectangle is erased.
    pub erasing_prob: f64,
    /// `α` of mixup's λ; 0 never takes mixup.
    pub mixup_alpha: f64,
    /// `α` of cutmix's λ; 0 never takes cutmix.
    pub cutmix_alpha: f64,
    /// The fraction of batches that are mixed.
    pub mix_prob: f64,
    /// If both are possible: the fraction of mixed batches that take cutmix.
    pub mix_switch_prob: f64,
    /// Label smoothing: the mass that is spread over all classes.
    pub smoothing: f64,
    /// Random operations on 8-bit images; none if absent, or if its `ops` is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            pad_crop: None,
            erasing_prob: 0.0,
            mixup_alpha: 0.0,
            cutmix_alpha: 0.0,
            mix_prob: 1.0,
            mix_switch_prob: 0.5,
            smoothing: 0.0,
            rand_augment: None,
        }
    }
}

impl AugmentConfig {
    /// The reference's recipe for fine-tuning on `ImageNet` (He et al. 2022, table 9), beside its crops and flips:
    /// RandAugment, erasing with probability ¼, mixup with 0.8, cutmix with 1, smoothing of 0.1.
    #[must_use]
    pub fn reference() -> Self {
        let mixing = Mixing::REFERENCE;
        Self {
            pad_crop: None,
            erasing_prob: 0.25,
            mixup_alpha: mixing.mixup_alpha,
            cutmix_alpha: mixing.cutmix_alpha,
            mix_prob: mixing.prob,
            mix_switch_prob: mixing.switch_prob,
            smoothing: 0.1,
            rand_augment: Some(RandAugment::REFERENCE),
        }
    }

    /// Checks everything for images of `height × width` with `channels` channels.
    ///
    /// # Errors
    /// If a number is out of its range, or RandAugment is asked for on other than 1 or 3 channels; the message
    /// names the key below `augment`.
    pub fn validate(&self, height: usize, width: usize, channels: usize) -> Result<()> {
        self.augment(None, false).check("augment", height, width, channels)?;
        self.mixing().check()?;
        if !(0.0..1.0).contains(&self.smoothing) {
            return Err(Error::setting("augment.smoothing", "at least 0 and less than 1", self.smoothing));
        }
        Ok(())
    }

    /// What happens to a single image, after crop and flip, which pre-training has, too: for
    /// [`super::super::LoaderConfig`].
    #[must_use]
    pub fn augment(&self, crop_area: Option<(f64, f64)>, flip: bool) -> Augment {
        Augment {
            crop_area,
            flip,
            pad_crop: self.pad_crop,
            rand_augment: self.rand_augment,
            erasing_prob: self.erasing_prob,
            ..Augment::NONE
        }
    }

    /// What happens to a batch.
    #[must_use]
    pub fn mixing(&self) -> Mixing {
        Mixing {
            mixup_alpha: self.mixup_alpha,
            cutmix_alpha: self.cutmix_alpha,
            prob: self.mix_prob,
            switch_prob: self.mix_switch_prob,
        }
    }
}
