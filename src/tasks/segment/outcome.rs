//! What a finished segmentation run reached.

use super::summary::Summary;
use crate::tasks::transfer::{Fitted, percent};
use serde::Serialize;

/// What a finished run reached; `result.json` is this.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The run of the model that was judged.
    #[serde(flatten)]
    pub run: Fitted,
    /// mIoU on the validation images at that epoch; they chose it, so it flatters.
    pub validation_miou: Option<f64>,
    /// mIoU on the test split.
    pub test_miou: Option<f64>,
    /// Everything about the test split, which was judged once, after the choice; none without one.
    pub test: Option<Summary>,
}

impl crate::train::task::Outcome for Outcome {
    fn summary(&self) -> Vec<(String, String)> {
        let shown = |fraction: Option<f64>| fraction.map(|fraction| percent(Some(fraction)));
        let test = self.test.as_ref();
        self.run.summary(
            ("mIoU", self.validation_miou),
            [
                ("test mIoU, judged once", shown(self.test_miou)),
                ("… without the first class", shown(test.and_then(|test| test.miou_without_first))),
                ("test pixels that are right", shown(test.and_then(|test| test.aacc))),
            ],
        )
    }

    fn skipped(&self) -> &[String] {
        &self.run.skipped
    }
}
