//! What a finished fine-tuning run reached.

use super::FinetuneConfig;
use crate::tasks::classify::evaluate::Evaluation;
use crate::tasks::classify::summary::Summary;
use crate::tasks::per_picture::PerPicture;
use serde::Serialize;

/// What a finished run reached; `result.json` is this.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The epoch whose weights were judged: the one with the highest accuracy on the validation images, or the last.
    pub epoch: u64,
    /// The optimiser step at its end.
    pub step: u64,
    /// Images that were trained on.
    pub train_images: usize,
    /// Images that chose the epoch.
    pub validation_images: usize,
    /// Accuracy on them at that epoch; they chose it, so it flatters.
    pub validation_accuracy: Option<f64>,
    /// Accuracy on the test split.
    pub test_accuracy: Option<f64>,
    /// Everything about the test split, which was judged once, after the choice; none without one.
    pub test: Option<Summary>,
    /// Floating-point operations of an image's training step with all blocks trained, in 10⁹.
    pub gflop_per_image: f64,
    /// Numbers in the model.
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
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let mut rows = Vec::new();
        if let Some(accuracy) = self.validation_accuracy {
            rows.push((
                format!("validation accuracy, epoch {} (chosen by it)", self.epoch),
                percent(accuracy),
            ));
        }
        if let Some(test) = &self.test {
            rows.push(("test accuracy, judged once".to_owned(), percent(test.top1)));
            rows.push(("test accuracy, top-5".to_owned(), percent(test.top5)));
            rows.extend(test.cross_entropy.map(|loss| ("test loss".to_owned(), format!("{loss:.4}"))));
        }
        rows.push(("wall time".to_owned(), format!("{:.0} s", self.wall_secs)));
        rows.push(("parameters".to_owned(), self.parameters.to_string()));
        rows
    }
    fn skipped(&self) -> &[String] {
        &self.skipped
    }
}
