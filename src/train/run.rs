//! A training run, the same for every task: epoch by epoch and step by step; then pictures, checkpoint and report.

use super::curves;
use super::metrics::{EpochRecord, Record, StepRecord};
use super::run_log::RunLog;
use super::step::{Learner, StepOutcome};
use super::task::{Effort, Findings, Task};
use super::{chain, save, together};
use crate::base::{Error, Result};
use crate::checkpoint::{State, dir};
use crate::config::sections::RunConfig;
use crate::config::settings::Settings;
use crate::exec::ranks;
use crate::optim::{clip, groups};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The exit code of ranks that end because one of them panicked.
const ABORTED: u8 = 1;

/// What follows a run: draws progress, and may ask it to stop.
pub trait Observer {
    /// After every optimiser step, of `total`.
    fn step(&mut self, record: &StepRecord, total: u64);
    /// After every epoch.
    fn epoch(&mut self, record: &EpochRecord);
    /// Whether the run shall save and stop after this step: the number of the signal that asks for it.
    fn should_stop(&self) -> Option<u8>;
    /// All epochs are done and saved. What follows judges the run: broken off, it is done again by whatever resumes the run.
    fn trained(&mut self) {}
}

/// A run that is ready to start, or to go on.
pub struct Run<T: Task> {
    /// The model in training.
    pub learner: Learner<T>,
    /// How far it is.
    pub log: RunLog,
    pub(super) data_digest: u32,
    pub(super) resumed: bool,
}

impl<T: Task> Run<T> {
    /// Digest of the data that it learns from.
    pub fn data_digest(&self) -> u32 {
        self.data_digest
    }

    /// Optimiser steps done.
    pub fn steps_done(&self) -> u64 {
        self.log.epoch * self.learner.steps_per_epoch() + self.log.position.steps
    }

    /// Optimiser steps of the whole run.
    pub fn steps_total(&self) -> u64 {
        self.learner.config.optim().epochs * self.learner.steps_per_epoch()
    }

    /// Trains to the end. `command` is what the user typed, for the report.
    ///
    /// # Errors
    /// A loss that is not finite, an image that cannot be read, a file that cannot be written, a bug, or
    /// [`Error::Interrupted`] after saving. The last checkpoint is then intact, and the error says where it is.
    /// If it is an image and nothing was saved but initial weights, the run directory goes away again.
    pub fn train(&mut self, command: &str, observer: &mut dyn Observer) -> Result<T::Outcome> {
        self.guarded(|run| {
            run.all_epochs(observer)?;
            observer.trained();
            if let Some(signal) = observer.should_stop() {
                return Err(run.interrupted(signal));
            }
            let outcome = run.report(command)?;
            run.log.show_pictures(run.log.epoch)?;
            Ok(outcome)
        })
    }

    /// Trains along with rank 0, which alone writes, draws and judges the finished run.
    ///
    /// # Errors
    /// As [`Run::train`], whichever rank has failed.
    pub fn train_along(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.guarded(|run| run.all_epochs(observer))
    }

