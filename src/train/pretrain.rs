//! Pre-training, read aloud: epoch by epoch and step by step; then pictures, curve and checkpoint.

use super::config::Config;
use super::held_out::HeldOut;
use super::journal::Journal;
use super::metrics::{EpochRecord, Record, StepRecord};
use super::outcome::Outcome;
use super::run_dir::RunDir;
use super::source::Source;
use super::trainer::{Stepped, Trainer};
use super::{chain, gallery, resume, save};
use crate::base::{Error, Result};
use crate::checkpoint::{State, dir};
use crate::mae::reconstruct::Stats;
use crate::optim::clip;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Images on the sheet of reconstructions.
const PICTURES: usize = 8;

/// Whoever watches a run: draws progress, and may ask it to stop.
pub trait Watch {
    /// After every optimiser step, of `total`.
    fn step(&mut self, record: &StepRecord, total: u64);
    /// After every epoch.
    fn epoch(&mut self, record: &EpochRecord);
    /// Whether the run shall save and stop after this step: the number of the signal that asks for it.
    fn stop(&self) -> Option<u8>;
}

/// A run that is ready to start, or to go on.
pub struct Pretraining {
    /// The model in training.
    pub trainer: Trainer,
    /// How far it is.
    pub journal: Journal,
    /// One line about the training data.
    pub data: String,
    /// Why there is no held-out loss, if there is none.
    pub no_held_out: Option<String>,
    pub(super) held_out: Option<HeldOut>,
    pub(super) pictured: HeldOut,
    pub(super) data_digest: u32,
    resumed: bool,
}

impl Pretraining {
    /// Opens the data, initialises the model and makes the run directory, in this order: nothing is
    /// written before everything that can be wrong with the input was found right.
    ///
    /// # Errors
    /// If the data cannot be used with these settings, or `out` cannot be written.
    pub fn new(config: Config, out: impl FnOnce() -> Result<RunDir>) -> Result<Self> {
        Self::prepare(config, |trainer, _| {
            let run = out()?;
            run.write(&run.config(), trainer.config.to_toml()?.as_bytes())?;
            Ok((Journal::begin(run)?, false))
        })
    }

    /// Goes on with an interrupted or finished run, with the same bits as if it had never stopped. `change` may
    /// change some of its settings; [`resume::FIXED`] lists those that must stay.
    ///
    /// # Errors
    /// If its checkpoint, log or data are not those that were left, or a setting must not change.
    pub fn resume(run: RunDir, change: impl FnOnce(&Config) -> Result<Config>) -> Result<Self> {
        let Some(checkpoint) = resume::last_checkpoint(&run)? else {
            let config = change(&resume::first_config(&run)?)?;
            return Self::new(config, || Ok(run));
        };
        let earlier = resume::Earlier::new(checkpoint, change)?;
        let mut run = Self::prepare(earlier.config.clone(), |trainer, data_digest| {
            earlier.check_data(data_digest)?;
            save::restore(&earlier.checkpoint, trainer)?;
            Ok((Journal::resume(run, &earlier.checkpoint.state)?, true))
        })?;
        run.record(&earlier)?;
        Ok(run)
    }

    fn prepare(
        mut config: Config,
        journal: impl FnOnce(&mut Trainer, u32) -> Result<(Journal, bool)>,
    ) -> Result<Self> {
        let source = Source::open(&config)?;
        source.complete(&mut config)?;
        let mut trainer = Trainer::new(config, source.train.clone())?;
        let config = &trainer.config;
        let count = config.run.held_out_images;
        let held_out =
            source.held_out.as_ref().ok().map(|test| HeldOut::new(config, test, count)).transpose()?;
        let pictured = source.held_out.as_ref().unwrap_or(&source.train);
        let pictured = HeldOut::new(config, pictured, PICTURES)?;
        let data_digest = source.train.digest()?;
        let (journal, resumed) = journal(&mut trainer, data_digest)?;
        let (data, no_held_out) = (source.train.describe(), source.held_out.err());
        Ok(Self { trainer, journal, data, no_held_out, held_out, pictured, data_digest, resumed })
    }

    /// Writes down what was changed, in log and checkpoint, before a step is taken with it.
    fn record(&mut self, earlier: &resume::Earlier) -> Result<()> {
        for change in &earlier.changes {
            self.journal.log(Record::Change(change.clone()))?;
            self.journal.changes.push(change.clone());
        }
        if !earlier.changes.is_empty() {
            self.save()?;
        }
        let run = &self.journal.run;
        run.write(&run.config(), self.trainer.config.to_toml()?.as_bytes())
    }

    /// Optimiser steps done.
    pub fn steps_done(&self) -> u64 {
        self.journal.epoch * self.trainer.steps_per_epoch() + self.journal.position.steps
    }

    /// Optimiser steps of the whole run.
    pub fn steps_total(&self) -> u64 {
        self.trainer.config.optim.epochs * self.trainer.steps_per_epoch()
    }

