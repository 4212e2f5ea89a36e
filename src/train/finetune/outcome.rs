//! What a finished fine-tuning run reached, and the files about it.

use super::{Finetuning, load, score};
use crate::base::{Error, Result};
use crate::checkpoint::keep;
use crate::train::metrics::EpochRecord;
use crate::train::run::Learner;
use crate::train::{Workers, plot};
use serde::Serialize;

/// What a finished run reached; `result.json` is this.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The epoch whose weights were kept: the one with the highest accuracy on the validation images, or the last.
    pub epoch: u64,
    /// Images that were trained on.
    pub train_images: usize,
    /// Images that chose the epoch.
    pub validation_images: usize,
    /// Accuracy on them at that epoch; it was chosen by them, so it flatters.
    pub validation_accuracy: Option<f64>,
    /// Images of the test split, which was looked at once, after the choice.
    pub test_images: usize,
    /// Accuracy on the test split, if there is one.
    pub test_accuracy: Option<f64>,
    /// Mean cross-entropy on the test split.
    pub test_loss: Option<f64>,
    /// Seconds spent on the run, over all resumptions.
    pub wall_secs: f64,
    /// The seed.
    pub seed: u64,
}

impl Finetuning {
    /// Judges the best checkpoint on the test split, once, and writes `loss.svg` and `result.json`.
    pub(super) fn write_report(&mut self, _command: &str) -> Result<Outcome> {
        let outcome = self.outcome()?;
        let run = &self.journal.run;
        let loss_svg = plot::loss_svg(&self.journal.records, &[])?;
        run.write(&run.loss_svg(), loss_svg.as_bytes())?;
        let json = serde_json::to_vec_pretty(&outcome).map_err(|e| Error::write(run.result())(e.into()))?;
        run.write(&run.result(), &json)?;
        Ok(outcome)
    }

    fn outcome(&self) -> Result<Outcome> {
        let (best, config, checkpoint) = load(&keep::best(self.journal.run.path())?)?;
        let chosen: &EpochRecord = checkpoint.state.history.last().expect("at least one epoch was trained");
        let workers = Workers::new(config.run.gemm);
        let test = self.labelled.test.as_ref().ok();
        let score = test.map(|set| score::score(&best, &config, &**set, set.len(), &workers)).transpose()?;
        Ok(Outcome {
            epoch: chosen.epoch,
            train_images: self.labelled.train.len(),
            validation_images: self.labelled.validation.as_ref().map_or(0, |set| set.len()),
            validation_accuracy: chosen.held_out_accuracy,
            test_images: test.map_or(0, |set| set.len()),
            test_accuracy: score.and_then(|score| score.accuracy),
            test_loss: score.map(|score| score.loss),
            wall_secs: self.journal.wall_secs(),
            seed: self.finetuner.settings().run.seed,
        })
    }
}

impl Outcome {
    /// The numbers to print.
    #[must_use]
    pub fn summary(&self) -> Vec<(String, String)> {
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let mut rows = Vec::new();
        if let Some(accuracy) = self.validation_accuracy {
            rows.push((format!("validation accuracy, epoch {} of the best", self.epoch), percent(accuracy)));
        }
        if let Some(accuracy) = self.test_accuracy {
            rows.push((format!("test accuracy of epoch {}, judged once", self.epoch), percent(accuracy)));
        }
        rows.extend(self.test_loss.map(|loss| ("test loss".to_owned(), format!("{loss:.4}"))));
        rows.push(("wall time".to_owned(), format!("{:.0} s", self.wall_secs)));
        rows
    }
}
