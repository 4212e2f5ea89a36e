//! What a kind of training says of itself. `Run` makes a run of it: the loop, checkpoints, log, report.

use super::memory::{self, StepMemory};
use super::metrics::{EpochRecord, Record, ValidationRecord};
use super::run_dir::RunDir;
use super::save::{self, ExtrasMut};
use super::source::Source;
use super::workers::WorkerPool;
use crate::base::Result;
use crate::checkpoint::{Named, tensors};
use crate::config::settings::Settings;
use crate::data::{Batch, Dataset, LoaderConfig, TargetKind};
use crate::draw::report::Report;
use crate::models::vit::{Stack, VitConfig};
use crate::optim::Group;
use crate::params::{Params, Tensor};
use serde::Serialize;
use std::sync::Arc;

/// A task: what is learnt from which data, by which loss, and how it is judged.
pub trait Task: Sized + Send + Sync + 'static {
    /// Its settings.
    type Config: Settings;
    /// Its model.
    type Model: Params<f32>;
    /// Where its model may start from, beside random weights.
    type Start;
    /// What a finished run reached.
    type Outcome: Outcome;

    /// The kind of targets that its images have; those with classes serve tasks that need none, too.
    const TARGET: TargetKind = TargetKind::Class;

    /// What the vertical axis of the loss curve means.
    const LOSS: &'static str;

    /// Commands that a user may want to give next; `{run}` stands for the run's directory.
    const NEXT: &'static [&'static str];

    /// What is about to happen, for the user to read: a word and what it is, `("data", "…")`.
    fn about(&self, config: &Self::Config) -> Vec<(&'static str, String)>;

    /// What of the data is left aside, and what the user should know about it.
    fn notes(&self) -> Vec<String>;

    /// The splits of the data that the settings name.
    ///
    /// # Errors
    /// If there is no training data, or another split is there but damaged.
    fn source(config: &Self::Config) -> Result<Source>;

    /// The task on its data; fills in the settings that follow from the data.
    ///
    /// # Errors
    /// If the data cannot be used with these settings.
    fn open(source: Source, config: &mut Self::Config) -> Result<Opened<Self>>;

    /// How the loader prepares training images; the settings are complete.
    fn loader(config: &Self::Config) -> LoaderConfig;

    /// Whether a step also needs, for each image, the one at the same place from the batch's end.
    fn mixes(_config: &Self::Config) -> bool {
        false
    }

    /// What is in memory during a training step on so many threads.
    fn memory(config: &Self::Config, threads: usize) -> StepMemory;

    /// What its model is made of.
    fn architecture(config: &Self::Config) -> Architecture;

    /// The model that training starts with.
    ///
    /// # Errors
    /// If it cannot start from there.
    fn model(config: &Self::Config, start: &Self::Start) -> Result<Self::Model>;

    /// A model whose weights are about to be read from a checkpoint.
    fn blank(config: &Self::Config) -> Self::Model;

    /// A model with the weights of a file.
    ///
    /// # Errors
    /// If the file's tensors are not the model's. Settings that promise far more than the file holds are refused before
    /// the model is made, so that they do not fill the memory.
    fn load(file: &tensors::File, config: &Self::Config) -> Result<Self::Model> {
        let parameters = Self::memory(config, 1).parameters;
        save::check_promise(file.path(), parameters, file.elements()?)?;
        memory::require_weights(parameters)?;
        let mut model = Self::blank(config);
        save::load_weights(file, &mut model)?;
        Ok(model)
    }

    /// Where a run with these settings started.
    ///
    /// # Errors
    /// If that is no longer there, or no longer what it was.
    fn start_again(config: &Self::Config) -> Result<Self::Start>;

    /// How each tensor is updated.
    fn groups(config: &Self::Config, model: &Self::Model) -> Vec<Group>;

    /// The decay of a moving average of the weights, which then is what is evaluated and kept.
    fn ema_decay(_config: &Self::Config) -> Option<f64> {
        None
    }

    /// The mean loss of a batch with what else is measured of it, and its gradient. What the task itself learns from a batch,
    /// such as a momentum encoder, changes here or in [`Task::after_update`].
    ///
    /// Where several ranks compute a run, each has the images of its own chunks, and classes and addresses of all: what else is
    /// to be known of the whole batch comes from chunks of `micro_batch` images by [`map`](super::sum::map) and
    /// [`sum_and_map`](super::sum::sum_and_map), which give it to all ranks.
    fn loss_and_grad(
        &mut self,
        model: &Self::Model,
        batch: Batch,
        cx: &StepCx<'_, Self>,
    ) -> (Losses, Self::Model);

    /// What else changes with the weights: statistics of the activations, a slow copy.
    fn after_update(&mut self, _model: &mut Self::Model, _info: StepInfo) {}

    /// Tensors beside the model's that a checkpoint carries, with the prefix of their names.
    fn extras(&self) -> Vec<(&'static str, Vec<Tensor<'_, f32>>)> {
        Vec::new()
    }

    /// The same, to be read from a checkpoint.
    fn extras_mut(&mut self) -> ExtrasMut<'_> {
        Vec::new()
    }

    /// What the model reaches on validation images after so many steps and epochs, if there are any.
    ///
    /// # Errors
    /// If one of them cannot be read.
    fn evaluate(&mut self, cx: &EvalCx<'_, Self>, step: u64, epoch: u64) -> Result<Option<Validation>>;

    /// What predictors that learn nothing reach on the validation images, in scores of [`Task::evaluate`].
    ///
    /// # Errors
    /// If the images cannot be used.
    fn trivial_predictors(&self) -> Result<Vec<Trivial>> {
        Ok(Vec::new())
    }

    /// Floating-point operations of an image's training step, about; 0 where that is not known.
    fn flops_per_image(_config: &Self::Config) -> f64 {
        0.0
    }

    /// Writes what belongs beside the checkpoints, before the first of them and whenever a run goes on.
    ///
    /// # Errors
    /// If it cannot be written.
    fn prepare(&self, _run: &RunDir) -> Result<()> {
        Ok(())
    }

    /// Draws what the model does after an epoch that was just evaluated.
    ///
    /// # Errors
    /// If a picture cannot be written.
    fn draw(&self, cx: &EvalCx<'_, Self>, epoch: u64) -> Result<()>;

    /// Judges the finished run, once; `records` is its log.
    ///
    /// # Errors
    /// If something cannot be read or written.
    fn conclude(
        &self,
        cx: &EvalCx<'_, Self>,
        records: &[Record],
        effort: Effort,
    ) -> Result<Findings<Self::Outcome>>;
}

/// What a finished run reached, for people and for programs.
pub trait Outcome: Serialize {
    /// Names and figures, the most important first.
    fn summary(&self) -> Vec<(String, String)>;

    /// Images that could not be read and were replaced or left out, each with the reason.
    fn skipped(&self) -> &[String];
}

/// What a task's loss is computed with.
pub struct StepCx<'a, T: Task> {
    /// Every setting.
    pub config: &'a T::Config,
    /// Whole epochs done.
    pub epoch: u64,
    /// Which step the batch belongs to.
    pub info: StepInfo,
    /// Executors and gradients.
    pub workers: &'a WorkerPool<f32, T::Model>,
}

