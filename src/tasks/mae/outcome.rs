//! What a finished pre-training run reached.

use super::Pretrain;
use crate::base::Result;
use crate::models::mae::baseline::Baselines;
use crate::train::metrics::EpochRecord;
use crate::train::task::{Effort, EvalCx, effort_rows};
use serde::Serialize;

/// What a finished run reached.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Of the last epoch.
    pub last: EpochRecord,
    /// Loss of the last epoch's weights on the test images, where there are any. Nothing was chosen by it.
    pub test_loss: Option<f64>,
    /// On the validation images (or, without them, on the pictured ones).
    pub baselines: Baselines,
    /// Training images a second over the whole run.
    pub images_per_s: f64,
    /// Seconds spent on the run, over all resumptions.
    pub wall_secs: f64,
    /// Whether the target was normalised patch by patch.
    pub norm_pix_loss: bool,
    /// Steps that were skipped because their loss or gradient was not finite.
    pub skipped_steps: u64,
    /// Images that could not be read and were replaced or left out.
    pub skipped: Vec<String>,
    /// Elements of the model.
    pub parameters: usize,
}

impl Outcome {
    /// Judges the finished run.
    pub(super) fn of(task: &Pretrain, cx: &EvalCx<'_, Pretrain>, effort: Effort) -> Result<Self> {
        let Effort { last, images_per_s, wall_secs, skipped_steps, skipped } = effort;
        let set = task.validation.as_ref().unwrap_or(&task.pictured);
        let test_loss = task.test.as_ref().map(|set| set.loss(cx.model, cx.workers));
        Ok(Self {
            test_loss: test_loss.transpose()?,
            norm_pix_loss: cx.config.model.norm_pix_loss,
            last,
            baselines: set.baselines(cx.model.target(), cx.workers),
            images_per_s,
            wall_secs,
            skipped_steps,
            skipped,
            parameters: cx.config.model.parameters().all,
        })
    }

    /// The trivial predictors, for the curve's dashed lines.
    #[must_use]
    pub fn references(&self) -> Vec<(String, f64)> {
        let named = self.baselines.named(self.norm_pix_loss).into_iter();
        named.map(|(name, loss)| (format!("predicting {name}"), loss)).collect()
    }
}

impl crate::train::task::Outcome for Outcome {
    fn summary(&self) -> Vec<(String, String)> {
        let mut rows = vec![("training loss, last epoch".to_owned(), format!("{:.4}", self.last.train_loss))];
        if let Some(loss) = self.last.score("loss") {
            rows.push(("validation loss".to_owned(), format!("{loss:.4}")));
        }
        if let Some(loss) = self.test_loss {
            rows.push(("test loss".to_owned(), format!("{loss:.4}")));
        }
        rows.extend(self.references().into_iter().map(|(name, loss)| (name, format!("{loss:.4}"))));
        rows.extend(effort_rows(self.skipped_steps, self.images_per_s, self.wall_secs, self.parameters));
        rows
    }
    fn skipped(&self) -> &[String] {
        &self.skipped
    }
}
