//! A pre-training run: its data, its trainer, its pictures. The loop itself is in [`super::run`].

use super::config::Config;
use super::gallery::{self, Rows};
use super::held_out::HeldOut;
use super::journal::Journal;
use super::outcome::Outcome;
use super::run::{self, HeldOutScore, Run};
use super::run_dir::RunDir;
use super::settings::Settings;
use super::source::Source;
use super::trainer::Trainer;
use super::{resume, save};
use crate::base::Result;
use crate::mae::reconstruct::Stats;

/// Images on the sheet of reconstructions.
const PICTURES: usize = 8;

/// A run that is ready to start, or to go on.
pub struct Pretraining {
    /// The model in training.
    pub trainer: Trainer,
    /// How far it is.
    pub journal: Journal,
    /// One line about the training data.
    pub data: String,
    /// Why there is no validation loss, if there is none.
    pub no_validation: Option<String>,
    /// What the best checkpoint is chosen by.
    pub(super) validation: Option<HeldOut>,
    /// What the report names the loss of, and nothing else looks at.
    pub(super) test: Option<HeldOut>,
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
        let source = Source::open(&config)?;
        Self::on(source, config, out)
    }

    /// As [`Pretraining::new`], on data of the caller's: any [`crate::data::Dataset`].
    ///
    /// # Errors
    /// As [`Pretraining::new`].
    pub fn on(source: Source, config: Config, out: impl FnOnce() -> Result<RunDir>) -> Result<Self> {
        Self::prepare(source, config, |trainer, _| {
            let run = out()?;
            run.write(&run.config(), trainer.config.to_toml()?.as_bytes())?;
            Ok((Journal::begin(run)?, false))
        })
    }

    /// Goes on with an interrupted or finished run, with the same bits as if it had never stopped. `change` may
    /// change some of its settings; [`Settings::FIXED`] lists those that must stay.
    ///
    /// # Errors
    /// If its checkpoint, log or data are not those that were left, or a setting must not change.
    pub fn resume(run: RunDir, change: impl FnOnce(&Config) -> Result<Config>) -> Result<Self> {
        Self::resume_from(Source::open, run, change)
    }

    /// As [`Pretraining::resume`], on the data of the caller's that [`Pretraining::on`] began with.
    ///
    /// # Errors
    /// As [`Pretraining::resume`].
    pub fn resume_on(
        source: Source,
        run: RunDir,
        change: impl FnOnce(&Config) -> Result<Config>,
    ) -> Result<Self> {
        Self::resume_from(|_| Ok(source), run, change)
    }

    fn resume_from(
        source: impl FnOnce(&Config) -> Result<Source>,
        run: RunDir,
        change: impl FnOnce(&Config) -> Result<Config>,
    ) -> Result<Self> {
        let Some(checkpoint) = resume::last_checkpoint(&run)? else {
            let config = change(&resume::first_config(&run)?)?;
            return Self::on(source(&config)?, config, || Ok(run));
        };
        let earlier = resume::Earlier::new(checkpoint, change)?;
        let source = source(&earlier.config)?;
        let mut run = Self::prepare(source, earlier.config.clone(), |trainer, data_digest| {
            earlier.check_data(data_digest)?;
            save::restore(&earlier.checkpoint, &mut trainer.model, &mut trainer.adamw, None)?;
            Ok((Journal::resume(run, &earlier.checkpoint.state)?, true))
        })?;
        run::record_changes(&mut run, &earlier)?;
        Ok(run)
    }

    fn prepare(
        source: Source,
        mut config: Config,
        journal: impl FnOnce(&mut Trainer, u32) -> Result<(Journal, bool)>,
    ) -> Result<Self> {
        source.complete(&mut config)?;
        let mut trainer = Trainer::new(config, source.train.clone())?;
        let config = &trainer.config;
        let count = config.run.held_out_images;
        let [validation, test] = [&source.validation, &source.test]
            .map(|set| set.as_ref().ok().map(|set| HeldOut::new(config, set, count)).transpose());
        let pictured = source.validation.as_ref().or(source.test.as_ref()).unwrap_or(&source.train);
        let pictured = HeldOut::new(config, pictured, PICTURES)?;
        let data_digest = source.train.digest()?;
        let (journal, resumed) = journal(&mut trainer, data_digest)?;
        Ok(Self {
            trainer,
            journal,
            data: source.train.describe(),
            no_validation: source.validation.err(),
            validation: validation?,
            test: test?,
            pictured,
            data_digest,
            resumed,
        })
    }
}

impl Run for Pretraining {
    type Learner = Trainer;
    type Outcome = Outcome;

    fn learner(&self) -> &Trainer {
        &self.trainer
    }

    fn parts(&mut self) -> (&mut Trainer, &mut Journal) {
        (&mut self.trainer, &mut self.journal)
    }

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn data_digest(&self) -> u32 {
        self.data_digest
    }

    fn resumed(&self) -> bool {
        self.resumed
    }

    fn held_out_score(&mut self) -> Result<Option<HeldOutScore>> {
        let Some(set) = &self.validation else { return Ok(None) };
        let loss = set.loss(&self.trainer.model, &self.trainer.workers)?;
        Ok(Some(HeldOutScore { loss, accuracy: None }))
    }

    fn draw(&self, epoch: u64) -> Result<()> {
        let (set, trainer, run) = (&self.pictured, &self.trainer, &self.journal.run);
        let rows = Rows { images: set.images.view(), masks: &set.masks, stats: Stats::Visible };
        let png = gallery::draw(&trainer.model, &trainer.config, rows, &trainer.workers)?;
        run.write_sheet(epoch, &png)
    }

    fn report(&mut self, command: &str) -> Result<Outcome> {
        self.write_report(command)
    }
}
