//! A training run, read aloud: epoch by epoch and step by step; then pictures, checkpoint and report. The same for
//! every kind of training.

use super::journal::Journal;
use super::metrics::{EpochRecord, Record, StepRecord};
use super::resume::Earlier;
use super::sections::RunConfig;
use super::settings::Settings;
use super::update::{At, Stepped};
use super::{chain, save};
use crate::base::{Error, Result};
use crate::checkpoint::{Place, State, dir};
use crate::data::{Batch, Loader};
use crate::optim::clip;
use crate::params::Params;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Whoever watches a run: draws progress, and may ask it to stop.
pub trait Watch {
    /// After every optimiser step, of `total`.
    fn step(&mut self, record: &StepRecord, total: u64);
    /// After every epoch.
    fn epoch(&mut self, record: &EpochRecord);
    /// Whether the run shall save and stop after this step: the number of the signal that asks for it.
    fn stop(&self) -> Option<u8>;
}

/// What the model reached on images that it does not learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeldOutScore {
    /// Its loss.
    pub loss: f64,
    /// The share of images whose class it names, where it names classes.
    pub accuracy: Option<f64>,
}

/// What a run trains, step by step. [`Run`] makes the loop of it.
pub trait Learner {
    /// Its settings.
    type Settings: Settings;
    /// Its model.
    type Model: Params<f32>;

    /// Every setting, with the data's statistics filled in.
    fn settings(&self) -> &Self::Settings;
    /// The model in training.
    fn model(&self) -> &Self::Model;
    /// Where batches come from.
    fn loader(&self) -> &Loader;
    /// Optimiser step `i` of an epoch, on the next batches. Between two of them `call_off` is asked whether to stop.
    ///
    /// # Errors
    /// An image that cannot be read, or a loss or gradient that is not finite.
    fn step(
        &mut self,
        epoch: u64,
        i: u64,
        batches: &mut dyn Iterator<Item = Result<Batch>>,
        call_off: &dyn Fn() -> bool,
    ) -> Result<Stepped>;
    /// Writes a checkpoint, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written; the previous one is then still there.
    fn write_checkpoint(&self, place: Place<'_>, state: State) -> Result<()>;

    /// Optimiser steps in an epoch; an incomplete accumulation at its end is dropped.
    fn steps_per_epoch(&self) -> u64 {
        (self.loader().steps_per_epoch() / self.settings().optim().accum_iter) as u64
    }

    /// Images that one optimiser step sees.
    fn images_per_step(&self) -> usize {
        self.settings().optim().batch_size * self.settings().optim().accum_iter
    }

    /// Which step optimiser step `i` of an epoch is. Its fraction of the epoch counts as the reference does: iterations of
    /// all batches, those of a dropped accumulation included.
    fn at(&self, epoch: u64, i: u64) -> At {
        let iterations = i as f64 * self.settings().optim().accum_iter as f64;
        let done = iterations / self.loader().steps_per_epoch() as f64;
        let step = epoch * self.steps_per_epoch() + i + 1;
        At { step, epoch: epoch as f64 + done, images: self.images_per_step() }
    }

    /// The batches of an epoch, from optimiser step `first` of it on.
    #[expect(clippy::cast_possible_truncation, reason = "fewer than the samples of an epoch")]
    fn batches(&self, epoch: u64, first: u64) -> impl Iterator<Item = Result<Batch>> + use<Self> {
        self.loader().epoch(epoch, first as usize * self.settings().optim().accum_iter)
    }
}

/// A run that is ready to start, or to go on.
pub trait Run {
    /// What it trains.
    type Learner: Learner;
    /// What it reached in the end.
    type Outcome;

    /// What it trains.
    fn learner(&self) -> &Self::Learner;
    /// What it trains and how far it is, to be changed.
    fn parts(&mut self) -> (&mut Self::Learner, &mut Journal);
    /// How far it is.
    fn journal(&self) -> &Journal;
    /// Digest of its data.
    fn data_digest(&self) -> u32;
    /// Whether it goes on with an earlier one.
    fn resumed(&self) -> bool;
    /// What the model reaches on held-out images, if there are any.
    ///
    /// # Errors
    /// If one of them cannot be read.
    fn held_out_score(&mut self) -> Result<Option<HeldOutScore>>;
    /// Draws what the model does after an epoch whose [`Run::held_out_score`] was just taken.
    ///
    /// # Errors
    /// If a picture cannot be written.
    fn draw(&self, epoch: u64) -> Result<()>;
    /// Judges the finished run and writes its report.
    ///
    /// # Errors
    /// If something cannot be read or written.
    fn report(&mut self, command: &str) -> Result<Self::Outcome>;

    /// Optimiser steps done.
    fn steps_done(&self) -> u64 {
        self.journal().epoch * self.learner().steps_per_epoch() + self.journal().position.steps
    }

    /// Optimiser steps of the whole run.
    fn steps_total(&self) -> u64 {
        self.learner().settings().optim().epochs * self.learner().steps_per_epoch()
    }

