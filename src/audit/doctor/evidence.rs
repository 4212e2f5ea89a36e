//! What the doctor looks at: settings, log, checkpoint and data of a run, each of which may be missing.

use super::log::Log;
use super::probe::{Activations, Gradients};
use super::yardstick::{FEWEST_IMAGES, Yardstick, affordable};
use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::checkpoint::{State, dir, tensors};
use crate::config::Settings;
use crate::data::{Batch, Dataset, Loader};
use crate::optim::AdamW;
use crate::params::{Params, Role};
use crate::tasks::Pretrain;
use crate::train::source::Source;
use crate::train::task::Opened;
use crate::train::{Task, memory, save};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often a checkpoint is opened again if a run that is going on replaced it meanwhile.
const TRIES: usize = 3;

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

/// A checkpoint, opened as far as it goes.
pub struct Saved<T: Task> {
    /// Where the run stood.
    pub state: State,
    /// The weights that are kept and judged.
    pub model: T::Model,
    /// The weights in training, where the kept ones are their moving average.
    pub in_training: Option<T::Model>,
    /// The weights the run began with, made again, or why they cannot be.
    pub initial: std::result::Result<T::Model, String>,
    /// The optimiser's moments, or why they cannot be had.
    pub adamw: std::result::Result<AdamW<T::Model>, String>,
    /// The file of the moments, or why it cannot be opened.
    moments: std::result::Result<tensors::File, String>,
    /// What is wrong with files that could be read all the same.
    pub damage: Vec<String>,
}

/// Why there is no checkpoint.
pub struct Absent {
    /// In words.
    pub why: String,
    /// Whether there is one that cannot be used, rather than none.
    pub damaged: bool,
}

/// The images of the run.
pub struct Data {
    /// Its splits.
    pub source: Source,
    /// What the run learns from.
    pub train: Arc<dyn Dataset>,
    /// What tells this training data from other data.
    pub digest: u32,
}

impl<T: Task> Evidence<T> {
    /// Looks at a run directory. `data` takes the place of the data's path where the data has moved; `path` is named if
    /// this is no run.
    pub(super) fn gather(run: PathBuf, path: &Path, data: Option<&Path>) -> Result<Self> {
        let mut saved: std::result::Result<Saved<T>, Absent> = open(&run);
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
        let batch = super::probe::batch(&evidence);
        if let Some(evidence) = (&mut evidence as &mut dyn Any).downcast_mut::<Evidence<Pretrain>>() {
            let batch = batch.as_ref().map_err(Clone::clone);
            evidence.activations = batch.and_then(|batch| Activations::measure(evidence, batch));
        }
        let known = task.as_ref().map_err(Clone::clone);
        evidence.gradients = batch.and_then(|batch| Gradients::measure(&evidence, known?, batch));
        evidence.yardstick = task.and_then(|task| Yardstick::measure(&evidence, task));
        Ok(evidence)
    }

    /// The same, if this is a run of pre-training.
    pub(super) fn of_pretraining(&self) -> Option<&Evidence<Pretrain>> {
        (self as &dyn Any).downcast_ref()
    }

    /// The checkpoint, or words on why it is missing.
    pub fn saved(&self) -> std::result::Result<&Saved<T>, String> {
        self.saved.as_ref().map_err(|absent| absent.why.clone())
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

    /// The last learning rate: logged, or else of the checkpoint's place in the schedule.
    pub fn last_lr(&self) -> f64 {
        let scheduled = || {
            let epoch = self.saved.as_ref().map_or(0, |saved| saved.state.epoch);
            self.config.optim().schedule().lr_at(epoch as f64)
        };
        self.log.steps.last().map_or_else(scheduled, |step| step.lr)
    }
}

impl<T: Task> Saved<T> {
    /// The weights that the optimiser updates.
    pub(super) fn trained(&self) -> &T::Model {
        self.in_training.as_ref().unwrap_or(&self.model)
    }

