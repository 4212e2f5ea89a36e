//! What the doctor looks at: settings, log, checkpoint and data of a run, each of which may be missing.

use super::log::Log;
use super::probe::{Activations, Gradients};
use super::yardstick::Yardstick;
use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::checkpoint::{Checkpoint, State, dir, tensors};
use crate::config::Settings;
use crate::models::mae::Mae;
use crate::optim::AdamW;
use crate::tasks::mae::load;
use crate::tasks::{Config, Pretrain};
use crate::train::source::{Source, measure};
use crate::train::{Task, WorkerPool, save};
use std::path::{Path, PathBuf};

/// How often a checkpoint is opened again if a run that is going on replaced it meanwhile.
const TRIES: usize = 3;

/// All that can be known about a run. A part that could not be had says why.
pub struct Evidence {
    /// The run directory.
    pub run: PathBuf,
    /// What the run was trained with: the checkpoint's settings, or without a checkpoint `config.toml`.
    pub config: Config,
    /// What `config.toml` says, or why it cannot be read.
    pub config_file: std::result::Result<Config, String>,
    /// What `metrics.jsonl` says.
    pub log: Log,
    /// The checkpoint, or why there is none.
    pub saved: std::result::Result<Saved, Absent>,
    /// The images, or why there are none.
    pub data: std::result::Result<Data, String>,
    /// The loss beside trivial predictors, recomputed.
    pub yardstick: std::result::Result<Yardstick, String>,
    /// The gradient of a batch.
    pub gradients: std::result::Result<Gradients, String>,
    /// What the units and heads do on that batch.
    pub activations: std::result::Result<Activations, String>,
}

/// A checkpoint, opened as far as it goes.
pub struct Saved {
    /// Where the run stood.
    pub state: State,
    /// The weights.
    pub model: Mae<f32>,
    /// The weights the run began with, recomputed from its seed.
    pub initial: Mae<f32>,
    /// The optimiser's moments, or why they cannot be had.
    pub adamw: std::result::Result<AdamW<Mae<f32>>, String>,
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
    /// Training and held-out images.
    pub source: Source,
    /// What tells this training data from other data.
    pub digest: u32,
}

impl Evidence {
    /// Looks at the run at `path`. `data` takes the place of the data's path where the data has moved.
    ///
    /// # Errors
    /// If `path` is no run: it has neither readable settings nor a checkpoint.
    pub fn gather(path: &Path, data: Option<&Path>) -> Result<Self> {
        let run = run_dir(path)?;
        let saved = open(&run);
        let config_path = run.join("config.toml");
        let config_file = read_text(&config_path).and_then(|text| Config::from_toml(&text, &config_path));
        let trained_with =
            saved.as_ref().ok().and_then(|s| Config::from_toml(&s.state.config_toml, &run).ok());
        let mut config = match (trained_with, &config_file) {
            (Some(config), _) => config,
            (None, Ok(config)) => config.clone(),
            (None, Err(error)) => {
                let expected = "a run directory, with config.toml or a checkpoint that can be read";
                return Err(Error::input(path, "run", expected, format!("neither ({error})")));
            }
        };
        if let Some(data) = data {
            config.data.path = Some(data.to_path_buf());
        }
        let data = Data::open(&mut config).map_err(|error| error.to_string());
        let mut evidence = Self {
            log: Log::read(&run.join("metrics.jsonl")),
            config_file: config_file.map_err(|error| error.to_string()),
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
        let workers = WorkerPool::new(evidence.config.run.gemm);
        evidence.yardstick = Yardstick::measure(&evidence, &workers);
        (evidence.gradients, evidence.activations) = super::probe::measure(&evidence, &workers);
        Ok(evidence)
    }

    /// The checkpoint, or words on why it is missing.
    pub fn saved(&self) -> std::result::Result<&Saved, String> {
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
            let samples = data.source.train.len() * Pretrain::loader(&self.config).repeats;
            let optim = &self.config.optim;
            return Some((samples / optim.batch_size / optim.accum_iter) as u64).filter(|&steps| steps > 0);
        }
        if let Some(epoch) = self.log.epochs.last() {
            return epoch.step.checked_div(epoch.epoch).filter(|&steps| steps > 0);
        }
        self.log.steps_per_epoch()
    }

    /// Optimiser steps of the whole run.
    pub fn steps_planned(&self) -> Option<u64> {
        Some(self.steps_per_epoch()?.saturating_mul(self.config.optim.epochs))
    }

    /// The last learning rate: logged, or else of the checkpoint's place in the schedule.
    pub fn last_lr(&self) -> f64 {
        let scheduled = || {
            let epoch = self.saved.as_ref().map_or(0, |saved| saved.state.epoch);
            self.config.schedule().lr_at(epoch as f64)
        };
        self.log.steps.last().map_or_else(scheduled, |step| step.lr)
    }
}

impl Data {
    fn open(config: &mut Config) -> Result<Self> {
        let source = Pretrain::source(config)?;
        measure(&*source.train, &mut config.data, config.model.in_chans)?;
        let digest = source.train.digest()?;
        Ok(Self { source, digest })
    }

    /// The first `count` images of an epoch as training sees them, with their samples' addresses.
    pub(super) fn batch(&self, config: &Config, epoch: u64, count: usize) -> Result<crate::data::Batch> {
        let mut loading = Pretrain::loader(config);
        loading.batch_size = count.min(self.source.train.len() * loading.repeats);
        let loader = crate::data::Loader::new(self.source.train.clone(), loading)?;
        let first = loader.epoch(epoch, 0).next();
        first.unwrap_or_else(|| Err(Error::setting("data", "at least one batch", "none")))
    }
}

/// The run directory that `path` means: itself, or the folder around a checkpoint.
fn run_dir(path: &Path) -> Result<PathBuf> {
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
fn open(run: &Path) -> std::result::Result<Saved, Absent> {
    let mut opened = open_once(run);
    for _ in 1..TRIES {
        let step = |opened: &std::result::Result<Saved, Absent>| opened.as_ref().ok().map(|s| s.state.step);
        let now = dir::find(run).and_then(|dir| State::read(&dir.join(dir::STATE))).ok().map(|s| s.step);
        if now == step(&opened) {
            break;
        }
        opened = open_once(run);
    }
    opened
}

fn open_once(run: &Path) -> std::result::Result<Saved, Absent> {
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
fn read(folder: &Path) -> Result<Saved> {
    let state = State::read(&folder.join(dir::STATE))?;
    let config = Config::from_toml(&state.config_toml, folder)?;
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
    let model = load::model_from(&weights, &config.model)?;
    let moments = tensors::File::open(folder.join(dir::OPTIMIZER)).and_then(|moments| {
        check(&moments, state.checksums.optimizer)?;
        Ok(moments)
    });
    let [beta1, beta2] = config.optim.betas;
    let adamw = moments.and_then(|optimizer| {
        let mut adamw = AdamW::new(&model, (beta1, beta2));
        let (dir, state) = (folder.to_path_buf(), state.clone());
        save::load_moments(
            &Checkpoint { dir, state, model: weights, optimizer },
            &mut adamw,
            None,
            Vec::new(),
        )?;
        Ok(adamw)
    });
    let initial = Mae::initialised(config.model, state.seed);
    Ok(Saved { state, model, initial, adamw: adamw.map_err(|error| error.to_string()), damage })
}
