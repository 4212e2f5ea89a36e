//! The loss on images that are never trained on (validation, test), always with the same masks, beside what trivial
//! predictors reach on the very same patches.

use super::config::Config;
use super::step;
use crate::base::Result;
use crate::data::{Dataset, none_usable};
use crate::models::mae::baseline::{Baselines, baselines};
use crate::models::mae::loss::PixelTarget;
use crate::models::mae::{Mae, Mask};
use crate::train::workers::WorkerPool;
use ndarray::{Array4, Axis, stack};
use std::sync::Arc;

/// The epoch that masks of held-out images are addressed by: training never gets there.
pub const EPOCH: u64 = u64::MAX;

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
        let count = count.min(dataset.len());
        let (masking, input) = (config.masking(), config.input());
        let (mut images, mut masks, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..count {
            let index = i * dataset.len() / count;
            let image = dataset.image(index);
            match image.and_then(|image| input.image(&dataset.source(index), &image)) {
                Ok(image) => {
                    images.push(image);
                    masks.push(masking.mask(config.run.seed, EPOCH, i as u64));
                }
                Err(error) if config.data.skip_bad_images => skipped.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(first)) = (images.is_empty(), skipped.first()) {
            return Err(none_usable(&**dataset, first));
        }
        let views: Vec<_> = images.iter().map(|image| image.view()).collect();
        let images = stack(Axis(0), &views).expect("input images share the model's shape");
        Ok(Self { images, masks, skipped, micro_batch: config.optim.micro_batch })
    }

    /// The mean loss on these images of the model that the workers belong to.
    ///
    /// # Errors
    /// If a device failed.
    pub fn loss(&self, model: &Mae<f32>, workers: &WorkerPool<f32, Mae<f32>>) -> Result<f64> {
        let (images, micro_batch) = (self.images.view(), self.micro_batch);
        workers.with_weights(model, || step::loss(model, images, &self.masks, micro_batch, workers))
    }

    /// What trivial predictors reach.
    pub fn baselines(&self, target: PixelTarget, workers: &WorkerPool<f32, Mae<f32>>) -> Baselines {
        let removed: usize = self.masks.iter().map(Mask::removed).sum();
        let sums = workers.run(false, |cx| baselines(target, self.images.view(), &self.masks, cx));
        sums.per_patch(removed)
    }
}
