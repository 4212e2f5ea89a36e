//! Recomputing a step of a run from the nearest checkpoint before it, to be compared bit for bit with the log.
//!
//! A run is a function of its settings, its data and the number of steps, so the steps from the checkpoint on can be
//! taken again. Changes of settings on the way are taken back or made where the run made them.

use crate::base::{Error, Result};
use crate::checkpoint::{Change, Checkpoint, State, dir, keep};
use crate::config::Settings;
use crate::tasks;
use crate::tasks::WithTask;
use crate::train::chain::weights_digest;
use crate::train::metrics::{self, Record, StepRecord};
use crate::train::step::StepOutcome;
use crate::train::task::{Opened, Task};
use crate::train::{Learner, WorkerPool, run_dir};
use std::path::{Path, PathBuf};

/// One number of the log beside the one computed again.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// What it is.
    pub name: String,
    /// The step it belongs to.
    pub step: u64,
    /// In the log.
    pub logged: String,
    /// Computed again.
    pub computed: String,
}

impl Compared {
    /// Whether they are the same bits.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.logged == self.computed
    }
}

/// What a replay found.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Steps that the checkpoint held from which it started; 0 for initial weights.
    pub from: u64,
    /// Loss, learning rate, norm and digest.
    pub compared: Vec<Compared>,
}

/// Computes step `step` again, and goes on to the next digest of the weights in the log if that step has none.
/// `data` says where the data lies now; `progress` is told every step.
///
/// # Errors
/// If the run has no such step, its checkpoints or its log are damaged, or its data is another.
pub fn replay(run: &Path, step: u64, data: Option<&Path>, progress: &mut dyn FnMut(u64)) -> Result<Replay> {
    let log = run.join(run_dir::METRICS);
    let records = metrics::read(&log)?;
    metrics::check_chain(&log, &records)?;
    let last = Checkpoint::open(run)?.state;
    if !(1..=last.step).contains(&step) {
        let saved = match last.step {
            0 => "a run that has saved a step".to_owned(),
            last => format!("1 to {last}, the steps that were saved"),
        };
        return Err(Error::setting("--step", saved, step));
    }
    let with = Replaying { run, step, data, last: &last, records: &records, progress };
    tasks::with_task_of(&last.config_toml, &run.join(dir::NAME).join(dir::STATE), with)
}

/// A replay of a run whose task is known.
struct Replaying<'a> {
    run: &'a Path,
    step: u64,
    data: Option<&'a Path>,
    last: &'a State,
    records: &'a [Record],
    progress: &'a mut dyn FnMut(u64),
}

impl WithTask for Replaying<'_> {
    type Output = Replay;

    fn run<T: Task>(self) -> Result<Replay> {
        let Self { run, step, last, records, .. } = self;
        let (start, state) = nearest(run, step)?;
        let from = state.as_ref().map_or(0, |state| state.step);
        let mut learner = self.learner::<T>(config_at(last, from + 1)?, from)?;
        if let Some(start) = start {
            learner.restore(&Checkpoint::open(&start)?)?;
        }
        let steps = || records.iter().filter_map(as_step);
        // The digest of step `step` itself, or the next one that the log has.
        let digested = steps().find(|r| r.step >= step && r.weights_digest.is_some() && r.step <= last.step);
        let until = digested.map_or(step, |r| r.step);
        let mut compared = Vec::new();
        for number in from + 1..=until {
            change(&mut learner, last, number)?;
            let outcome = take_step(&mut learner, number)?;
            let logged = steps().find(|r| r.step == number);
            if number == step {
                compared.extend(compare(&outcome, logged, records, step));
            }
            if number == until
                && let Some(logged) = logged.and_then(|r| r.weights_digest.clone())
            {
                let computed = weights_digest(&learner.model);
                compared.push(Compared { name: "weights_digest".into(), step: number, logged, computed });
            }
            (self.progress)(number);
        }
        if compared.is_empty() {
            let expected = format!("a record of step {step}, or a digest after it");
            return Err(Error::input(run.join(run_dir::METRICS), "log", expected, "neither"));
        }
        Ok(Replay { from, compared })
    }
}

