//! Where a fine-tuning run starts: the encoder of a pre-training run, or the same architecture from scratch.

use super::config::FinetuneConfig;
use crate::base::{Error, Result};
use crate::checkpoint::Checkpoint;
use crate::config::Settings;
use crate::models::classify::Classifier;
use crate::models::mae::encoder::Encoder;
use crate::tasks::mae::{Config, load, presets};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// An architecture, and the weights of its encoder if they are to be taken over.
pub struct Start {
    settings: Config,
    pretrained: Option<Pretrained>,
}

struct Pretrained {
    run: PathBuf,
    encoder: Encoder<f32>,
    crc: u32,
}

impl Start {
    /// The encoder of a pre-training run.
    ///
    /// # Errors
    /// If there is no checkpoint of one, or it is damaged.
    pub fn pretrained(run: &Path) -> Result<Self> {
        let (mae, settings, checkpoint) = load::load(run)?;
        let crc = checkpoint.state.checksums.model;
        Ok(Self {
            settings,
            pretrained: Some(Pretrained { run: run.to_path_buf(), encoder: mae.encoder, crc }),
        })
    }

    /// The architecture and the data of a pre-training run, none of its weights.
    ///
    /// # Errors
    /// If there is no checkpoint of one, or it is damaged.
    pub fn architecture_of(run: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(run)?;
        Ok(Self::scratch(Config::from_toml(&checkpoint.state.config_toml, &checkpoint.dir)?))
    }

    /// The architecture and the data of a preset.
    ///
    /// # Errors
    /// If there is no such preset.
    pub fn preset(name: &str) -> Result<Self> {
        Ok(Self::scratch(Config::resolve(name, None, Vec::new())?))
    }

    /// The architecture and the data of some settings of pre-training.
    pub fn scratch(settings: Config) -> Self {
        Self { settings, pretrained: None }
    }

    /// What a run started from whose settings these are.
    ///
    /// # Errors
    /// If the pre-training run is not where it was, or no longer what it was.
    pub fn again(config: &FinetuneConfig) -> Result<Self> {
        let Some(run) = &config.finetune.checkpoint else {
            return Self::preset(presets::DEFAULT);
        };
        let start = Self::pretrained(run)?;
        let (began, found) = (config.finetune.checkpoint_crc, start.pretrained.as_ref().map(|p| p.crc));
        if began != found {
            let hex = |crc: Option<u32>| crc.map_or("none".to_owned(), |crc| format!("{crc:08x}"));
            let expected = format!("{}, the weights that the run began with", hex(began));
            return Err(Error::input(run, "checksum of the weights", expected, hex(found)));
        }
        Ok(start)
    }

    /// The settings that follow from the start: parts of the sections `model`, `data` and `finetune`, to be laid over
    /// a recipe.
    ///
    /// # Errors
    /// If a path is not UTF-8.
    pub fn given(&self) -> Result<Table> {
        let all = self.settings.to_table()?;
        let part = |section: &str, keys: &[&str]| {
            let table = all.get(section).and_then(Value::as_table).cloned().unwrap_or_default();
            table.into_iter().filter(|(key, _)| keys.contains(&key.as_str())).collect::<Table>()
        };
        let mut model = part("model", &SHARED);
        // Known for sure when the data is opened.
        model.insert("num_classes".to_owned(), 2.into());
        let mut given = Table::new();
        given.insert("model".to_owned(), model.into());
        given.insert("data".to_owned(), part("data", &["path", "format", "mean", "std"]).into());
        if let Some(Pretrained { run, crc, .. }) = &self.pretrained {
            let path = run
                .to_str()
                .ok_or_else(|| Error::setting("--checkpoint", "a path in UTF-8", run.display()))?;
            let taken = [
                ("checkpoint".to_owned(), path.into()),
                ("checkpoint_crc".to_owned(), i64::from(*crc).into()),
            ];
            given.insert("finetune".to_owned(), Value::Table(taken.into_iter().collect()));
        }
        Ok(given)
    }

    /// The model that training starts with.
    ///
    /// # Errors
    /// If the settings ask for another architecture than that of the pre-trained encoder. Another image size is
    /// possible: the position embeddings are interpolated.
    pub fn classifier(&self, config: &FinetuneConfig) -> Result<Classifier<f32>> {
        let seed = config.run.seed;
        let Some(Pretrained { encoder, run, .. }) = &self.pretrained else {
            return Ok(Classifier::initialised(&config.model, seed));
        };
        config.model.vit().fits(&self.settings.model.vit()).map_err(|e| match e {
            Error::Setting { key, expected, found } => {
                Error::setting(key, format!("{expected} of {}", run.display()), found)
            }
            other => other,
        })?;
        Ok(Classifier::from_encoder(encoder, &config.model, seed))
    }
}

/// Keys of `[model]` that pre-training and fine-tuning share.
const SHARED: [&str; 8] =
    ["img_size", "in_chans", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "layer_norm_eps"];
