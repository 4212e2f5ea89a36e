//! Writing a run directory: a checkpoint before its first step, from which every command that takes a run goes on.

use super::Conversion;
use super::source::{Architecture, Model, Source};
use crate::base::{Error, Result};
use crate::checkpoint::{State, dir};
use crate::config::keys;
use crate::config::settings::Settings;
use crate::models::classify::{Classifier, ClassifierConfig};
use crate::models::mae::Mae;
use crate::optim::AdamW;
use crate::params::Params;
use crate::tasks::classify::FinetuneConfig;
use crate::tasks::mae::config::Config;
use crate::tasks::transfer::DEFAULT_RECIPE;
use crate::train::run_dir::RunDir;
use crate::train::run_log::RunLog;
use crate::train::save;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// The preset that gives a run's settings for training where its source says nothing of them.
pub(super) const PRESET: &str = "vit-base";

/// What is written into a run directory.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(super) enum Imported {
    /// As after no step of pre-training.
    Mae(Run<Config, Mae<f32>>),
    /// As after no step of fine-tuning.
    Classifier(Run<FinetuneConfig, Classifier<f32>>),
}

/// A model, and the settings of a run that it could be of.
pub(super) struct Run<S, P> {
    settings: S,
    model: P,
}

/// Refuses a folder that must not become a run directory: one with files in it that no conversion wrote.
///
/// # Errors
/// If it is a file, or holds anything but a run that was never trained and may be replaced.
pub(super) fn check(path: &Path, overwrite: bool) -> Result<()> {
    RunDir::check(Some(path), overwrite).map_err(|error| match error {
        Error::Setting { expected, found, .. } => Error::setting("DST", expected, found),
        other => other,
    })?;
    let Ok(run) = RunDir::look_at(path) else { return Ok(()) };
    let saved = dir::find(path).and_then(|found| State::read(&found.join(dir::STATE)));
    let logged = fs::metadata(run.metrics()).is_ok_and(|log| log.len() > 0);
    if logged || saved.is_ok_and(|state| state.step > 0) {
        let expected =
            "a new folder, or the run of an earlier conversion: a run that was trained is not replaced";
        return Err(Error::setting("DST", expected, path.display()));
    }
    Ok(())
}

impl Imported {
    /// The model as a run has it, with settings from what is known and from flags.
    ///
    /// # Errors
    /// If something that a run needs is not known, or there is no decoder and none is wanted.
    pub(super) fn new(
        ask: &Conversion,
        source: &Source,
        model: Model,
        settings: Option<Config>,
    ) -> Result<Self> {
        let encoder = match model {
            Model::Classifier(model) => {
                let settings = finetune_settings(ask, source, &model.config, settings.is_some())?;
                return Ok(Self::Classifier(Run { settings, model }));
            }
            Model::Mae(model) => {
                let settings = pretrain_settings(ask, source, settings)?;
                return Ok(Self::Mae(Run { settings, model }));
            }
            Model::Encoder(encoder) => encoder,
        };
        if !ask.fresh_decoder {
            let expected =
                "given: a run has a decoder and the source has none; a new one is drawn from the seed";
            return Err(Error::setting("--fresh-decoder", expected, "absent"));
        }
        let settings = pretrain_settings(ask, source, settings)?;
        let fresh = Mae::initialised(settings.model.clone(), settings.run.seed);
        Ok(Self::Mae(Run { settings, model: Mae { encoder, ..fresh } }))
    }

    /// Writes the directory. Returns how many tensors and parameters it holds.
    ///
    /// # Errors
    /// If it cannot be written; nothing is left of it then.
    pub(super) fn write(&self, ask: &Conversion) -> Result<(usize, usize)> {
        match self {
            Self::Mae(run) => run.write(ask),
            Self::Classifier(run) => run.write(ask),
        }
    }
}

impl<S: Settings, P: Params<f32>> Run<S, P> {
    fn write(&self, ask: &Conversion) -> Result<(usize, usize)> {
        let run = RunDir::create(Some(ask.destination.clone()), ask.overwrite)?;
        run.write(&run.config(), self.settings.to_toml()?.as_bytes())?;
        let mut log = RunLog::begin(run)?;
        let written = self.write_checkpoint(&mut log);
        if written.is_err() {
            log.run.discard()?;
        }
        written.map(|()| (self.model.tensors().len(), self.model.count()))
    }