    fn guarded<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(self)));
        let ranks = self.learner.workers.ranks();
        if outcome.is_err() && ranks.size() > 1 {
            // The others may wait for what this rank will never send. What happened was said when it did.
            ranks.abort(ABORTED);
        }
        match outcome.unwrap_or_else(|panic| Err(panic_error(&*panic))) {
            Err(error)
                if is_bad_input(&error) && !self.resumed && self.log.saved.is_none_or(|step| step == 0) =>
            {
                self.log.run.discard()?;
                Err(error)
            }
            Err(error) => Err(halted(&self.log, error)),
            outcome => outcome,
        }
    }

    fn all_epochs(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let patience = together::patience(self.learner.config.run().rank_timeout_secs);
        self.learner.workers.ranks().limit(Some(patience));
        let prepare = || self.learner.task.prepare(&self.log.run);
        ranks::on_first(self.learner.workers.ranks(), prepare)?;
        if self.log.saved.is_none() {
            self.checkpoint()?;
        }
        let settings = self.learner.config.run().clone();
        let epochs = self.learner.config.optim().epochs;
        while self.log.epoch < epochs {
            let record = self.epoch(&settings, observer)?;
            self.log.finish_epoch(record.clone())?;
            observer.epoch(&record);
            let due = |every: u64| record.epoch % every == 0 || record.epoch == epochs;
            if due(settings.pictures_every_epochs) {
                let (learner, run) = (&self.learner, &self.log.run);
                let draw = || learner.alone(run, |cx| learner.task.draw(cx, record.epoch));
                ranks::on_first(learner.workers.ranks(), draw)?;
                // The report may draw those of the last epoch anew.
                if record.epoch < epochs {
                    self.log.show_pictures(record.epoch)?;
                }
            }
            if due(settings.checkpoint_every_epochs) {
                self.checkpoint()?;
            }
        }
        self.learner.workers.ranks().limit(None);
        Ok(())
    }

    /// That a signal ended the run, which is saved.
    fn interrupted(&self, signal: u8) -> Error {
        Error::Interrupted { run: self.log.run.path().to_path_buf(), step: self.steps_done(), signal }
    }

    /// One pass over the data, or what is left of it.
    fn epoch(&mut self, settings: &RunConfig, observer: &mut dyn Observer) -> Result<EpochRecord> {
        let epoch = self.log.epoch;
        let (steps, total) = (self.learner.steps_per_epoch(), self.steps_total());
        let mut batches = self.learner.batches(epoch, self.log.position.steps);
        self.log.start_clock(self.learner.loader.waited());
        while self.log.position.steps < steps {
            let i = self.log.position.steps;
            match self.learner.step(epoch, i, &mut batches, &|| observer.should_stop())? {
                StepOutcome::Done(record) => {
                    self.log.count_step(record.loss);
                    self.log_step(record.clone(), settings, total)?;
                    observer.step(&record, total);
                }
                StepOutcome::Skipped(record) => {
                    self.log.count_skipped();
                    self.log.add(Record::Skipped(record))?;
                }
                StepOutcome::Stopped => {}
            }
            if let Some(signal) = ranks::any_stop(self.learner.workers.ranks(), observer.should_stop())? {
                self.checkpoint()?;
                return Err(self.interrupted(signal));
            }
            if settings.checkpoint_every_steps.is_some_and(|every| self.steps_done().is_multiple_of(every)) {
                self.checkpoint()?;
            }
        }
        self.log.read_clock(self.learner.loader.waited());
        let images = steps as f64 * self.learner.images_per_step() as f64;
        let validation = self.learner.evaluate(&self.log.run, epoch + 1);
        let validation = validation.map_err(Error::in_training(self.steps_done()))?;
        if self.learner.workers.ranks().size() > 1 {
            ranks::meet(self.learner.workers.ranks())?;
        }
        if let Some(details) = validation.as_ref().and_then(|validation| validation.details.clone()) {
            self.log.add(Record::Validation(details))?;
        }
        let (at, mean_loss) = (self.log.position, self.log.mean_loss());
        let nothing =
            || Error::NotFinite { step: self.steps_done(), tensor: "every loss of the epoch".into() };
        Ok(EpochRecord {
            epoch: epoch + 1,
            step: (epoch + 1) * steps,
            train_loss: mean_loss.ok_or_else(nothing)?,
            scores: validation.map(|validation| validation.scores).unwrap_or_default(),
            skipped_steps: at.skipped,
            wall_secs: at.wall_secs,
            images_per_s: images / at.wall_secs,
            data_wait_secs: at.data_wait_secs,
        })
    }

    /// Logs a step if its turn has come, or that of the weights' digest.
    fn log_step(&mut self, mut record: StepRecord, settings: &RunConfig, total: u64) -> Result<()> {
        if record.step.is_multiple_of(settings.digest_every_steps) || record.step == total {
            let (digest, ranks) = (chain::weights_digest(&self.learner.model), self.learner.workers.ranks());
            if ranks.size() > 1 {
                let name = format!("digest of the weights after step {}", record.step);
                together::compare(ranks, &[(&name, digest.clone())])?;
            }
            record.weights_digest = Some(digest);
        }
        if record.weights_digest.is_some() || record.step.is_multiple_of(settings.log_every_steps) {
            self.log.add(Record::Step(record))?;
        }
        Ok(())
    }

    /// Saves the run as it stands.
    fn checkpoint(&mut self) -> Result<()> {
        let ranks = self.learner.workers.ranks();
        let skipped = together::unite(ranks, self.learner.loader.skipped())?;
        self.log.skipped_images.extend(skipped);
        if ranks.rank() == 0 {
            self.save()?;
        }
        self.log.saved = Some(self.steps_done());
        let ranks = self.learner.workers.ranks();
        if ranks.size() > 1 { ranks::meet(ranks) } else { Ok(()) }
    }

    /// Writes the run as it stands.
    pub(super) fn save(&mut self) -> Result<()> {
        let step = self.steps_done();
        let (learner, log) = (&self.learner, &mut self.log);
        if let Some(tensor) = clip::first_not_finite(&learner.model) {
            return Err(Error::NotFinite { step, tensor });
        }
        if log.position.steps > 0 {
            log.read_clock(learner.loader.waited());
        }
        let state = State { step, data_digest: self.data_digest, ..save::state(&learner.config, log)? };
        learner.write_checkpoint(save::target(&learner.config, &log.run), state)?;
        log.saved = Some(step);
        Ok(())
    }

    /// Judges the finished run, and writes `loss.svg` and `report.html`.
    fn report(&mut self, command: &str) -> Result<T::Outcome> {
        let (run, records) = (&self.log.run, &self.log.records);
        let effort = self.effort();
        let notes = self.notes(&effort);
        let learner = &self.learner;
        let Findings { outcome, references, mut report } =
            learner.alone(run, |cx| learner.task.conclude(cx, records, effort))?;
        let loss = curves::loss_svg(records, &references, T::LOSS)?;
        run.write(&run.loss_svg(), loss.as_bytes())?;
        report.curves.insert(0, ("Loss".to_owned(), loss));
        report.curves.extend(curves::value_svgs(records)?);
        report.curves.push(("Learning rate".to_owned(), curves::lr_svg(records)?));
        report.notes.extend(notes);
        report.settings_toml = self.learner.config.to_toml()?;
        command.clone_into(&mut report.command);
        run.write(&run.report_html(), report.to_html().as_bytes())?;
        Ok(outcome)
    }

    /// What the whole run took.
    fn effort(&self) -> Effort {
        let (log, learner) = (&self.log, &self.learner);
        let last = log.history.last().cloned().expect("at least one epoch was trained");
        let images = last.epoch as f64 * learner.steps_per_epoch() as f64 * learner.images_per_step() as f64;
        let wall_secs = log.wall_secs();
        let mut skipped = log.skipped_images.clone();
        skipped.extend(learner.loader.skipped());
        Effort {
            last,
            images_per_s: images / wall_secs,
            wall_secs,
            skipped_steps: log.history.iter().map(|epoch| epoch.skipped_steps).sum(),
            skipped: skipped.into_iter().collect(),
        }
    }

    /// Remarks that any report may need.
    fn notes(&self, Effort { skipped_steps, skipped, .. }: &Effort) -> Vec<String> {
        let mut notes = vec![format!("Parameter groups: {}.", groups::summary(&self.learner.groups))];
        notes.extend(self.log.changes.iter().map(|change| {
            let (key, from, to) = (&change.key, &change.from, &change.to);
            format!("Changed after step {}: {key} from {from} to {to}.", change.step)
        }));
        if *skipped_steps > 0 {
            notes.push(format!("Steps skipped because loss or gradient was not finite: {skipped_steps}."));
        }
        notes.extend(skipped.iter().map(|image| format!("Skipped: {image}")));
        notes
    }
}

/// Whether it is an image or a setting that is wrong, on this rank or another.
fn is_bad_input(error: &Error) -> bool {
    matches!(
        error,
        Error::Input { .. } | Error::Absent { .. } | Error::Read { .. } | Error::Rank { exit_code: 2, .. }
    )
}

/// An error together with the checkpoint that is on the disk: the last one, or one whose writing had got far
/// enough before it failed.
fn halted(log: &RunLog, error: Error) -> Error {
    let run = log.run.path().to_path_buf();
    let found = dir::find(&run).and_then(|folder| State::read(&folder.join(dir::STATE)));
    match (error, found) {
        (error @ Error::Interrupted { .. }, _) | (error, Err(_)) => error,
        (reason, Ok(state)) => Error::Halted { reason: Box::new(reason), run, step: state.step },
    }
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Panic { message: text.unwrap_or("a panic without words").to_owned() }
}