    /// Trains to the end. `command` is what the user typed, for the report.
    ///
    /// # Errors
    /// A loss that is not finite, an image that cannot be read, a file that cannot be written, a bug, or
    /// [`Error::Interrupted`] after saving. The last checkpoint is then intact, and the error says where it is.
    /// If it is an image and nothing was saved but initial weights, the run directory goes away again.
    pub fn train(&mut self, command: &str, watch: &mut dyn Watch) -> Result<Outcome> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.all_epochs(command, watch)));
        match outcome.unwrap_or_else(|panic| Err(panic_error(&*panic))) {
            Err(error @ (Error::Input { .. } | Error::Read { .. }))
                if !self.resumed && self.journal.saved.is_none_or(|step| step == 0) =>
            {
                self.journal.run.discard()?;
                Err(error)
            }
            Err(error) => Err(self.halted(error)),
            outcome => outcome,
        }
    }

    fn all_epochs(&mut self, command: &str, watch: &mut dyn Watch) -> Result<Outcome> {
        if self.journal.saved.is_none() {
            self.save()?;
        }
        let run = self.trainer.config.run.clone();
        let epochs = self.trainer.config.optim.epochs;
        while self.journal.epoch < epochs {
            let record = self.epoch(watch)?;
            self.journal.finish_epoch(record.clone())?;
            watch.epoch(&record);
            let due = |every: u64| record.epoch % every == 0 || record.epoch == epochs;
            if due(run.pictures_every_epochs) {
                self.draw(record.epoch)?;
            }
            if due(run.checkpoint_every_epochs) {
                self.save()?;
            }
        }
        self.report(command)
    }

    /// One pass over the data, or what is left of it.
    fn epoch(&mut self, watch: &mut dyn Watch) -> Result<EpochRecord> {
        let epoch = self.journal.epoch;
        let (steps, total) = (self.trainer.steps_per_epoch(), self.steps_total());
        let mut batches = self.trainer.batches(epoch, self.journal.position.steps);
        self.journal.start_clock(self.trainer.loader.waited());
        while self.journal.position.steps < steps {
            let i = self.journal.position.steps;
            match self.trainer.step(epoch, i, &mut batches, &|| watch.stop().is_some())? {
                Stepped::Done(record) => {
                    self.journal.count_step(record.loss);
                    self.log_step(record.clone(), total)?;
                    watch.step(&record, total);
                }
                Stepped::Skipped(record) => {
                    self.journal.count_skipped();
                    self.journal.log(Record::Skipped(record))?;
                }
                Stepped::CalledOff => {}
            }
            if let Some(signal) = watch.stop() {
                self.save()?;
                let run = self.journal.run.path().to_path_buf();
                return Err(Error::Interrupted { run, step: self.steps_done(), signal });
            }
            let every = self.trainer.config.run.checkpoint_every_steps;
            if every.is_some_and(|every| self.steps_done().is_multiple_of(every)) {
                self.save()?;
            }
        }
        self.journal.read_clock(self.trainer.loader.waited());
        let at = self.journal.position;
        let nothing =
            || Error::NotFinite { step: self.steps_done(), tensor: "every loss of the epoch".into() };
        Ok(EpochRecord {
            epoch: epoch + 1,
            step: (epoch + 1) * steps,
            train_loss: self.journal.mean_loss().ok_or_else(nothing)?,
            held_out_loss: self
                .held_out
                .as_ref()
                .map(|set| set.loss(&self.trainer.model, &self.trainer.workers)),
            skipped_steps: at.skipped,
            wall_secs: at.wall_secs,
            images_per_s: (steps as f64 * self.trainer.images_per_step() as f64) / at.wall_secs,
            data_wait_secs: at.data_wait_secs,
        })
    }

    /// Logs a step if its turn has come, or that of the weights' digest.
    fn log_step(&mut self, mut record: StepRecord, total: u64) -> Result<()> {
        let run = &self.trainer.config.run;
        if record.step.is_multiple_of(run.digest_every_steps) || record.step == total {
            record.weights_digest = Some(chain::weights_digest(&self.trainer.model));
        }
        if record.weights_digest.is_some() || record.step.is_multiple_of(run.log_every_steps) {
            self.journal.log(Record::Step(record))?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let step = self.steps_done();
        if let Some(tensor) = clip::first_not_finite(&self.trainer.model) {
            return Err(Error::NotFinite { step, tensor });
        }
        if self.journal.position.steps > 0 {
            self.journal.read_clock(self.trainer.loader.waited());
        }
        self.journal.skipped_images.extend(self.trainer.loader.skipped());
        let config_toml = self.trainer.config.to_toml()?;
        let state = State {
            step,
            seed: self.trainer.config.run.seed,
            config_digest: crc32fast::hash(config_toml.as_bytes()),
            data_digest: self.data_digest,
            config_toml,
            ..self.journal.state()?
        };
        save::save(&self.journal.run, state, &self.trainer)?;
        self.journal.saved = Some(step);
        Ok(())
    }

    fn draw(&self, epoch: u64) -> Result<()> {
        let (set, trainer, run) = (&self.pictured, &self.trainer, &self.journal.run);
        let png =
            gallery::draw(&trainer.model, &trainer.config, set.images.view(), &set.masks, Stats::Visible)?;
        run.write(&run.sheet(epoch), &png)
    }

    /// An error together with the checkpoint that is on the disk: the last one, or one whose writing had got far
    /// enough before it failed.
    fn halted(&self, error: Error) -> Error {
        let run = self.journal.run.path().to_path_buf();
        let found = dir::find(&run).and_then(|folder| State::read(&folder.join(dir::STATE)));
        match (error, found) {
            (error @ Error::Interrupted { .. }, _) | (error, Err(_)) => error,
            (reason, Ok(state)) => Error::Halted { reason: Box::new(reason), run, step: state.step },
        }
    }
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Panic { message: text.unwrap_or("a panic without words").to_owned() }
}
