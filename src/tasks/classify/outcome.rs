//! What a finished fine-tuning run reached.

use super::FinetuneConfig;
use crate::tasks::classify::evaluate::Evaluation;
use crate::tasks::classify::summary::Summary;
use crate::tasks::transfer::{Fitted, percent};
use serde::Serialize;

/// What a finished run reached; `result.json` is this.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The run of the model that was judged.
    #[serde(flatten)]
    pub run: Fitted,
    /// Accuracy on the validation images at that epoch; they chose it, so it flatters.
    pub validation_accuracy: Option<f64>,
    /// Accuracy on the test split.
    pub test_accuracy: Option<f64>,
    /// Everything about the test split, which was judged once, after the choice; none without one.
    pub test: Option<Summary>,
}

impl Outcome {
    /// Takes in what the test split said.
    pub(super) fn tested(&mut self, evaluation: &Evaluation, config: &FinetuneConfig) {
        let test = Summary::new(&evaluation.metrics, &config.finetune.classes);
        self.test_accuracy = Some(test.top1);
        self.test = Some(test);
    }
}

impl crate::train::task::Outcome for Outcome {
    fn summary(&self) -> Vec<(String, String)> {
        let test = self.test.as_ref();
        let loss = test.and_then(|test| test.cross_entropy).map(|loss| format!("{loss:.4}"));
        self.run.summary(
            ("accuracy", self.validation_accuracy),
            [
                ("test accuracy, judged once", test.map(|test| percent(Some(test.top1)))),
                ("test accuracy, top-5", test.map(|test| percent(Some(test.top5)))),
                ("test loss", loss),
            ],
        )
    }

    fn skipped(&self) -> &[String] {
        &self.run.skipped
    }
}
