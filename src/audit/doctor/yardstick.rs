//! The loss of the checkpoint's weights beside those of trivial predictors, on the same removed patches.

use super::evidence::Evidence;
use crate::models::mae::Mae;
use crate::models::mae::baseline::Baselines;
use crate::models::mae::cost::Cost;
use crate::models::mae::masking::len_keep;
use crate::tasks::Config;
use crate::tasks::mae::held_out::HeldOut;
use crate::train::WorkerPool;

/// Floating-point operations that measuring a loss may take: some seconds on a few cores.
const BUDGET_FLOP: f64 = 1e12;
/// Fewer images say too little about a mean.
const FEWEST_IMAGES: usize = 32;
/// Training images that are looked at where there are no held-out ones.
const TRAINING_IMAGES: usize = 256;

/// Losses on a fixed set of images with fixed masks.
#[derive(Clone, Debug)]
pub struct Yardstick {
    /// Images looked at.
    pub images: usize,
    /// Whether these are the held-out images of the run, all of them: then `loss` can be compared with the log.
    pub as_logged: bool,
    /// Whether these are held-out images, rather than training images.
    pub held_out: bool,
    /// The loss of the checkpoint's weights; none without a checkpoint.
    pub loss: Option<f64>,
    /// What trivial predictors reach.
    pub baselines: Baselines,
}

impl Yardstick {
    /// Measures on the held-out images, or without them on training images without augmentation.
    pub(super) fn measure(evidence: &Evidence, workers: &WorkerPool<f32, Mae<f32>>) -> Result<Self, String> {
        let data = evidence.data.as_ref().map_err(Clone::clone)?;
        let config = &evidence.config;
        let (set, wanted) = match &data.source.validation {
            Ok(set) => (set, config.run.held_out_images.min(set.len())),
            Err(_) => (&data.source.train, TRAINING_IMAGES.min(data.source.train.len())),
        };
        let count = wanted.min(affordable(config, FEWEST_IMAGES));
        let set = HeldOut::new(config, set, count).map_err(|error| error.to_string())?;
        let held_out = data.source.validation.is_ok();
        let loss = evidence.saved.as_ref().ok().map(|saved| set.loss(&saved.model, workers));
        Ok(Self {
            images: set.masks.len(),
            as_logged: held_out && count == wanted,
            held_out,
            loss: loss.transpose().map_err(|error| error.to_string())?,
            baselines: set.baselines(config.model.target(), workers),
        })
    }

    /// The trivial predictor with the lowest loss among those that predict one thing everywhere.
    #[must_use]
    pub fn best_constant(&self, norm_pix_loss: bool) -> (&'static str, f64) {
        let [zero, mean, _] = self.baselines.named(norm_pix_loss);
        if zero.1 <= mean.1 { zero } else { mean }
    }
}

/// How many images a forward pass can take within the budget, at least `fewest`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn affordable(config: &Config, fewest: usize) -> usize {
    let len_keep = len_keep(config.model.num_patches(), config.mask.mask_ratio);
    let step = Cost { config: &config.model, len_keep }.flops_per_image();
    // A step is a forward pass and a backward pass of twice its cost.
    ((3.0 * BUDGET_FLOP / step) as usize).max(fewest)
}
