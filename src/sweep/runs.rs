//! The runs of a cell: each begun, gone on with where it was interrupted, or left alone if it is done.

use super::AblationObserver;
use super::plan::{Cell, Plan, Point, whole};
use crate::base::{Error, Result};
use crate::checkpoint::{EpochRecord, State, dir, keep};
use crate::config::Settings;
use crate::config::resolve::varied;
use crate::config::sections::{DataConfig, RunConfig};
use crate::tasks::finetuning::WithTransfer;
use crate::tasks::per_picture::PerPicture;
use crate::tasks::pretraining::{Method, WithMethod};
use crate::tasks::transfer::{Start, Transfer};
use crate::train::resume::settings_of;
use crate::train::run::Run;
use crate::train::{RunDir, Task};
use std::path::{Path, PathBuf};
use toml::Value;

/// A run of pre-training: begun, gone on with where it was interrupted, or left alone if it is done.
pub(super) struct Pretraining<'a> {
    pub(super) out: &'a Path,
    pub(super) others: &'a [PathBuf],
    pub(super) name: &'a str,
    pub(super) point: Point<'a>,
    pub(super) observer: &'a mut dyn AblationObserver,
}

impl WithMethod for Pretraining<'_> {
    /// What it learnt from, and where it ran.
    type Output = (DataConfig, RunConfig);

    fn run<M: Method>(self) -> Result<Self::Output> {
        let Self { out, others, name, point, observer } = self;
        let config: M::Config = point.config()?;
        let (epochs, output) = (config.optim().epochs, (config.data().clone(), config.run().clone()));
        if is_complete(out, epochs) {
            let before = M::Config::from_toml(&settings_of(&RunDir::look_at(out)?)?, out)?;
            return as_planned(out, &before, &config).map(|_| output);
        }
        let mut run = if let Ok(run) = RunDir::open(out) {
            Run::<M>::resume(run, |before| as_planned(out, before, &config))?
        } else {
            let start = M::start_again(&config)?;
            let run = Run::<M>::new(config, &start, || RunDir::create(Some(out.to_path_buf()), true))?;
            same_data(others, run)?
        };
        let mut watch = observer.begins(name, epochs, run.steps_total());
        run.train("", &mut *watch)?;
        Ok(output)
    }
}

/// A run of fine-tuning: begun, or gone on with where it was interrupted.
pub(super) struct Finetuning<'a> {
    pub(super) plan: &'a Plan,
    pub(super) recipe: &'a str,
    pub(super) cell: Cell<'a>,
    pub(super) out: &'a Path,
    pub(super) others: &'a [PathBuf],
    pub(super) name: &'a str,
    pub(super) pretrained: &'a Path,
    pub(super) observer: &'a mut dyn AblationObserver,
}

/// What came of it.
pub(super) struct Finetuned {
    /// On test images, or else on those that chose its epoch.
    pub(super) score: Option<f64>,
    /// On the validation images that chose its epoch.
    pub(super) validation: Option<f64>,
    /// The same after each epoch, by its step.
    pub(super) curve: Vec<(u64, f64)>,
    /// The score on any choice of the test pictures.
    pub(super) per_picture: Option<PerPicture>,
    pub(super) secs: f64,
}

impl WithTransfer for Finetuning<'_> {
    type Output = Finetuned;

    fn run<T: Transfer>(self) -> Result<Self::Output> {
        let Self { plan, recipe, cell, out, others, name, pretrained, observer } = self;
        let scratch = plan.is_scratch(cell.value);
        let start = if scratch { Start::architecture_of } else { Start::pretrained }(pretrained)?;
        let config = plan.finetuning::<T>(recipe, &start, cell)?;
        let mut run = if let Ok(run) = RunDir::open(out) {
            Run::<T>::resume(run, |before| as_planned(out, before, &config))?
        } else {
            let run = Run::<T>::new(config, &start, || RunDir::create(Some(out.to_path_buf()), true))?;
            same_data(others, run)?
        };
        let epochs = run.learner.config.optim().epochs;
        let mut watch = observer.begins(name, epochs, run.steps_total());
        let outcome = run.train("", &mut *watch)?;
        let best = State::read(&keep::best(out)?.join(dir::STATE))?;
        let on_validation = |epoch: &EpochRecord| epoch.scores.validation().next().map(|(_, score)| score);
        let last = State::read(&dir::find(out)?.join(dir::STATE))?;
        let point = |epoch: &EpochRecord| Some((epoch.step, on_validation(epoch)?));
        Ok(Finetuned {
            score: T::score(&outcome),
            validation: best.history.last().and_then(on_validation),
            curve: last.history.iter().filter_map(point).collect(),
            per_picture: T::per_picture(&outcome).cloned(),
            secs: run.log.wall_secs(),
        })
    }
}

/// A new run of one value, unless it would learn from other data than those that are there with other seeds, so that the table would
/// compare what cannot be compared; nothing is left of it then.
///
/// # Errors
/// If it would.
fn same_data<T: Task>(others: &[PathBuf], mut run: Run<T>) -> Result<Run<T>> {
    for folder in others.iter().filter_map(|other| dir::find(other).ok()) {
        let state = State::read(&folder.join(dir::STATE))?;
        // The seed says which images are held out of pre-training.
        let seed = T::Config::from_toml(&state.config_toml, &folder)?.run().seed;
        let of_seed = vec![("run.seed".to_owned(), whole("run.seed", seed)?)];
        let config: T::Config = varied(run.learner.config.to_table()?, of_seed)?;
        let (found, now) = (state.data_digest, T::source(&config)?.train.digest()?);
        if found != now {
            run.log.run.discard()?;
            let expected =
                format!("{now:08x}, which the data has now: rows of other seeds were made from other data");
            return Err(Error::input(&folder, "data digest", expected, format!("{found:08x}")));
        }
    }
    Ok(run)
}

/// What a run fills in, by its data or its codebook, or what may have moved with its folder: not compared with the plan.
const OF_THE_RUN: [&str; 8] = [
    "model.num_classes",
    "model.mask_head",
    "finetune.classes",
    "finetune.checkpoint",
    "data.path",
    "beit.tokens",
    "beit.normalised",
    "beit.kmeans_patches",
];
/// A device that a run chooses: it has put down which it was.
const CHOSEN: &str = "auto";

/// The settings of a run that is there, which must be those of the plan.
///
/// # Errors
/// The first setting that is another in the plan.
fn as_planned<S: Settings>(out: &Path, before: &S, planned: &S) -> Result<S> {
    let (found, planned) = (before.to_table()?, planned.to_table()?);
    for (section, values) in planned.iter().filter_map(|(name, section)| Some((name, section.as_table()?))) {
        for (name, value) in values {
            let key = format!("{section}.{name}");
            let of_run = found.get(section).and_then(|section| section.get(name));
            let is_of_run =
                OF_THE_RUN.contains(&&*key) || key == "run.device" && value.as_str() == Some(CHOSEN);
            if of_run != Some(value) && !is_of_run {
                let expected = format!("{value}, as the plan has it; what another plan made can be removed");
                return Err(Error::input(
                    out,
                    key,
                    expected,
                    of_run.map_or("none".to_owned(), Value::to_string),
                ));
            }
        }
    }
    Ok(before.clone())
}

/// Whether a run has done all of its epochs, and written the last of its files.
#[must_use]
pub fn is_complete(out: &Path, epochs: u64) -> bool {
    let state = dir::find(out).and_then(|folder| State::read(&folder.join(dir::STATE)));
    state.is_ok_and(|state| state.epoch >= epochs)
        && RunDir::look_at(out).is_ok_and(|run| run.report_html().is_file())
}
