//! What every finished run of fine-tuning says of itself, whatever its task.

use super::{Loaded, Transfer, percent};
use crate::config::settings::Settings as _;
use crate::params::Params as _;
use crate::tasks::per_picture::PerPicture;
use crate::train::task::Effort;
use serde::Serialize;

/// The run of the model that was judged: the fields that `result.json` has of every task.
#[derive(Clone, Debug, Serialize)]
pub struct Fitted {
    /// The epoch whose weights were judged: the one with the highest score on the validation images, or the last.
    pub epoch: u64,
    /// The optimiser step at its end.
    pub step: u64,
    /// Images that were trained on.
    pub train_images: usize,
    /// Images that chose the epoch.
    pub validation_images: usize,
    /// Floating-point operations of an image's training step with all blocks trained, in 10⁹.
    pub gflop_per_image: f64,
    /// Parameters of the model.
    pub parameters: usize,
    /// Seconds spent on the run, over all resumptions.
    pub wall_secs: f64,
    /// The seed.
    pub seed: u64,
    /// Images that could not be read and were replaced or left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// The score on any choice of the test pictures.
    #[serde(skip)]
    pub per_picture: Option<PerPicture>,
}

impl Fitted {
    /// Of the best checkpoint of a run on so many training and validation images.
    ///
    /// # Panics
    /// If no epoch of it was trained.
    #[must_use]
    pub fn of<T: Transfer>(
        (model, config, checkpoint): &Loaded<T>,
        [train_images, validation_images]: [usize; 2],
        flops_per_image: f64,
        effort: Effort,
    ) -> Self {
        let chosen = checkpoint.state.history.last().expect("at least one epoch was trained");
        Self {
            epoch: chosen.epoch,
            step: chosen.step,
            train_images,
            validation_images,
            gflop_per_image: flops_per_image / 1e9,
            parameters: model.count(),
            wall_secs: effort.wall_secs,
            seed: config.run().seed,
            skipped: effort.skipped,
            per_picture: None,
        }
    }

    /// A summary: the `score` on the validation images, which chose the epoch; what the test split said; what the run took.
    #[must_use]
    pub fn summary<const N: usize>(
        &self,
        (score, validation): (&str, Option<f64>),
        test: [(&str, Option<String>); N],
    ) -> Vec<(String, String)> {
        let chosen = validation.map(|value| {
            (format!("validation {score}, epoch {} (chosen by it)", self.epoch), percent(Some(value)))
        });
        let test = test.into_iter().filter_map(|(name, score)| Some((name.to_owned(), score?)));
        let took = [
            ("wall time".to_owned(), format!("{:.0} s", self.wall_secs)),
            ("parameters".to_owned(), self.parameters.to_string()),
        ];
        chosen.into_iter().chain(test).chain(took).collect()
    }
}
