//! What a finished detection run reached.

use super::summary::Summary;
use crate::tasks::transfer::{Fitted, percent};
use serde::Serialize;

/// What a finished run reached; `result.json` is this.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The run of the model that was judged.
    #[serde(flatten)]
    pub run: Fitted,
    /// Box AP on the validation images at that epoch; they chose it, so it flatters.
    pub validation_box_ap: Option<f64>,
    /// Box AP on the test split.
    pub test_box_ap: Option<f64>,
    /// Mask AP on the test split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_mask_ap: Option<f64>,
    /// Everything about the test split, which was judged once, after the choice; none without one.
    pub test: Option<Summary>,
}

impl crate::train::task::Outcome for Outcome {
    fn summary(&self) -> Vec<(String, String)> {
        let shown = |fraction: Option<f64>| fraction.map(|fraction| percent(Some(fraction)));
        let figure = |name: &str| {
            let boxes = &self.test.as_ref()?.boxes;
            boxes.0.iter().find(|(known, _)| known == name)?.1
        };
        self.run.summary(
            ("box AP", self.validation_box_ap),
            [
                ("test box AP, judged once", shown(self.test_box_ap)),
                ("… at an overlap of 0.5", shown(figure("ap50"))),
                ("test mask AP", shown(self.test_mask_ap)),
            ],
        )
    }

    fn skipped(&self) -> &[String] {
        &self.run.skipped
    }
}
