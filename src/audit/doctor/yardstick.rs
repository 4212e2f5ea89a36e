//! The scores of the checkpoint's weights beside those of trivial predictors, on the same images and removed patches.

use super::evidence::{Data, Evidence, Saved};
use crate::checkpoint::Named;
use crate::config::Settings;
use crate::tasks::Pretrain;
use crate::tasks::mae::held_out::HeldOut;
use crate::train::task::{EvalCx, Trivial, Validation};
use crate::train::{RunDir, Task, WorkerPool};

/// Floating-point operations that measuring a loss may take: some seconds on a few cores.
const BUDGET_FLOP: f64 = 1e12;
/// Fewer images say too little about a mean.
pub(super) const FEWEST_IMAGES: usize = 32;
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
    /// Measures on the validation images.
    pub(super) fn measure<T: Task>(evidence: &Evidence<T>, task: T) -> Result<Self, String> {
        let data = evidence.data.as_ref().map_err(Clone::clone)?;
        if let Some(evidence) = evidence.of_pretraining() {
            return Self::of_pretraining(evidence, data).map_err(|error| error.to_string());
        }
        let measured = Self::of_task(evidence, evidence.saved()?, task);
        measured
            .map_err(|error| error.to_string())?
            .ok_or_else(|| "there are no validation images".to_owned())
    }

    /// On the validation images, or without them on training images without augmentation.
    fn of_pretraining(evidence: &Evidence<Pretrain>, data: &Data) -> crate::Result<Self> {
        let (config, workers) = (&evidence.config, WorkerPool::new(evidence.config.run.gemm));
        let (set, wanted) = match &data.source.validation {
            Ok(set) => (set, config.run.held_out_images.min(set.len())),
            Err(_) => (&data.source.train, TRAINING_IMAGES.min(data.source.train.len())),
        };
        let count = wanted.min(affordable::<Pretrain>(config, FEWEST_IMAGES));
        let set = HeldOut::new(config, set, count)?;
        let held_out = data.source.validation.is_ok();
        let loss = evidence.saved.as_ref().ok().map(|saved| set.loss(&saved.model, &workers)).transpose()?;
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

    /// As the task itself evaluates after each epoch; nothing without validation images.
    fn of_task<T: Task>(
        evidence: &Evidence<T>,
        saved: &Saved<T>,
        mut task: T,
    ) -> crate::Result<Option<Self>> {
        let (config, trivial) = (&evidence.config, task.trivial_predictors()?);
        let (wanted, affordable) = (config.run().held_out_images, affordable::<T>(config, FEWEST_IMAGES));
        let (workers, run) = (&WorkerPool::new(config.run().gemm), &RunDir::look_at(&evidence.run)?);
        let cx = EvalCx { config, model: &saved.model, workers, run };
        let evaluated = task.evaluate(&cx, saved.state.step, saved.state.epoch)?;
        Ok(evaluated.map(|Validation { scores, details }| {
            let images = details.and_then(|details| usize::try_from(details.images).ok());
            Self {
                images: images.unwrap_or(wanted.min(affordable)),
                as_logged: wanted <= affordable || images.is_some_and(|images| images < affordable),
                held_out: true,
                scores: Some(scores),
                trivial,
            }
        }))
    }

    /// A score of the checkpoint's weights.
    #[must_use]
    pub fn score(&self, name: &str) -> Option<f64> {
        self.scores.as_ref()?.validation().find(|(known, _)| *known == name).map(|(_, score)| score)
    }
}

/// How many images a forward pass can take within the budget, at least `fewest`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn affordable<T: Task>(config: &T::Config, fewest: usize) -> usize {
    // A step is a forward pass and a backward pass of twice its cost.
    ((3.0 * BUDGET_FLOP / T::flops_per_image(config)) as usize).max(fewest)
}
