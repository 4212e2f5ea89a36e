//! The images of a run, as far as they are there, and how many of them the doctor can afford to look at.

use crate::base::{Error, Result};
use crate::config::Settings;
use crate::data::{Batch, Dataset, Loader};
use crate::tasks::Pretrain;
use crate::train::Task;
use crate::train::source::Source;
use crate::train::task::Opened;
use std::sync::Arc;

/// Floating-point operations that measuring a loss may take: some seconds on a few cores.
const BUDGET_FLOP: f64 = 1e12;
/// Fewer images say too little about a mean.
pub(super) const FEWEST_IMAGES: usize = 32;
/// The images of the run.
pub struct Data {
    /// Its splits.
    pub source: Source,
    /// What the run learns from.
    pub train: Arc<dyn Dataset>,
    /// What tells this training data from other data.
    pub digest: u32,
}

impl Data {
    /// The images and the task on them; the test split is left alone.
    pub(super) fn open<T: Task>(config: &mut T::Config) -> Result<(T, Self)> {
        let source = T::source(config)?;
        let left_alone = || Err("not looked at".to_owned());
        let mut used = Source { test: left_alone(), ..source.clone() };
        let wanted = config.run().held_out_images;
        if T::Config::TASK == <Pretrain as Task>::Config::TASK {
            // Its yardstick takes as many validation images as it can afford.
            used.validation = left_alone();
        }
        config.run_mut().held_out_images = wanted.min(affordable::<T>(config, FEWEST_IMAGES));
        let Opened { task, train, digest, .. } = T::open(used, config)?;
        config.run_mut().held_out_images = wanted;
        Ok((task, Self { source, train, digest }))
    }

    /// The first `count` images of an epoch as training sees them, with their samples' addresses.
    pub(super) fn batch<T: Task>(&self, config: &T::Config, epoch: u64, count: usize) -> Result<Batch> {
        let mut loading = T::loader(config);
        loading.batch_size = count.min(self.train.len() * loading.repeats);
        let loader = Loader::new(self.train.clone(), loading)?;
        let first = loader.epoch(epoch, 0).next();
        first.unwrap_or_else(|| Err(Error::setting("data", "at least one batch", "none")))
    }
}

/// How many images a forward pass can take within the budget, at least `fewest`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn affordable<T: Task>(config: &T::Config, fewest: usize) -> usize {
    // A step is a forward pass and a backward pass of twice its cost.
    ((3.0 * BUDGET_FLOP / T::flops_per_image(config)) as usize).max(fewest)
}
