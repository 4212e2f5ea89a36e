//! A fine-tuning run: a pre-trained encoder with a new head, trained end to end on labelled images. The loop itself
//! is in [`super::run`].

pub mod config;
pub mod finetuner;
mod labelled;
pub mod outcome;
pub mod recipes;
pub mod start;
pub mod step;

pub use config::FinetuneConfig;
pub use finetuner::Finetuner;
pub use outcome::Outcome;
pub use start::Start;

use super::evaluate::Evaluation;
use super::journal::Journal;
use super::metrics::{Record, ValidationRecord};
use super::run::{self, HeldOutScore, Learner, Run};
use super::run_dir::RunDir;
use super::settings::Settings;
use super::splits::Splits;
use super::{confusion, memory, resume, save};
use crate::base::Result;
use crate::checkpoint::{Checkpoint, keep};
use crate::data::Dataset;
use crate::tasks::{Classifier, Metrics};
use std::path::Path;

/// A run that is ready to start, or to go on.
pub struct Finetuning {
    /// The model in training.
    pub finetuner: Finetuner,
    /// How far it is.
    pub journal: Journal,
    /// Its images.
    pub images: Splits,
    /// Digest of the whole training split.
    data_digest: u32,
    /// Of the validation images after the last epoch of this process.
    validated: Option<Metrics>,
    resumed: bool,
}

impl Finetuning {
    /// Opens the data, makes the model and the run directory, in this order: nothing is written before everything
    /// that can be wrong with the input was found right.
    ///
    /// # Errors
    /// If data and encoder cannot be used with these settings, or `out` cannot be written.
    pub fn new(
        mut config: FinetuneConfig,
        start: &Start,
        out: impl FnOnce() -> Result<RunDir>,
    ) -> Result<Self> {
        let (images, skipped) = labelled::open(&mut config)?;
        let data_digest = images.all.digest()?;
        config.memory(rayon::current_num_threads()).require()?;
        let model = start.classifier(&config)?;
        let finetuner = Finetuner::new(config, model, images.train.clone())?;
        let run = out()?;
        run.write(&run.config(), finetuner.config.to_toml()?.as_bytes())?;
        let mut journal = Journal::begin(run)?;
        journal.skipped_images.extend(skipped);
        Ok(Self { finetuner, journal, images, data_digest, validated: None, resumed: false })
    }

    /// Goes on with an interrupted or finished run, with the same bits as if it had never stopped. `change` may
    /// change some of its settings; [`Settings::FIXED`] lists those that must stay.
    ///
    /// # Errors
    /// If its checkpoint, log or data are not those that were left, or a setting must not change.
    pub fn resume(
        run: RunDir,
        change: impl FnOnce(&FinetuneConfig) -> Result<FinetuneConfig>,
    ) -> Result<Self> {
        let Some(checkpoint) = resume::last_checkpoint(&run)? else {
            let config = change(&resume::first_config(&run)?)?;
            let start = Start::again(&config)?;
            return Self::new(config, &start, || Ok(run));
        };
        let earlier = resume::Earlier::new(checkpoint, change)?;
        let mut config: FinetuneConfig = earlier.config.clone();
        let (images, skipped) = labelled::open(&mut config)?;
        let data_digest = images.all.digest()?;
        earlier.check_data(data_digest)?;
        config.memory(rayon::current_num_threads()).require()?;
        let model = Classifier::new(&config.model);
        let mut finetuner = Finetuner::new(config, model, images.train.clone())?;
        finetuner.restore(&earlier.checkpoint)?;
        let mut journal = Journal::resume(run, &earlier.checkpoint.state)?;
        journal.skipped_images.extend(skipped);
        let mut run = Self { finetuner, journal, images, data_digest, validated: None, resumed: true };
        run::record_changes(&mut run, &earlier)?;
        Ok(run)
    }

    /// What a classifier makes of labelled images.
    fn evaluate(&self, model: &Classifier<f32>, set: &dyn Dataset) -> Result<Evaluation> {
        let (config, engine) = (&self.finetuner.config, self.finetuner.workers.engine());
        config.judge(model, &config.input(), self.journal.run.path(), engine).evaluate(set, &())
    }
}

impl Run for Finetuning {
    type Learner = Finetuner;
    type Outcome = Outcome;

    fn learner(&self) -> &Finetuner {
        &self.finetuner
    }

    fn parts(&mut self) -> (&mut Finetuner, &mut Journal) {
        (&mut self.finetuner, &mut self.journal)
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
        let Some(set) = &self.images.validation else { return Ok(None) };
        let metrics = self.evaluate(self.finetuner.judged(), &**set)?.metrics;
        let score = HeldOutScore { loss: metrics.cross_entropy(), accuracy: Some(metrics.top1_share()) };
        let epoch = self.journal.epoch + 1;
        self.journal.log(Record::Validation(ValidationRecord {
            step: epoch * self.finetuner.steps_per_epoch(),
            epoch,
            images: metrics.images(),
            top1: metrics.top1_share(),
            top5: metrics.top5_share(),
            recall: (0..metrics.classes()).map(|class| metrics.recall(class)).collect(),
        }))?;
        self.validated = Some(metrics);
        Ok(Some(score))
    }

    /// The confusion matrix of the validation images.
    fn draw(&self, epoch: u64) -> Result<()> {
        let Some(metrics) = &self.validated else { return Ok(()) };
        let title = format!("Validation images after epoch {epoch}");
        let png = confusion::draw(metrics, &self.finetuner.config.finetune.classes, &title)?;
        let run = &self.journal.run;
        run.write(&run.confusion(), &png)
    }

    fn report(&mut self, command: &str) -> Result<Outcome> {
        self.write_report(command)
    }
}

/// The best checkpoint of a run's, or the one in a checkpoint's folder.
///
/// # Errors
/// As [`load`].
pub fn load_best(dir: &Path) -> Result<(Classifier<f32>, FinetuneConfig, Checkpoint)> {
    load(&keep::best(dir)?)
}

/// A classifier from a checkpoint, with the settings it was trained with.
///
/// # Errors
/// If there is no checkpoint, it is damaged, or it is none of a classifier.
pub fn load(dir: &Path) -> Result<(Classifier<f32>, FinetuneConfig, Checkpoint)> {
    let checkpoint = Checkpoint::open(dir)?;
    let config = FinetuneConfig::from_toml(&checkpoint.state.config_toml, &checkpoint.dir)?;
    memory::require_weights(config.model.parameters())?;
    let mut model = Classifier::new(&config.model);
    save::load_weights(&checkpoint.model, &mut model)?;
    Ok((model, config, checkpoint))
}