    /// Trains to the end. `command` is what the user typed, for the report.
    ///
    /// # Errors
    /// A loss that is not finite, an image that cannot be read, a file that cannot be written, a bug, or
    /// [`Error::Interrupted`] after saving. The last checkpoint is then intact, and the error says where it is.
    /// If it is an image and nothing was saved but initial weights, the run directory goes away again.
    fn train(&mut self, command: &str, watch: &mut dyn Watch) -> Result<Self::Outcome> {
        let outcome = catch_unwind(AssertUnwindSafe(|| all_epochs(self, command, watch)));
        match outcome.unwrap_or_else(|panic| Err(panic_error(&*panic))) {
            Err(error @ (Error::Input { .. } | Error::Read { .. }))
                if !self.resumed() && self.journal().saved.is_none_or(|step| step == 0) =>
            {
                self.parts().1.run.discard()?;
                Err(error)
            }
            Err(error) => Err(halted(self.journal(), error)),
            outcome => outcome,
        }
    }
}

fn all_epochs<R: Run + ?Sized>(run: &mut R, command: &str, watch: &mut dyn Watch) -> Result<R::Outcome> {
    if run.journal().saved.is_none() {
        checkpoint(run)?;
    }
    let settings = run.learner().settings().run().clone();
    let epochs = run.learner().settings().optim().epochs;
    while run.journal().epoch < epochs {
        let record = epoch(run, &settings, watch)?;
        run.parts().1.finish_epoch(record.clone())?;
        watch.epoch(&record);
        let due = |every: u64| record.epoch % every == 0 || record.epoch == epochs;
        if due(settings.pictures_every_epochs) {
            run.draw(record.epoch)?;
            // The report may draw those of the last epoch anew.
            if record.epoch < epochs {
                run.parts().1.show_pictures(record.epoch)?;
            }
        }
        if due(settings.checkpoint_every_epochs) {
            checkpoint(run)?;
        }
    }
    let outcome = run.report(command)?;
    run.parts().1.show_pictures(epochs)?;
    Ok(outcome)
}

/// One pass over the data, or what is left of it.
fn epoch<R: Run + ?Sized>(run: &mut R, settings: &RunConfig, watch: &mut dyn Watch) -> Result<EpochRecord> {
    let epoch = run.journal().epoch;
    let (steps, total) = (run.learner().steps_per_epoch(), run.steps_total());
    let mut batches = run.learner().batches(epoch, run.journal().position.steps);
    let (learner, journal) = run.parts();
    journal.start_clock(learner.loader().waited());
    while run.journal().position.steps < steps {
        let (learner, journal) = run.parts();
        let i = journal.position.steps;
        match learner.step(epoch, i, &mut batches, &|| watch.stop().is_some())? {
            Stepped::Done(record) => {
                journal.count_step(record.loss);
                log_step(learner, journal, record.clone(), settings, total)?;
                watch.step(&record, total);
            }
            Stepped::Skipped(record) => {
                journal.count_skipped();
                journal.log(Record::Skipped(record))?;
            }
            Stepped::CalledOff => {}
        }
        if let Some(signal) = watch.stop() {
            checkpoint(run)?;
            let path = run.journal().run.path().to_path_buf();
            return Err(Error::Interrupted { run: path, step: run.steps_done(), signal });
        }
        if settings.checkpoint_every_steps.is_some_and(|every| run.steps_done().is_multiple_of(every)) {
            checkpoint(run)?;
        }
    }
    let (learner, journal) = run.parts();
    journal.read_clock(learner.loader().waited());
    let images = steps as f64 * learner.images_per_step() as f64;
    let score = run.held_out_score()?;
    let (at, mean_loss) = (run.journal().position, run.journal().mean_loss());
    let nothing = || Error::NotFinite { step: run.steps_done(), tensor: "every loss of the epoch".into() };
    Ok(EpochRecord {
        epoch: epoch + 1,
        step: (epoch + 1) * steps,
        train_loss: mean_loss.ok_or_else(nothing)?,
        held_out_loss: score.map(|score| score.loss),
        held_out_accuracy: score.and_then(|score| score.accuracy),
        skipped_steps: at.skipped,
        wall_secs: at.wall_secs,
        images_per_s: images / at.wall_secs,
        data_wait_secs: at.data_wait_secs,
    })
}

/// Logs a step if its turn has come, or that of the weights' digest.
fn log_step(
    learner: &impl Learner,
    journal: &mut Journal,
    mut record: StepRecord,
    settings: &RunConfig,
    total: u64,
) -> Result<()> {
    if record.step.is_multiple_of(settings.digest_every_steps) || record.step == total {
        record.weights_digest = Some(chain::weights_digest(learner.model()));
    }
    if record.weights_digest.is_some() || record.step.is_multiple_of(settings.log_every_steps) {
        journal.log(Record::Step(record))?;
    }
    Ok(())
}

/// Saves the run as it stands.
fn checkpoint<R: Run + ?Sized>(run: &mut R) -> Result<()> {
    let (step, data_digest) = (run.steps_done(), run.data_digest());
    let (learner, journal) = run.parts();
    if let Some(tensor) = clip::first_not_finite(learner.model()) {
        return Err(Error::NotFinite { step, tensor });
    }
    if journal.position.steps > 0 {
        journal.read_clock(learner.loader().waited());
    }
    journal.skipped_images.extend(learner.loader().skipped());
    let settings = learner.settings();
    let state = State { step, data_digest, ..save::state(settings, journal)? };
    learner.write_checkpoint(save::place(settings, &journal.run), state)?;
    journal.saved = Some(step);
    Ok(())
}

/// Writes down what was changed in a resumed run, in log and checkpoint, before a step is taken with it.
pub(super) fn record_changes<R: Run>(
    run: &mut R,
    earlier: &Earlier<<R::Learner as Learner>::Settings>,
) -> Result<()> {
    for change in &earlier.changes {
        let (_, journal) = run.parts();
        journal.log(Record::Change(change.clone()))?;
        journal.changes.push(change.clone());
    }
    if !earlier.changes.is_empty() {
        checkpoint(run)?;
    }
    let directory = &run.journal().run;
    directory.write(&directory.config(), run.learner().settings().to_toml()?.as_bytes())
}

/// An error together with the checkpoint that is on the disk: the last one, or one whose writing had got far
/// enough before it failed.
fn halted(journal: &Journal, error: Error) -> Error {
    let run = journal.run.path().to_path_buf();
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
