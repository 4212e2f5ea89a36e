//! What a finished MoCo v3 run reached.

use super::MocoV3;
use crate::base::Result;
use crate::train::metrics::EpochRecord;
use crate::train::task::{Effort, EvalCx, effort_rows};
use serde::Serialize;

/// What a finished run reached.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Of the last epoch, its scores on validation images among it.
    pub last: EpochRecord,
    /// Contrastive loss of the last epoch's weights on the test images, where there are any. Nothing was chosen by it.
    pub test_loss: Option<f64>,
    /// The fraction of the test images whose class their neighbours among the training images name.
    pub test_knn_accuracy: Option<f64>,
    /// Training images a second over the whole run.
    pub images_per_s: f64,
    /// Seconds spent on the run, over all resumptions.
    pub wall_secs: f64,
    /// Steps that were skipped because their loss or gradient was not finite.
    pub skipped_steps: u64,
    /// Images that could not be read and were replaced or left out.
    pub skipped: Vec<String>,
    /// Parameters of the online network.
    pub parameters: usize,
}

impl Outcome {
    /// Judges the finished run.
    pub(super) fn of(task: &MocoV3, cx: &EvalCx<'_, MocoV3>, effort: Effort) -> Result<Self> {
        let Effort { last, images_per_s, wall_secs, skipped_steps, skipped } = effort;
        let judge = |set: &super::EvalSet| set.judge(cx.config, cx.model, &task.encoder, cx.workers);
        let test = task.test.as_ref().map(judge).transpose()?;
        Ok(Self {
            test_loss: test.as_ref().map(|test| test.loss),
            test_knn_accuracy: test.and_then(|test| test.knn),
            last,
            images_per_s,
            wall_secs,
            skipped_steps,
            skipped,
            parameters: cx.config.architecture().parameters(),
        })
    }
}

impl crate::train::task::Outcome for Outcome {
    fn summary(&self) -> Vec<(String, String)> {
        let percent = |fraction: f64| format!("{:.2} %", 100.0 * fraction);
        let mut rows = vec![("training loss, last epoch".to_owned(), format!("{:.4}", self.last.train_loss))];
        let scores = [
            ("validation loss", self.last.score("loss").map(|loss| format!("{loss:.4}"))),
            ("validation images told apart", self.last.score("contrast_accuracy").map(percent)),
            ("validation images named by neighbours", self.last.score("knn_accuracy").map(percent)),
            ("test loss", self.test_loss.map(|loss| format!("{loss:.4}"))),
            ("test images named by neighbours", self.test_knn_accuracy.map(percent)),
        ];
        rows.extend(scores.into_iter().filter_map(|(name, score)| Some((name.to_owned(), score?))));
        rows.extend(effort_rows(self.skipped_steps, self.images_per_s, self.wall_secs, self.parameters));
        rows
    }

    fn skipped(&self) -> &[String] {
        &self.skipped
    }
}