/// What a step measures of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub loss: f64,
    /// Its terms, accuracies, signs of trouble: what the log shows beside it, always under the same names.
    pub values: Named,
}

impl Losses {
    /// The loss and named values beside it.
    #[must_use]
    pub fn new<const N: usize>(loss: f64, values: [(&str, f64); N]) -> Self {
        Self { loss, values: Named(values.map(|(name, value)| (name.to_owned(), value)).into()) }
    }

    /// `self += other`, value by value.
    pub(super) fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        for ((_, value), (_, other)) in self.values.0.iter_mut().zip(&other.values.0) {
            *value += other;
        }
    }

    /// `self /= n`, value by value.
    pub(super) fn divide(&mut self, n: usize) {
        self.loss /= n as f64;
        self.values.0.iter_mut().for_each(|(_, value)| *value /= n as f64);
    }
}

impl From<f64> for Losses {
    fn from(loss: f64) -> Self {
        Self { loss, values: Named::default() }
    }
}

/// What a task judges, and where it leaves pictures.
pub struct EvalCx<'a, T: Task> {
    /// Every setting.
    pub config: &'a T::Config,
    /// The weights that are evaluated and kept.
    pub model: &'a T::Model,
    /// Executors.
    pub workers: &'a WorkerPool<f32, T::Model>,
    /// The run's directory.
    pub run: &'a RunDir,
}

