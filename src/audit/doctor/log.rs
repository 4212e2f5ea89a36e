//! The log of a run, read leniently: what stands before a wrong line is used, and the line is reported.

use crate::train::metrics::{EpochRecord, Record, StepRecord, read_until_wrong};
use std::path::Path;

/// What `metrics.jsonl` says.
#[derive(Debug, Default)]
pub struct Log {
    /// Logged steps, in the order of the file.
    pub steps: Vec<StepRecord>,
    /// Finished epochs.
    pub epochs: Vec<EpochRecord>,
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
        match read_until_wrong(path) {
            Ok((records, wrong)) => {
                log.take(records);
                log.trouble = wrong.map(|error| error.to_string());
            }
            Err(error) => log.trouble = Some(error.to_string()),
        }
        log.torn = ends_in_half_a_line(path);
        log
    }

    fn take(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Step(step) => self.steps.push(step),
                Record::Epoch(epoch) => self.epochs.push(epoch),
            }
        }
    }

    /// The last step that was logged.
    #[must_use]
    pub fn last_step(&self) -> u64 {
        let step = self.steps.last().map_or(0, |r| r.step);
        self.epochs.last().map_or(0, |r| r.step).max(step)
    }

    /// The logged losses of single steps.
    pub(super) fn losses(&self) -> Vec<f64> {
        self.steps.iter().map(|r| r.loss).collect()
    }

    /// The last loss there is: held-out, or else of training; with a word on what it is of.
    #[must_use]
    pub fn last_loss(&self) -> Option<(f64, &'static str)> {
        if let Some(epoch) = self.epochs.last() {
            return Some(match epoch.held_out_loss {
                Some(loss) => (loss, "held-out loss"),
                None => (epoch.train_loss, "training loss of the last epoch"),
            });
        }
        let tail = &self.steps[self.steps.len().saturating_sub(10)..];
        let mean = tail.iter().map(|r| r.loss).sum::<f64>() / tail.len() as f64;
        (!tail.is_empty()).then_some((mean, "training loss of the last steps"))
    }
}

/// Whether the file has a last line without its newline.
fn ends_in_half_a_line(path: &Path) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let last = std::fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(byte)
    });
    last.is_ok_and(|byte| byte != *b"\n")
}
