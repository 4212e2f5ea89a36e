//! The encoder of a checkpoint, whatever it was trained for: every model has the trunk's tensors under the same names.

use crate::base::Result;
use crate::checkpoint::{Checkpoint, tensors};
use crate::config::sections::{DataConfig, RunConfig};
use crate::config::settings::Settings;
use crate::layers::init::init;
use crate::models::mae::Encoder;
use crate::models::vit::VitConfig;
use crate::tasks::{WithTask, with_task_of};
use crate::train::input::Input;
use crate::train::task::Task;
use crate::train::{memory, save};
use std::path::Path;

/// A trained trunk with its norm, and what is known about it.
pub struct Pretrained {
    /// Patch embedding, class token, positions, blocks, norm.
    pub encoder: Encoder<f32>,
    /// What it was trained for: the task's or the method's name.
    pub task: &'static str,
    /// What it learnt from.
    pub data: DataConfig,
    /// Its run's seed, product backend and device.
    pub run: RunConfig,
    /// Where it comes from.
    pub checkpoint: Checkpoint,
}

impl Pretrained {
    /// The encoder of a run directory, or of the checkpoint in it.
    ///
    /// # Errors
    /// If there is no checkpoint, it is damaged, its tensors are not those of its own settings, or one of their numbers is not
    /// finite.
    pub fn open(dir: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(dir)?;
        let TrunkSettings { task, vit, data, run } = TrunkSettings::of(&checkpoint)?;
        let file = &checkpoint.model;
        save::check_promise(file.path(), vit.parameters(), file.elements()?)?;
        memory::require_weights(vit.parameters())?;
        let mut encoder = Encoder::new(&vit);
        // The norm behind the blocks is called otherwise by those that pool or draw maps. UperNet has none: what starts from its
        // trunk begins with one that changes nothing.
        let names = file.names();
        let prefix = ["norm.", "fc_norm.", "head.norm."]
            .into_iter()
            .find(|prefix| names.iter().any(|name| *name == format!("{prefix}weight")));
        encoder.norm.weight.fill(1.0);
        let slots = save::slots(&mut encoder, "").filter_map(|(name, shape, data)| {
            let in_file = match name.strip_prefix("norm.") {
                Some(rest) => format!("{}{rest}", prefix?),
                None => name,
            };
            Some((in_file, shape, data))
        });
        tensors::load_part(file, slots.collect())?;
        save::check_finite(&encoder, file.path(), "")?;
        Ok(Self { encoder, task, data, run, checkpoint })
    }

    /// The architecture.
    #[must_use]
    pub fn vit(&self) -> &VitConfig {
        &self.encoder.vit.config
    }

    /// How an image becomes what the encoder sees in evaluation.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::of(&self.data, (self.vit().img_size, self.vit().in_chans))
    }

    /// The weights that its run began with, if that began from random ones: the baseline of every probe.
    #[must_use]
    pub fn initial(&self) -> Encoder<f32> {
        let mut encoder = Encoder::new(self.vit());
        init(&mut encoder, self.run.seed);
        encoder
    }
}

/// What the settings of a checkpoint say about its trunk.
pub struct TrunkSettings {
    /// The task's or the method's name.
    pub task: &'static str,
    /// The trunk.
    pub vit: VitConfig,
    /// What it learnt from.
    pub data: DataConfig,
    /// Seed, product backend, device.
    pub run: RunConfig,
}

impl TrunkSettings {
    /// Of a checkpoint of any task.
    ///
    /// # Errors
    /// If its settings are not complete.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let toml = &checkpoint.state.config_toml;
        with_task_of(toml, &checkpoint.dir, Reading { toml, dir: &checkpoint.dir })
    }

    /// Of some settings.
    #[must_use]
    pub fn from_settings<S: Settings>(settings: &S) -> Self {
        let (data, run) = (settings.data().clone(), settings.run().clone());
        Self { task: S::TASK.unwrap_or("mae"), vit: settings.vit(), data, run }
    }
}

struct Reading<'a> {
    toml: &'a str,
    dir: &'a Path,
}

impl WithTask for Reading<'_> {
    type Output = TrunkSettings;

    fn run<T: Task>(self) -> Result<TrunkSettings> {
        Ok(TrunkSettings::from_settings(&T::Config::from_toml(self.toml, self.dir)?))
    }
}