/// Which step it is.
#[derive(Clone, Copy, Debug)]
pub struct StepInfo {
    /// Its number, counted from 1.
    pub step: u64,
    /// Epochs done, with the fraction of the current one.
    pub epoch: f64,
    /// Images that it takes.
    pub images: usize,
}

/// What a model is made of: a trunk, and what stands beside it.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// What kind of model it is.
    pub kind: &'static str,
    /// The trunk.
    pub encoder: VitConfig,
    /// The blocks of a decoder.
    pub decoder: Option<Stack>,
    /// Whether a target of pixels is normalised patch by patch.
    pub norm_pix_loss: Option<bool>,
    /// The names of the classes that it tells apart.
    pub classes: Vec<String>,
}

/// A task on its data.
pub struct Opened<T> {
    /// The task.
    pub task: T,
    /// What the model learns from.
    pub train: Arc<dyn Dataset>,
    /// Digest of the data, by which a resumed run knows it again.
    pub digest: u32,
    /// Images that were left out because they cannot be read.
    pub skipped: Vec<String>,
}

/// What the model reached on the validation images.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Its scores ([`Named::scores`]); the first one selects the best checkpoint.
    pub scores: Named,
    /// Further figures, for a record of their own in the log.
    pub details: Option<ValidationRecord>,
}

/// A predictor that learns nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Trivial {
    /// The score.
    pub score: &'static str,
    /// What is predicted.
    pub predicting: &'static str,
    /// What that reaches.
    pub value: f64,
}

/// What a finished run reached.
pub struct Findings<O> {
    /// What it reached.
    pub outcome: O,
    /// Dashed lines in the loss curve.
    pub references: Vec<(String, f64)>,
    /// The task's part of the report; settings, command, the curves of loss and learning rate, and remarks that every
    /// run has, are added to it.
    pub report: Report,
}

/// What a summary of pre-training ends with: what the whole run took, and how large the model is.
#[must_use]
pub fn effort_rows(
    skipped_steps: u64,
    images_per_s: f64,
    wall_secs: f64,
    parameters: usize,
) -> Vec<(String, String)> {
    let skipped = ("steps skipped (not finite)", skipped_steps.to_string());
    let rows = [
        ("images per second", format!("{images_per_s:.0}")),
        ("wall time", format!("{wall_secs:.0} s")),
        ("parameters", parameters.to_string()),
    ];
    let rows = Some(skipped).filter(|_| skipped_steps > 0).into_iter().chain(rows);
    rows.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What every outcome tells: the last epoch, and what the whole run took.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Of the last epoch.
    pub last: EpochRecord,
    /// Training images a second over the whole run.
    pub images_per_s: f64,
    /// Seconds spent on the run, over all resumptions.
    pub wall_secs: f64,
    /// Steps that were skipped because their loss or gradient was not finite.
    pub skipped_steps: u64,
    /// Training images that could not be read and were replaced or left out.
    pub skipped: Vec<String>,
}
