//! The loss on images that are never trained on (validation, test), always with the same masks, beside what trivial
//! predictors reach on the very same patches.

use super::config::Config;
use super::step;
use crate::base::Result;
use crate::data::Dataset;
use crate::models::mae::baseline::{Baselines, baselines};
use crate::models::mae::loss::PixelTarget;
use crate::models::mae::{Mae, Mask};
use crate::train::eval_images::{EPOCH, EvalImages};
use crate::train::workers::WorkerPool;
use ndarray::Array4;
use std::sync::Arc;

/// A fixed selection of images with fixed masks.
pub struct EvalSet {
    /// `[B, C, H, W]`, normalised.
    pub images: Array4<f32>,
    /// One an image.
    pub masks: Vec<Mask>,
    /// Why images were left out.
    pub skipped: Vec<String>,
    micro_batch: usize,
}

impl EvalSet {
    /// At most `count` evenly spaced images of a data set; with `data.skip_bad_images` those that cannot be
    /// read are left out.
    ///
    /// # Errors
    /// If one of them cannot be read (with `data.skip_bad_images`: if none can).
    pub fn new(config: &Config, dataset: &Arc<dyn Dataset>, count: usize) -> Result<Self> {
        let (masking, skip) = (config.masking(), config.data.skip_bad_images);
        let EvalImages { images, samples, skipped } =
            EvalImages::new(&**dataset, &config.input(), count, skip)?;
        let masks = samples.into_iter().map(|sample| masking.mask(config.run.seed, EPOCH, sample)).collect();
        Ok(Self { images, masks, skipped, micro_batch: config.optim.micro_batch })
    }

    /// The mean loss on these images of the model that the workers belong to.
    ///
    /// # Errors
    /// If a device failed.
    pub fn loss(&self, model: &Mae<f32>, workers: &WorkerPool<f32, Mae<f32>>) -> Result<f64> {
        let (images, micro_batch) = (self.images.view(), self.micro_batch);
        workers.checked(|| step::loss(model, images, &self.masks, micro_batch, workers))
    }

    /// What trivial predictors reach.
    pub fn baselines(&self, target: PixelTarget, workers: &WorkerPool<f32, Mae<f32>>) -> Baselines {
        let removed: usize = self.masks.iter().map(Mask::removed).sum();
        let sums = workers.run(false, |cx| baselines(target, self.images.view(), &self.masks, cx));
        sums.per_patch(removed)
    }
}
