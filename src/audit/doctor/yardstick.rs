//! The scores of the checkpoint's weights beside those of trivial predictors, on the same images and removed patches.

use super::data::{Data, FEWEST_IMAGES, affordable};
use super::saved::Saved;
use crate::checkpoint::Named;
use crate::config::Settings;
use crate::tasks::mae::eval_set::EvalSet;
use crate::tasks::{Config, Pretrain};
use crate::train::task::{EvalCx, Trivial, Validation};
use crate::train::{RunDir, Task, WorkerPool};
use std::path::Path;

/// Training images that are looked at where there are no held-out ones.
const TRAINING_IMAGES: usize = 256;

/// Scores on a fixed set of images, in pre-training with fixed masks.
#[derive(Clone, Debug)]
pub struct Yardstick {
    /// Images looked at.
    pub images: usize,
    /// Whether these are the held-out images of the run, all of them: then the scores can be compared with the log.
    pub as_logged: bool,
    /// Whether these are held-out images, rather than training images.
    pub held_out: bool,
    /// The scores of the checkpoint's weights; none without a checkpoint.
    pub scores: Option<Named>,
    /// What trivial predictors reach.
    pub trivial: Vec<Trivial>,
}

impl Yardstick {
    /// On the validation images, or without them on training images without augmentation.
    pub(super) fn of_pretraining(
        config: &Config,
        saved: Option<&Saved<Pretrain>>,
        data: &Data,
    ) -> crate::Result<Self> {
        let workers = WorkerPool::new(config.run.gemm);
        let (set, wanted) = match &data.source.validation {
            Ok(set) => (set, config.run.held_out_images.min(set.len())),
            Err(_) => (&data.source.train, TRAINING_IMAGES.min(data.source.train.len())),
        };
        let count = wanted.min(affordable::<Pretrain>(config, FEWEST_IMAGES));
        let set = EvalSet::new(config, set, count)?;
        let held_out = data.source.validation.is_ok();
        let loss = saved.map(|saved| set.loss(&saved.model, &workers)).transpose()?;
        let named = set.baselines(config.model.target(), &workers).named(config.model.norm_pix_loss);
        let trivial = |(predicting, value)| Trivial { score: "loss", predicting, value };
        Ok(Self {
            images: set.masks.len(),
            as_logged: held_out && count == wanted,
            held_out,
            scores: loss.map(|loss| Named::scores([("loss", loss)])),
            trivial: named.map(trivial).into(),
        })
    }

    /// As the task itself evaluates after each epoch.
    pub(super) fn of_task<T: Task>(
        config: &T::Config,
        saved: &Saved<T>,
        run: &Path,
        mut task: T,
    ) -> Result<Self, String> {
        let said = |error: crate::Error| error.to_string();
        let trivial = task.trivial_predictors().map_err(said)?;
        let (wanted, affordable) = (config.run().held_out_images, affordable::<T>(config, FEWEST_IMAGES));
        let (workers, run) = (&WorkerPool::new(config.run().gemm), &RunDir::look_at(run).map_err(said)?);
        let cx = EvalCx { config, model: &saved.model, workers, run };
        let evaluated = task.evaluate(&cx, saved.state.step, saved.state.epoch).map_err(said)?;
        let Validation { scores, details } = evaluated.ok_or("there are no validation images")?;
        let images = details.and_then(|details| usize::try_from(details.images).ok());
        Ok(Self {
            images: images.unwrap_or(wanted.min(affordable)),
            as_logged: wanted <= affordable || images.is_some_and(|images| images < affordable),
            held_out: true,
            scores: Some(scores),
            trivial,
        })
    }

    /// A score of the checkpoint's weights.
    #[must_use]
    pub fn score(&self, name: &str) -> Option<f64> {
        self.scores.as_ref()?.validation().find(|(known, _)| *known == name).map(|(_, score)| score)
    }
}
