//! The log of a run, read leniently: what stands before a wrong line is used, and the line is reported.

use crate::base::Error;
use crate::base::files::text;
use crate::train::metrics::{Change, EpochRecord, Record, SkippedRecord, StepRecord, check_chain, is_torn};
use std::path::Path;

/// What `metrics.jsonl` says.
#[derive(Debug, Default)]
pub struct Log {
    /// Logged steps, in the order of the file.
    pub steps: Vec<StepRecord>,
    /// Finished epochs.
    pub epochs: Vec<EpochRecord>,
    /// Steps that were skipped because something was not finite.
    pub skipped: Vec<SkippedRecord>,
    /// Settings that were changed when the run was resumed.
    pub changes: Vec<Change>,
    /// Records in the file that could be read.
    pub lines: usize,
    /// Why the file, or a part of it, cannot be used.
    pub trouble: Option<String>,
    /// Whether the last line was cut short.
    pub torn: bool,
}

impl Log {
    /// Reads the file; never fails, but says what is wrong.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let mut log = Self::default();
        let read = std::fs::read(path).map_err(Error::read(path));
        let taken = read.and_then(|bytes| text(path, "text", &bytes).map(|text| log.take(path, text)));
        if let Err(error) = taken {
            log.trouble = Some(error.to_string());
        }
        log
    }

    fn take(&mut self, path: &Path, text: &str) {
        self.torn = is_torn(text.as_bytes());
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut records = Vec::new();
        for (i, line) in whole.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(record) => records.push(record),
                Err(error) => {
                    let field = format!("line {}", i + 1);
                    let wrong = Error::input(path, field, "a record of a step, an epoch, a change", error);
                    self.trouble = Some(wrong.to_string());
                    break;
                }
            }
        }
        if let Err(error) = check_chain(path, &records) {
            self.trouble.get_or_insert(error.to_string());
        }
        self.lines = records.len();
        for record in records {
            match record {
                Record::Step(step) => self.steps.push(step),
                Record::Epoch(epoch) => self.epochs.push(epoch),
                Record::Skipped(skipped) => self.skipped.push(skipped),
                Record::Change(change) => self.changes.push(change),
                Record::Validation(_) => {}
            }
        }
    }

    /// The last step that was logged.
    #[must_use]
    pub fn last_step(&self) -> u64 {
        let step = self.steps.last().map_or(0, |r| r.step);
        let skipped = self.skipped.last().map_or(0, |r| r.step);
        self.epochs.last().map_or(0, |r| r.step).max(step).max(skipped)
    }

    /// Steps in an epoch, from the places of two steps in theirs.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of steps")]
    pub(super) fn steps_per_epoch(&self) -> Option<u64> {
        let (first, last) = (self.steps.first()?, self.steps.last()?);
        let steps = last.step.saturating_sub(first.step) as f64 / (last.epoch - first.epoch);
        (steps.is_finite() && steps >= 1.0).then(|| steps.round() as u64)
    }

    /// The standard deviation of a step's loss about its trend. Differences of neighbours have √2 times the
    /// standard deviation of one loss, and hardly any trend.
    pub(super) fn noise(losses: &[f64]) -> f64 {
        let squares = losses.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum::<f64>();
        (squares / (2 * losses.len().saturating_sub(1).max(1)) as f64).sqrt()
    }

    /// The logged losses of single steps.
    pub(super) fn losses(&self) -> Vec<f64> {
        self.steps.iter().map(|r| r.loss).collect()
    }

    /// The last loss there is: held-out, or else of training; with a word on what it is of.
    #[must_use]
    pub fn last_loss(&self) -> Option<(f64, &'static str)> {
        if let Some(epoch) = self.epochs.last() {
            return Some(match epoch.score("loss") {
                Some(loss) => (loss, "validation loss"),
                None => (epoch.train_loss, "training loss of the last epoch"),
            });
        }
        let tail = &self.steps[self.steps.len().saturating_sub(10)..];
        let mean = tail.iter().map(|r| r.loss).sum::<f64>() / tail.len() as f64;
        (!tail.is_empty()).then_some((mean, "training loss of the last steps"))
    }
}