impl Replaying<'_> {
    /// The model as it was initialised; after step 0 its weights are about to be read from a checkpoint.
    fn learner<T: Task>(&self, mut config: T::Config, from: u64) -> Result<Learner<T>> {
        if let Some(path) = self.data {
            config.data_mut().path = Some(path.to_path_buf());
        }
        let Opened { task, train, digest, .. } = T::open(T::source(&config)?, &mut config)?;
        if digest != self.last.data_digest {
            let (expected, found) = (format!("{:08x}", self.last.data_digest), format!("{digest:08x}"));
            let path = config.data().path.clone().unwrap_or_default();
            return Err(Error::input(path, "data digest", expected, found));
        }
        Learner::new(task, config, train, |config| match from {
            0 => T::model(config, &T::start_again(config)?),
            _ => Ok(T::blank(config)),
        })
    }
}

fn as_step(record: &Record) -> Option<&StepRecord> {
    if let Record::Step(step) = record { Some(step) } else { None }
}

/// The checkpoint with the most steps below `step`, if there is one.
fn nearest(run: &Path, step: u64) -> Result<(Option<PathBuf>, Option<State>)> {
    let mut dirs: Vec<PathBuf> = keep::older(run)?.into_iter().map(|(_, dir)| dir).collect();
    dirs.push(dir::find(run)?);
    let mut best: (Option<PathBuf>, Option<State>) = (None, None);
    for dir in dirs {
        let state = State::read(&dir.join(dir::STATE))?;
        if state.step > 0 && state.step < step && best.1.as_ref().is_none_or(|b| b.step < state.step) {
            best = (Some(dir), Some(state));
        }
    }
    Ok(best)
}

/// The settings with which step `number` was taken: the last ones, with later changes taken back.
fn config_at<S: Settings>(last: &State, number: u64) -> Result<S> {
    let path = Path::new(dir::STATE);
    let mut table = S::from_toml(&last.config_toml, path)?.to_table()?;
    for Change { key, from, .. } in last.changes.iter().rev().filter(|change| change.step >= number) {
        let wrong =
            || Error::input(path, "changes", "section.key and a value in TOML", format!("{key} {from}"));
        let (section, name) = key.split_once('.').ok_or_else(wrong)?;
        let section = table.get_mut(section).and_then(toml::Value::as_table_mut).ok_or_else(wrong)?;
        if from.is_empty() {
            section.remove(name);
        } else {
            section.insert(name.to_owned(), from.parse().map_err(|_| wrong())?);
        }
    }
    let text = toml::to_string(&table).map_err(|e| Error::input(path, "changes", "settings", e))?;
    S::from_toml(&text, path)
}

/// Makes the changes of settings that the run made before step `number`.
fn change<T: Task>(learner: &mut Learner<T>, last: &State, number: u64) -> Result<()> {
    if last.changes.iter().any(|change| change.step + 1 == number) {
        let path = learner.config.data_mut().path.take();
        learner.config = config_at(last, number)?;
        learner.config.data_mut().path = path;
        learner.groups = T::groups(&learner.config, &learner.model);
        learner.workers = WorkerPool::new(learner.config.run_mut().open_engine()?);
    }
    Ok(())
}

fn take_step<T: Task>(learner: &mut Learner<T>, number: u64) -> Result<StepOutcome> {
    let steps = learner.steps_per_epoch();
    let (epoch, i) = ((number - 1) / steps, (number - 1) % steps);
    let mut batches = learner.batches(epoch, i);
    learner.step(epoch, i, &mut batches, &|| None)
}

/// The step's numbers beside those of its record, or of the record that it was skipped.
fn compare(outcome: &StepOutcome, logged: Option<&StepRecord>, log: &[Record], step: u64) -> Vec<Compared> {
    let row =
        |name: &str, logged: String, computed: String| Compared { name: name.into(), step, logged, computed };
    let skipped = log.iter().find_map(|r| match r {
        Record::Skipped(r) if r.step == step => Some(r.tensor.clone()),
        _ => None,
    });
    match (outcome, logged) {
        (StepOutcome::Done(now), Some(then)) => {
            let numbers = [
                ("loss", then.loss, now.loss),
                ("lr", then.lr, now.lr),
                ("grad_norm", then.grad_norm, now.grad_norm),
            ];
            let bits = |x: f64| format!("{x:?} ({:016x})", x.to_bits());
            numbers.into_iter().map(|(name, then, now)| row(name, bits(then), bits(now))).collect()
        }
        (StepOutcome::Skipped(now), _) => {
            vec![row("skipped", skipped.unwrap_or_else(|| "not skipped".into()), now.tensor.clone())]
        }
        _ => skipped.map(|tensor| row("skipped", tensor, "not skipped".into())).into_iter().collect(),
    }
}
