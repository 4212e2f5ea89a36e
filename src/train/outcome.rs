//! What a finished run reached, and the report about it.

use super::metrics::EpochRecord;
use super::plot;
use super::pretrain::Pretraining;
use super::report::Report;
use super::run::Learner;
use super::settings::Settings;
use crate::base::{Error, Result};
use crate::mae::baseline::Baselines;
use crate::optim::groups;
use serde::Serialize;

/// What the vertical axis of its curve means.
const LOSS: &str = "loss (mean squared error on masked patches)";

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
}

impl Pretraining {
    /// Writes `loss.svg` and `report.html`.
    pub(super) fn write_report(&mut self, command: &str) -> Result<Outcome> {
        let outcome = self.outcome()?;
        let (journal, config) = (&self.journal, &self.trainer.config);
        let loss_svg = plot::loss_svg(&journal.records, &outcome.references(), LOSS)?;
        journal.run.write(&journal.run.loss_svg(), loss_svg.as_bytes())?;
        let mut sheets = Vec::new();
        for path in journal.run.sheets()?.into_iter().rev() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().replace("epoch-", "epoch ");
            sheets.push((name, std::fs::read(&path).map_err(Error::read(&path))?));
        }
        let report = Report {
            title: format!("Masked autoencoder on {}", self.data),
            summary: outcome.summary(config.model.parameters().all),
            settings_toml: config.to_toml()?,
            curves: vec![
                ("Loss".to_owned(), loss_svg),
                ("Learning rate".to_owned(), plot::lr_svg(&journal.records)?),
            ],
            sheets_heading: "Reconstructions".to_owned(),
            sheets,
            notes: self.notes(&outcome),
            command: command.to_owned(),
        };
        journal.run.write(&journal.run.report_html(), report.to_html().as_bytes())?;
        Ok(outcome)
    }

    fn outcome(&self) -> Result<Outcome> {
        let (journal, trainer) = (&self.journal, &self.trainer);
        let last = journal.history.last().cloned().expect("at least one epoch was trained");
        let set = self.validation.as_ref().unwrap_or(&self.pictured);
        let images = last.epoch as f64 * trainer.steps_per_epoch() as f64 * trainer.images_per_step() as f64;
        let beside = self
            .validation
            .iter()
            .chain(&self.test)
            .chain([&self.pictured])
            .flat_map(|set| set.skipped.clone());
        let mut skipped = journal.skipped_images.clone();
        skipped.extend(trainer.loader.skipped().into_iter().chain(beside));
        let wall_secs = journal.wall_secs();
        let test_loss = self.test.as_ref().map(|set| set.loss(&trainer.model, &trainer.workers));
        Ok(Outcome {
            test_loss: test_loss.transpose()?,
            norm_pix_loss: trainer.config.model.norm_pix_loss,
            last,
            baselines: set.baselines(trainer.model.target(), &trainer.workers),
            images_per_s: images / wall_secs,
            wall_secs,
            skipped_steps: journal.history.iter().map(|epoch| epoch.skipped_steps).sum(),
            skipped: skipped.into_iter().collect(),
        })
    }

    fn notes(&self, outcome: &Outcome) -> Vec<String> {
        let mut notes = vec![format!("Parameter groups: {}.", groups::summary(&self.trainer.groups))];
        notes.push(match (&self.validation, &self.no_validation) {
            (Some(set), _) => format!(
                "{} validation images, none of them trained on, chose the best checkpoint.",
                set.masks.len()
            ),
            (None, why) => format!(
                "No validation loss: {}. Nothing was chosen by one, and the trivial predictors were tried on the pictured \
                 images.",
                why.as_deref().unwrap_or_default()
            ),
        });
        notes.extend(self.journal.changes.iter().map(|change| {
            let (key, from, to) = (&change.key, &change.from, &change.to);
            format!("Changed after step {}: {key} from {from} to {to}.", change.step)
        }));
        if outcome.skipped_steps > 0 {
            notes.push(format!(
                "Steps skipped because loss or gradient was not finite: {}.",
                outcome.skipped_steps
            ));
        }
        notes.extend(outcome.skipped.iter().map(|image| format!("Skipped: {image}")));
        notes
    }
}

impl Outcome {
    /// The trivial predictors, for the curve's dashed lines.
    #[must_use]
    pub fn references(&self) -> Vec<(String, f64)> {
        let named = self.baselines.named(self.norm_pix_loss).into_iter();
        named.map(|(name, loss)| (format!("predicting {name}"), loss)).collect()
    }

    /// The numbers on top of the report.
    #[must_use]
    pub fn summary(&self, parameters: usize) -> Vec<(String, String)> {
        let mut rows = vec![("training loss, last epoch".to_owned(), format!("{:.4}", self.last.train_loss))];
        if let Some(loss) = self.last.held_out_loss {
            rows.push(("validation loss".to_owned(), format!("{loss:.4}")));
        }
        if let Some(loss) = self.test_loss {
            rows.push(("test loss".to_owned(), format!("{loss:.4}")));
        }
        rows.extend(self.references().into_iter().map(|(name, loss)| (name, format!("{loss:.4}"))));
        if self.skipped_steps > 0 {
            rows.push(("steps skipped (not finite)".to_owned(), self.skipped_steps.to_string()));
        }
        rows.push(("images per second".to_owned(), format!("{:.0}", self.images_per_s)));
        rows.push(("wall time".to_owned(), format!("{:.0} s", self.wall_secs)));
        rows.push(("parameters".to_owned(), parameters.to_string()));
        rows
    }
}
