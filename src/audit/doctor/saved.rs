//! The checkpoint of a run, opened as far as it goes: damage is noted, and what can be read is read all the same.

use crate::base::{Error, Result};
use crate::checkpoint::{State, dir, tensors};
use crate::config::Settings;
use crate::optim::AdamW;
use crate::params::{Params, Tensor};
use crate::train::{Task, save};
use std::path::Path;

/// How often a checkpoint is opened again if a run that is going on replaced it meanwhile.
const TRIES: usize = 3;

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

impl<T: Task> Saved<T> {
    /// The weights that the optimiser updates.
    pub(super) fn trained(&self) -> &T::Model {
        self.in_training.as_ref().unwrap_or(&self.model)
    }

    /// Reads the moments, the weights in training, and into the task what it keeps beside them; without its data there is
    /// no task.
    pub(super) fn read_moments(&mut self, config: &T::Config, task: Option<&mut T>) {
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

    /// Each tensor now, and at the start where that is known.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Tensor<'_, f32>, Option<Tensor<'_, f32>>)> {
        let mut start = self.initial.iter().flat_map(Params::tensors);
        self.model.tensors().into_iter().map(move |now| (now, start.next()))
    }
}

/// The checkpoint of a run, again if it was replaced while being read.
pub(super) fn open<T: Task>(run: &Path) -> std::result::Result<Saved<T>, Absent> {
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
    let initial = if state.is_converted() {
        Err("they were converted from elsewhere".to_owned())
    } else {
        T::start_again(&config).and_then(|start| T::model(&config, &start)).map_err(|e| e.to_string())
    };
    let moments = moments.map_err(|e| e.to_string());
    let adamw = Err("they are not read yet".to_owned());
    Ok(Saved { state, model, in_training: None, initial, adamw, moments, damage })
}
