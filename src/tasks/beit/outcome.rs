//! What a finished run of BEiT-style pre-training reached.

use super::BeitStyle;
use super::monitor::Seen;
use crate::base::Result;
use crate::train::metrics::EpochRecord;
use crate::train::task::{Effort, EvalCx, Trivial, effort_rows};
use serde::Serialize;

/// What a finished run reached.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Always `BEiT-style (k-means tokens)`.
    pub method: &'static str,
    /// Of the last epoch.
    pub last: EpochRecord,
    /// Cross-entropy of the last epoch's weights on the test images, where there are any. Nothing was chosen by it.
    pub test_loss: Option<f64>,
    /// Share of masked patches whose token was predicted there.
    pub test_accuracy: Option<f64>,
    /// On the validation images, or without them on the pictured ones: what predictors reach that learn nothing.
    pub trivial: Vec<(String, f64)>,
    /// Tokens of the codebook.
    pub tokens: usize,
    /// Training images a second over the whole run.
    pub images_per_s: f64,
    /// Seconds spent on the run, over all resumptions.
    pub wall_secs: f64,
    /// Steps that were skipped because their loss or gradient was not finite.
    pub skipped_steps: u64,
    /// Images that could not be read and were replaced or left out.
    pub skipped: Vec<String>,
    /// Elements of the model.
    pub parameters: usize,
}

impl Outcome {
    /// Judges the finished run.
    pub(super) fn of(task: &BeitStyle, cx: &EvalCx<'_, BeitStyle>, effort: Effort) -> Result<Self> {
        let Effort { last, images_per_s, wall_secs, skipped_steps, skipped } = effort;
        let tokenizer = &task.tokens.tokenizer;
        let test = task.test.as_ref().map(|set| set.judge(cx.model, tokenizer, cx.workers)).transpose()?;
        let named = |Trivial { score, predicting, value }| (format!("{score}, {predicting}"), value);
        Ok(Self {
            method: super::NAME,
            last,
            test_loss: test.as_ref().map(Seen::loss),
            test_accuracy: test.map(|seen| seen.values()[0].1),
            trivial: task.judged().trivial(tokenizer).into_iter().map(named).collect(),
            tokens: cx.config.beit.tokens,
            images_per_s,
            wall_secs,
            skipped_steps,
            skipped,
            parameters: cx.config.beit().parameters(),
        })
    }
}

impl crate::train::task::Outcome for Outcome {
    fn summary(&self) -> Vec<(String, String)> {
        let mut rows = vec![("training loss, last epoch".to_owned(), format!("{:.4}", self.last.train_loss))];
        let names = [
            ("loss", "validation loss"),
            ("accuracy", "validation accuracy"),
            ("entropy", "entropy of the predictions (nats)"),
            ("tokens_used", "fraction of the tokens in use"),
        ];
        for (score, name) in names {
            rows.extend(self.last.score(score).map(|value| (name.to_owned(), format!("{value:.4}"))));
        }
        for (name, value) in [("test loss", self.test_loss), ("test accuracy", self.test_accuracy)] {
            rows.extend(value.map(|value| (name.to_owned(), format!("{value:.4}"))));
        }
        rows.extend(self.trivial.iter().map(|(name, value)| (name.clone(), format!("{value:.4}"))));
        rows.extend(effort_rows(self.skipped_steps, self.images_per_s, self.wall_secs, self.parameters));
        rows
    }

    fn skipped(&self) -> &[String] {
        &self.skipped
    }
}
