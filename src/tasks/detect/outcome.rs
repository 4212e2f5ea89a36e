//! What a finished detection run reached.

use super::summary::Summary;
use crate::tasks::per_picture::PerPicture;
use serde::Serialize;

/// What a finished run reached; `result.json` is this.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The epoch whose weights were judged: the one with the highest box AP on the validation images, or the last.
    pub epoch: u64,
    /// The optimiser step at its end.
    pub step: u64,
    /// Images that were trained on.
    pub train_images: usize,
    /// Images that chose the epoch.
    pub validation_images: usize,
    /// Box AP on them at that epoch; they chose it, so it flatters.
    pub validation_box_ap: Option<f64>,
    /// Box AP on the test split.
    pub test_box_ap: Option<f64>,
    /// Mask AP on the test split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_mask_ap: Option<f64>,
    /// Everything about the test split, which was judged once, after the choice; none without one.
    pub test: Option<Summary>,
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

impl crate::train::task::Outcome for Outcome {
    fn summary(&self) -> Vec<(String, String)> {
        let percent = |fraction: f64| format!("{:.2} %", 100.0 * fraction);
        let figure = |name: &str| {
            let boxes = &self.test.as_ref()?.boxes;
            boxes.0.iter().find(|(known, _)| known == name)?.1.map(percent)
        };
        let chosen = format!("validation box AP, epoch {} (chosen by it)", self.epoch);
        let rows = [
            (chosen, self.validation_box_ap.map(percent)),
            ("test box AP, judged once".to_owned(), self.test_box_ap.map(percent)),
            ("… at an overlap of 0.5".to_owned(), figure("ap50")),
            ("test mask AP".to_owned(), self.test_mask_ap.map(percent)),
            ("wall time".to_owned(), Some(format!("{:.0} s", self.wall_secs))),
            ("parameters".to_owned(), Some(self.parameters.to_string())),
        ];
        rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn skipped(&self) -> &[String] {
        &self.skipped
    }
}
