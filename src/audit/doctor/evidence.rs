//! What the doctor looks at: settings, log, checkpoint and data of a run, each of which may be missing.

use super::data::Data;
use super::log::Log;
use super::probe::{self, Activations, Gradients};
use super::saved::{self, Absent, Saved};
use super::yardstick::Yardstick;
use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::checkpoint::{State, dir};
use crate::config::Settings;
use crate::params::{Params, Role};
use crate::tasks::Pretrain;
use crate::train::{Task, memory};
use std::any::Any;
use std::path::{Path, PathBuf};

/// All that can be known about a run. A part that could not be had says why.
pub struct Evidence<T: Task> {
    /// The run directory.
    pub run: PathBuf,
    /// What the run was trained with: the checkpoint's settings, or without a checkpoint `config.toml`.
    pub config: T::Config,
    /// What `config.toml` says, or why it cannot be read.
    pub config_file: std::result::Result<T::Config, String>,
    /// What `metrics.jsonl` says.
    pub log: Log,
    /// The checkpoint, or why there is none.
    pub saved: std::result::Result<Saved<T>, Absent>,
    /// The images, or why there are none.
    pub data: std::result::Result<Data, String>,
    /// The typical size of a weight of the blocks' widest matrix at the start; none if it cannot be had.
    pub smallest_start: Option<f64>,
    /// The scores beside those of trivial predictors, recomputed.
    pub yardstick: std::result::Result<Yardstick, String>,
    /// The gradient of a batch.
    pub gradients: std::result::Result<Gradients, String>,
    /// What the units and heads do on that batch, in pre-training.
    pub activations: std::result::Result<Activations, String>,
}

impl<T: Task> Evidence<T> {
    /// Looks at a run directory. `data` takes the place of the data's path where the data has moved; `path` is named if
    /// this is no run.
    pub(super) fn gather(run: PathBuf, path: &Path, data: Option<&Path>) -> Result<Self> {
        let mut saved: std::result::Result<Saved<T>, Absent> = saved::open(&run);
        let config_path = run.join("config.toml");
        let config_file = read_text(&config_path).and_then(|text| T::Config::from_toml(&text, &config_path));
        let trained_with =
            saved.as_ref().ok().and_then(|s| T::Config::from_toml(&s.state.config_toml, &run).ok());
        let mut config = match (trained_with, &config_file) {
            (Some(config), _) => config,
            (None, Ok(config)) => config.clone(),
            (None, Err(error)) => {
                let expected = "a run directory, with config.toml or a checkpoint that can be read";
                return Err(Error::input(path, "run", expected, format!("neither ({error})")));
            }
        };
        if let Some(data) = data {
            config.data_mut().path = Some(data.to_path_buf());
        }
        let (mut task, data) = match Data::open::<T>(&mut config) {
            Ok((task, data)) => (Ok(task), Ok(data)),
            Err(error) => (Err(error.to_string()), Err(error.to_string())),
        };
        if let Ok(saved) = &mut saved {
            saved.read_moments(&config, task.as_mut().ok());
        }
        let mut evidence = Self {
            log: Log::read(&run.join("metrics.jsonl")),
            config_file: config_file.map_err(|error| error.to_string()),
            smallest_start: smallest_start::<T>(saved.as_ref().ok().map(|saved| &saved.model), &config),
            run,
            config,
            saved,
            data,
            yardstick: Err(String::new()),
            gradients: Err(String::new()),
            activations: Err(String::new()),
        };
        if let (true, Ok(saved)) = (evidence.log.epochs.is_empty(), &evidence.saved) {
            evidence.log.epochs.clone_from(&saved.state.history);
        }
        evidence.measure(task);
        Ok(evidence)
    }

    /// Measures what needs the weights and images.
    fn measure(&mut self, mut task: std::result::Result<T, String>) {
        let config = &self.config;
        let batch = self.saved().and_then(|saved| probe::batch(config, saved, self.data()?));
        let of_batch = |e: &Evidence<Pretrain>| {
            Ok(Activations::measure(&e.config, e.saved()?, batch.as_ref().map_err(Clone::clone)?))
        };
        let activations = self.of_pretraining().map_or_else(|| Err(String::new()), of_batch);
        let gradients = batch.and_then(|batch| {
            let task = task.as_mut().map_err(|why| why.clone())?;
            Ok(Gradients::measure(config, self.saved()?, task, batch))
        });
        let yardstick = match self.of_pretraining() {
            Some(e) => e.data().and_then(|data| {
                Yardstick::of_pretraining(&e.config, e.saved.as_ref().ok(), data).map_err(|e| e.to_string())
            }),
            None => task.and_then(|task| Yardstick::of_task(config, self.saved()?, &self.run, task)),
        };
        (self.activations, self.gradients, self.yardstick) = (activations, gradients, yardstick);
    }

