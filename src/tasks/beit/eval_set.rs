//! Images that are never trained on, always with the same masks: what predictions on them are like.

use super::config::BeitSettings;
use super::monitor::{Seen, most_frequent, nearest_visible};
use super::step::{self, Masked};
use crate::base::Result;
use crate::data::Dataset;
use crate::exec::{Backend, Exec};
use crate::models::beit::{Beit, Tokenizer};
use crate::train::eval_images::{EPOCH, EvalImages};
use crate::train::task::Trivial;
use crate::train::workers::WorkerPool;
use std::sync::Arc;

/// A fixed selection of images with fixed masks.
pub struct EvalSet {
    /// The images.
    pub of: EvalImages,
    /// `[B·L]`: which patches are masked.
    pub masked: Vec<bool>,
    grid: (usize, usize),
    micro_batch: usize,
}

impl EvalSet {
    /// At most `count` evenly spaced images of a data set.
    ///
    /// # Errors
    /// As [`EvalImages::new`].
    pub fn new(config: &BeitSettings, dataset: &Arc<dyn Dataset>, count: usize) -> Result<Self> {
        let of = EvalImages::new(&**dataset, &config.input(), count, config.data.skip_bad_images)?;
        let (masking, seed) = (config.masking(), config.run.seed);
        let masked = of.samples.iter().flat_map(|&sample| masking.mask(seed, EPOCH, sample).masked).collect();
        Ok(Self { of, masked, grid: config.model.grid(), micro_batch: config.optim.micro_batch })
    }

    /// What the predictions of the model that the workers belong to are like.
    ///
    /// # Errors
    /// If a device failed.
    pub fn judge(
        &self,
        model: &Beit<f32>,
        tokenizer: &Tokenizer<f32>,
        workers: &WorkerPool<f32, Beit<f32>>,
    ) -> Result<Seen> {
        let batch = Masked { images: self.of.images.view(), masked: &self.masked };
        workers.checked(|| step::judge(model, tokenizer, batch, self.micro_batch, workers))
    }

    /// What predictors that learn nothing reach.
    #[must_use]
    pub fn trivial(&self, tokenizer: &Tokenizer<f32>) -> Vec<Trivial> {
        let mut cx = Exec::new(Backend::default());
        let ids = tokenizer.ids(self.of.images.view(), &mut cx);
        let tokens = tokenizer.codebook.tokens();
        let accuracy = |predicting, value| Trivial { score: "accuracy", predicting, value };
        vec![
            Trivial { score: "loss", predicting: "every token alike", value: (tokens as f64).ln() },
            accuracy("the most frequent token", most_frequent(&ids, &self.masked, tokens)),
            accuracy("the nearest visible patch's token", nearest_visible(&ids, &self.masked, self.grid)),
        ]
    }
}
