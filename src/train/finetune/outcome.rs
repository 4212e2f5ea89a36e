//! What a finished fine-tuning run reached, and the files about it.

use super::{Finetuning, load_best};
use crate::base::{Error, Result};
use crate::params::Params;
use crate::train::report::Report;
use crate::train::settings::Settings;
use crate::train::summary::Summary;
use crate::train::{confusion, plot};
use serde::Serialize;

/// What the vertical axis of the curve means.
const LOSS: &str = "loss (cross-entropy)";

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
}

/// Caption and PNG bytes of pictures.
type Sheets = Vec<(String, Vec<u8>)>;

impl Finetuning {
    /// Judges the best checkpoint on the test split, once, and writes curves, pictures, `result.json` and `report.html`.
    pub(super) fn write_report(&mut self, command: &str) -> Result<Outcome> {
        let (outcome, sheets) = self.outcome()?;
        let (run, records) = (&self.journal.run, &self.journal.records);
        let (loss, accuracy) = (plot::loss_svg(records, &[], LOSS)?, plot::accuracy_svg(records)?);
        run.write(&run.loss_svg(), loss.as_bytes())?;
        run.write(&run.accuracy_svg(), accuracy.as_bytes())?;
        let json = serde_json::to_vec_pretty(&outcome).map_err(|e| Error::write(run.result())(e.into()))?;
        run.write(&run.result(), &json)?;
        let report = Report {
            title: format!("Classifier on {}", self.images.train.describe()),
            summary: outcome.summary(),
            settings_toml: self.finetuner.config.to_toml()?,
            curves: vec![
                ("Loss".to_owned(), loss),
                ("Accuracy on validation images".to_owned(), accuracy),
                ("Learning rate".to_owned(), plot::lr_svg(records)?),
            ],
            sheets_heading: "Pictures".to_owned(),
            sheets,
            notes: self.notes(&outcome),
            command: command.to_owned(),
        };
        run.write(&run.report_html(), report.to_html().as_bytes())?;
        Ok(outcome)
    }

    fn outcome(&self) -> Result<(Outcome, Sheets)> {
        let run = &self.journal.run;
        let (best, config, checkpoint) = load_best(run.path())?;
        let chosen = checkpoint.state.history.last().expect("at least one epoch was trained");
        let (classes, mut sheets, mut test) = (&config.finetune.classes, Vec::new(), None);
        if let Ok(set) = &self.images.test {
            let evaluation = self.evaluate(&best, &**set)?;
            let summary = Summary::new(&evaluation.metrics, classes);
            let title = format!("Test images, epoch {}", chosen.epoch);
            let png = confusion::draw(&evaluation.metrics, classes, &title)?;
            run.write(&run.confusion(), &png)?;
            sheets.push(("Confusion matrix of the test split".to_owned(), png));
            let input = config.input();
            let judge = config.judge(&best, &input, run.path(), self.finetuner.workers.engine());
            if let Some(png) = judge.wrong_sheet(&evaluation, &**set)? {
                run.write(&run.wrong(), &png)?;
                sheets.push(("Most confidently wrong".to_owned(), png));
            }
            test = Some(summary);
        }
        let outcome = Outcome {
            epoch: chosen.epoch,
            step: chosen.step,
            train_images: self.images.train.len(),
            validation_images: self.images.validation.as_ref().map_or(0, |set| set.len()),
            validation_accuracy: chosen.held_out_accuracy,
            test_accuracy: test.as_ref().map(|summary: &Summary| summary.top1),
            test,
            gflop_per_image: config.model.flops_per_image() / 1e9,
            parameters: best.count(),
            wall_secs: self.journal.wall_secs(),
            seed: config.run.seed,
            skipped: self.journal.skipped_images.iter().cloned().collect(),
        };
        Ok((outcome, sheets))
    }

    fn notes(&self, outcome: &Outcome) -> Vec<String> {
        let transfer = &self.finetuner.config.finetune;
        let mut notes = vec![match outcome.validation_images {
            0 => "Nothing was chosen on held-out images: the last epoch was judged.".to_owned(),
            images => format!(
                "{images} images were held out of the training split to choose the epoch. The test split was judged once, \
                 after that choice."
            ),
        }];
        notes.push(match &transfer.checkpoint {
            Some(run) => format!("The encoder was pre-trained in {}.", run.display()),
            None => "The model was trained from scratch.".to_owned(),
        });
        if let Err(why) = &self.images.test {
            notes.push(format!("There is no test split: {why}."));
        }
        notes.extend(outcome.skipped.iter().map(|image| format!("Skipped: {image}")));
        notes
    }
}

impl Outcome {
    /// The numbers to print, and to put on top of the report.
    #[must_use]
    pub fn summary(&self) -> Vec<(String, String)> {
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
}