    /// Reads the moments, the weights in training, and into the task what it keeps beside them; without its data there is
    /// no task.
    fn read_moments(&mut self, config: &T::Config, task: Option<&mut T>) {
        let [beta1, beta2] = config.optim().betas;
        let mut adamw = AdamW::new(&self.model, (beta1, beta2));
        let mut in_training = T::ema_decay(config).map(|_| self.model.clone());
        let loaded = self.moments.as_ref().map_err(Clone::clone).and_then(|file| {
            save::load_moments(file, &mut adamw, in_training.as_mut(), task.map(T::extras_mut))
                .map_err(|error| error.to_string())
        });
        self.in_training = in_training.filter(|_| loaded.is_ok());
        self.adamw = loaded.map(|()| adamw);
    }
}

impl Data {
    /// The images and the task on them; the test split is left alone.
    fn open<T: Task>(config: &mut T::Config) -> Result<(T, Self)> {
        let source = T::source(config)?;
        let left_alone = || Err("not looked at".to_owned());
        let mut used = Source { test: left_alone(), ..source.clone() };
        let wanted = config.run().held_out_images;
        if T::Config::TASK == <Pretrain as Task>::Config::TASK {
            // Its yardstick takes as many validation images as it can afford.
            used.validation = left_alone();
        }
        config.run_mut().held_out_images = wanted.min(affordable::<T>(config, FEWEST_IMAGES));
        let Opened { task, train, digest, .. } = T::open(used, config)?;
        config.run_mut().held_out_images = wanted;
        Ok((task, Self { source, train, digest }))
    }

    /// The first `count` images of an epoch as training sees them, with their samples' addresses.
    pub(super) fn batch<T: Task>(&self, config: &T::Config, epoch: u64, count: usize) -> Result<Batch> {
        let mut loading = T::loader(config);
        loading.batch_size = count.min(self.train.len() * loading.repeats);
        let loader = Loader::new(self.train.clone(), loading)?;
        let first = loader.epoch(epoch, 0).next();
        first.unwrap_or_else(|| Err(Error::setting("data", "at least one batch", "none")))
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

/// The checkpoint of a run, again if it was replaced while being read.
fn open<T: Task>(run: &Path) -> std::result::Result<Saved<T>, Absent> {
    let mut opened = open_once(run);
    for _ in 1..TRIES {
        let step =
            |opened: &std::result::Result<Saved<T>, Absent>| opened.as_ref().ok().map(|s| s.state.step);
        let now = dir::find(run).and_then(|dir| State::read(&dir.join(dir::STATE))).ok().map(|s| s.step);
        if now == step(&opened) {
            break;
        }
        opened = open_once(run);
    }
    opened
}

fn open_once<T: Task>(run: &Path) -> std::result::Result<Saved<T>, Absent> {
    let folder = match dir::find(run) {
        Ok(folder) => folder,
        Err(_) if !run.join(dir::NAME).exists() => {
            let why = "there is no checkpoint yet".to_owned();
            return Err(Absent { why, damaged: false });
        }
        Err(error) => return Err(Absent { why: error.to_string(), damaged: true }),
    };
    read(&folder).map_err(|error| Absent { why: error.to_string(), damaged: true })
}

/// Reads what can be read: a wrong checksum is noted, and the numbers are looked at all the same.
fn read<T: Task>(folder: &Path) -> Result<Saved<T>> {
    let state = State::read(&folder.join(dir::STATE))?;
    let mut config = T::Config::from_toml(&state.config_toml, folder)?;
    let mut damage = Vec::new();
    let mut check = |file: &tensors::File, written: u32| -> Result<()> {
        let found = file.checksum()?;
        if found != written {
            let path = file.path().display();
            damage.push(format!("{path} has the checksum {found:08x}, and {written:08x} was written"));
        }
        Ok(())
    };
    if crc32fast::hash(state.config_toml.as_bytes()) != state.config_digest {
        return Err(Error::input(folder, "config digest", "that of the settings beside it", "another"));
    }
    let weights = tensors::File::open(folder.join(dir::MODEL))?;
    check(&weights, state.checksums.model)?;
    let model = T::load(&weights, &config)?;
    let moments = tensors::File::open(folder.join(dir::OPTIMIZER)).and_then(|moments| {
        check(&moments, state.checksums.optimizer)?;
        Ok(moments)
    });
    config.run_mut().seed = state.seed;
    let initial = T::start_again(&config).and_then(|start| T::model(&config, &start));
    let (initial, moments) = (initial.map_err(|e| e.to_string()), moments.map_err(|e| e.to_string()));
    let adamw = Err("they are not read yet".to_owned());
    Ok(Saved { state, model, in_training: None, initial, adamw, moments, damage })
}
