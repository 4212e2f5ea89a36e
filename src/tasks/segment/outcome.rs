//! What a finished segmentation run reached.

use super::summary::Summary;
use crate::tasks::per_picture::PerPicture;
use serde::Serialize;

/// What a finished run reached; `result.json` is this.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The epoch whose weights were judged: the one with the highest mIoU on the validation images, or the last.
    pub epoch: u64,
    /// The optimiser step at its end.
    pub step: u64,
    /// Images that were trained on.
    pub train_images: usize,
    /// Images that chose the epoch.
    pub validation_images: usize,
    /// mIoU on them at that epoch; they chose it, so it flatters.
    pub validation_miou: Option<f64>,
    /// mIoU on the test split.
    pub test_miou: Option<f64>,
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
        let chosen = format!("validation mIoU, epoch {} (chosen by it)", self.epoch);
        let test = self.test.as_ref();
        let rows = [
            (chosen, self.validation_miou.map(percent)),
            ("test mIoU, judged once".to_owned(), self.test_miou.map(percent)),
            (
                "… without the first class".to_owned(),
                test.and_then(|test| test.miou_without_first).map(percent),
            ),
            ("test pixels that are right".to_owned(), test.and_then(|test| test.aacc).map(percent)),
            ("wall time".to_owned(), Some(format!("{:.0} s", self.wall_secs))),
            ("parameters".to_owned(), Some(self.parameters.to_string())),
        ];
        rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn skipped(&self) -> &[String] {
        &self.skipped
    }
}