    /// The same, if this is a run of pre-training.
    pub(super) fn of_pretraining(&self) -> Option<&Evidence<Pretrain>> {
        (self as &dyn Any).downcast_ref()
    }

    /// The checkpoint, or words on why it is missing.
    pub fn saved(&self) -> std::result::Result<&Saved<T>, String> {
        self.saved.as_ref().map_err(|absent| absent.why.clone())
    }

    /// The images, or words on why they are missing.
    fn data(&self) -> std::result::Result<&Data, String> {
        self.data.as_ref().map_err(Clone::clone)
    }

    /// Whether these are weights that were converted and not trained here since.
    pub(super) fn is_converted(&self) -> bool {
        self.log.lines == 0 && self.saved.as_ref().is_ok_and(|saved| saved.state.is_converted())
    }

    /// Optimiser steps done, by the log or the checkpoint, whichever is further.
    pub fn steps_done(&self) -> u64 {
        let saved = self.saved.as_ref().map_or(0, |saved| saved.state.step);
        self.log.last_step().max(saved)
    }

    /// Optimiser steps in an epoch, from the data, or else from what was logged.
    pub fn steps_per_epoch(&self) -> Option<u64> {
        if let Ok(data) = &self.data {
            let samples = data.train.len() * T::loader(&self.config).repeats;
            let optim = self.config.optim();
            return Some((samples / optim.batch_size / optim.accum_iter) as u64).filter(|&steps| steps > 0);
        }
        if let Some(epoch) = self.log.epochs.last() {
            return epoch.step.checked_div(epoch.epoch).filter(|&steps| steps > 0);
        }
        self.log.steps_per_epoch()
    }

    /// Optimiser steps of the whole run.
    pub fn steps_planned(&self) -> Option<u64> {
        Some(self.steps_per_epoch()?.saturating_mul(self.config.optim().epochs))
    }

    /// The fraction of the run that is done; 1 where that cannot be known.
    pub(super) fn progress(&self) -> f64 {
        let planned = self.steps_planned().filter(|&planned| planned > 0);
        planned.map_or(1.0, |planned| self.steps_done() as f64 / planned as f64)
    }

    /// The last learning rate: logged, or else of the checkpoint's place in the schedule.
    pub fn last_lr(&self) -> f64 {
        let scheduled = || {
            let epoch = self.saved.as_ref().map_or(0, |saved| saved.state.epoch);
            self.config.optim().schedule().lr_at(epoch as f64)
        };
        self.log.steps.last().map_or_else(scheduled, |step| step.lr)
    }
}

/// The text of the settings that tell a run's task, and where it stands: the checkpoint's, or else `config.toml`'s.
pub(super) fn settings(run: &Path) -> (String, PathBuf) {
    let state = dir::find(run).map(|folder| folder.join(dir::STATE));
    let saved = state.and_then(|path| Ok((State::read(&path)?.config_toml, path)));
    saved.unwrap_or_else(|_| {
        let path = run.join("config.toml");
        (read_text(&path).unwrap_or_default(), path)
    })
}

/// Xavier's distribution has the standard deviation √(2 / (in + out)), and the widest matrix of the blocks decides.
fn smallest_start<T: Task>(model: Option<&T::Model>, config: &T::Config) -> Option<f64> {
    let Some(model) = model else {
        memory::require_weights(T::memory(config, 1).parameters).ok()?;
        return smallest_start::<T>(Some(&T::blank(config)), config);
    };
    let tensors = model.tensors().into_iter();
    let matrices = tensors.filter(|t| t.role == Role::Weight && t.name.contains("blocks."));
    let widest = matrices.map(|t| t.shape.iter().sum::<usize>()).max()?;
    Some((2.0 / widest as f64).sqrt())
}

/// The run directory that `path` means: itself, or the folder around a checkpoint.
pub(super) fn run_dir(path: &Path) -> Result<PathBuf> {
    let is_run = |dir: &Path| dir.join("config.toml").is_file();
    if !path.is_dir() {
        let found = if path.exists() { "a file" } else { "nothing of this name" };
        return Err(Error::input(path, "run", "a run directory, such as runs/0001", found));
    }
    let around =
        path.parent().filter(|around| !is_run(path) && path.join(dir::STATE).exists() && is_run(around));
    let run = around.unwrap_or(path);
    Ok(if run.as_os_str().is_empty() { PathBuf::from(".") } else { run.to_path_buf() })
}