    fn write_checkpoint(&self, log: &mut RunLog) -> Result<()> {
        let [beta1, beta2] = self.settings.optim().betas;
        let adamw = AdamW::new(&self.model, (beta1, beta2));
        let state = save::state(&self.settings, log)?;
        save::save(save::target(&self.settings, &log.run), state, &self.model, &adamw, None, &[])
    }
}

/// Settings of a pre-training run with the architecture of the source: those that are given, or a preset's.
fn pretrain_settings(ask: &Conversion, source: &Source, given: Option<Config>) -> Result<Config> {
    let mut settings = match given {
        Some(settings) => settings,
        None => settings_of(ask, source)?,
    };
    // What was set by name counts more than what the source says.
    let set = |key: &str| ask.given.set.iter().any(|(name, _)| name == key);
    let mut about = source.about.clone();
    for (key, known, given) in [
        ("data.mean", &mut about.mean, &settings.data.mean),
        ("data.std", &mut about.std, &settings.data.std),
    ] {
        if set(key) {
            known.clone_from(given);
        }
    }
    let (mean, std) = about.statistics(settings.model.in_chans)?;
    (settings.data.mean, settings.data.std) = (Some(mean), Some(std));
    settings.validate()?;
    Ok(settings)
}

/// Settings of a fine-tuning run for this classifier. Single settings are laid over them, but for those that were about the
/// architecture of a file.
fn finetune_settings(
    ask: &Conversion,
    source: &Source,
    model: &ClassifierConfig,
    set_used: bool,
) -> Result<FinetuneConfig> {
    let (mean, std) = source.about.statistics(model.in_chans)?;
    let numbered = || (0..model.num_classes).map(|class| class.to_string()).collect();
    let classes = if source.about.classes.is_empty() { numbered() } else { source.about.classes.clone() };
    let table = Table::try_from(model).map_err(not_toml)?;
    let mut given = Table::new();
    given.insert("model".to_owned(), table.into());
    given.insert(
        "data".to_owned(),
        Table::from_iter([("mean".to_owned(), mean.into()), ("std".to_owned(), std.into())]).into(),
    );
    given.insert("finetune".to_owned(), Table::from_iter([("classes".to_owned(), classes.into())]).into());
    let mut set = ask.given.set.clone();
    if set_used {
        // The architecture has them already, and what is only pre-training's has no place here.
        let own = keys::<FinetuneConfig>();
        set.retain(|(key, _)| own.contains(key) && !key.starts_with("model."));
    }
    let settings = FinetuneConfig::resolve(DEFAULT_RECIPE, given, None, set)?;
    if settings.model != *model {
        return Err(other_architecture());
    }
    Ok(settings)
}

/// Settings for a source that knows its architecture and nothing of training.
fn settings_of(ask: &Conversion, source: &Source) -> Result<Config> {
    let (vit, mae) = match &source.architecture {
        Architecture::Mae(config) => (config.vit(), Some(config)),
        Architecture::Encoder(config) => (config.clone(), None),
        Architecture::Classifier(config) => (config.vit(), None),
    };
    let table = mae.map_or_else(|| Table::try_from(&vit), Table::try_from).map_err(not_toml)?;
    let mut settings: Vec<(String, Value)> =
        table.into_iter().map(|(key, value)| (format!("model.{key}"), value)).collect();
    settings.extend(source.about.mask_ratio.map(|ratio| ("mask.mask_ratio".to_owned(), ratio.into())));
    // Replaced by what is known; the preset's would have to fit the number of channels.
    let statistics = |x: f32| Value::from(vec![f64::from(x); vit.in_chans]);
    settings.extend([("data.mean".to_owned(), statistics(0.0)), ("data.std".to_owned(), statistics(1.0))]);
    settings.extend(ask.given.set.clone());
    let resolved = Config::resolve(PRESET, None, settings)?;
    if mae.map_or(resolved.model.vit() != vit, |mae| resolved.model != *mae) {
        return Err(other_architecture());
    }
    Ok(resolved)
}

fn not_toml(error: toml::ser::Error) -> Error {
    Error::setting("settings", "numbers that TOML can hold", error)
}

fn other_architecture() -> Error {
    Error::setting("--set", "the architecture of the source", "another one in the section model")
}
