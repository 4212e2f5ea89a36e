//! Writing a run directory: a checkpoint before its first step, from which everything that takes a pre-training run goes on.

use super::Conversion;
use super::source::{Architecture, Model, Source};
use crate::base::{Error, Result};
use crate::checkpoint::{Place, State};
use crate::mae::{Mae, MaeConfig};
use crate::optim::AdamW;
use crate::params::Params;
use crate::tasks::{ClassifierConfig, Pooling};
use crate::train::config::Config;
use crate::train::journal::Journal;
use crate::train::run_dir::RunDir;
use crate::train::save;
use crate::train::settings::Settings;
use toml::{Table, Value};

/// The preset that gives a run's settings for training where its source says nothing of them.
pub(super) const PRESET: &str = "vit-base";

/// What is written into a run directory.
pub(super) struct Imported {
    config: Config,
    model: Mae<f32>,
}

impl Imported {
    /// The model as a run has it, with settings from what is known and from flags.
    ///
    /// # Errors
    /// If it is no masked autoencoder and shall not become one, or something that a run needs is not known.
    pub(super) fn new(
        ask: &Conversion,
        source: &Source,
        model: Model,
        settings: Option<Config>,
    ) -> Result<Self> {
        let config = match settings {
            Some(config) => config,
            None => settings_of(ask, source)?,
        };
        let config = with_statistics(config, source)?;
        let model = match model {
            Model::Mae(model) => model,
            Model::Encoder(encoder) if ask.fresh_decoder => {
                let fresh = Mae::initialised(config.model.clone(), config.run.seed);
                Mae { encoder, ..fresh }
            }
            Model::Encoder(_) => {
                let expected =
                    "given: a run has a decoder and the source has none; a new one is drawn from the seed";
                return Err(Error::setting("--fresh-decoder", expected, "absent"));
            }
            Model::Classifier(_) => {
                let found = "run, from a classifier; --encoder-only takes its encoder";
                return Err(Error::setting("--to", "reference, hf or timm", found));
            }
        };
        Ok(Self { config, model })
    }

    /// The model's tensors and numbers.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.model.tensors().len(), self.model.count())
    }

    /// Writes the directory.
    ///
    /// # Errors
    /// If it cannot be written; nothing is left of it then.
    pub(super) fn write(&self, ask: &Conversion) -> Result<()> {
        let run = RunDir::create(Some(ask.destination.clone()), ask.overwrite)?;
        let config_toml = self.config.to_toml()?;
        run.write(&run.config(), config_toml.as_bytes())?;
        let mut journal = Journal::begin(run)?;
        let written = self.write_checkpoint(&mut journal, config_toml);
        if written.is_err() {
            journal.run.discard()?;
        }
        written
    }

    fn write_checkpoint(&self, journal: &mut Journal, config_toml: String) -> Result<()> {
        let [beta1, beta2] = self.config.optim.betas;
        let adamw = AdamW::new(&self.model, (beta1, beta2));
        let state = State {
            seed: self.config.run.seed,
            config_digest: crc32fast::hash(config_toml.as_bytes()),
            config_toml,
            ..journal.state()?
        };
        let place = Place { disk: journal.run.disk(), run: journal.run.path(), keep: self.config.run.keep };
        save::save(place, state, &self.model, &adamw, None)
    }
}

/// Settings for a source that knows its architecture and nothing of training.
fn settings_of(ask: &Conversion, source: &Source) -> Result<Config> {
    let (config, decoder) = match &source.architecture {
        Architecture::Mae(config) => (config.clone(), true),
        Architecture::Encoder(config) => (config.clone(), false),
        Architecture::Classifier(config) => (config.encoder(), false),
    };
    let table =
        Table::try_from(&config).map_err(|e| Error::setting("settings", "numbers that TOML can hold", e))?;
    let known = |key: &String| decoder || !(key.starts_with("decoder") || key == "norm_pix_loss");
    let model = table.into_iter().filter(|(key, _)| known(key));
    let mut settings: Vec<(String, Value)> =
        model.map(|(key, value)| (format!("model.{key}"), value)).collect();
    settings.extend(source.about.mask_ratio.map(|ratio| ("mask.mask_ratio".to_owned(), ratio.into())));
    // Replaced by what is known; the preset's would have to fit the number of channels.
    let statistics = |x: f32| Value::from(vec![f64::from(x); config.in_chans]);
    settings.extend([("data.mean".to_owned(), statistics(0.0)), ("data.std".to_owned(), statistics(1.0))]);
    settings.extend(ask.given.set.clone());
    let resolved = Config::resolve(PRESET, None, settings)?;
    if !same(&config, &resolved.model, decoder) {
        return Err(Error::setting(
            "--set",
            "the architecture of the source",
            "another one in the section model",
        ));
    }
    Ok(resolved)
}

/// Whether two architectures are the same, or only their encoders.
fn same(one: &MaeConfig, other: &MaeConfig, decoder: bool) -> bool {
    let encoder = |config: &MaeConfig| ClassifierConfig::new(config, 0, Pooling::Class);
    if decoder { one == other } else { encoder(one) == encoder(other) }
}

/// Settings with the mean and deviation of the source, or of the flags.
fn with_statistics(mut config: Config, source: &Source) -> Result<Config> {
    let (mean, std) = source.about.statistics(config.model.in_chans)?;
    (config.data.mean, config.data.std) = (Some(mean), Some(std));
    config.validate()?;
    Ok(config)
}
