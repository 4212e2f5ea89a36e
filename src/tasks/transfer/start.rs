//! Where a fine-tuning run starts: the encoder of another run, or the same architecture from scratch.

use super::TransferConfig;
use crate::base::{Error, Result};
use crate::checkpoint::Checkpoint;
use crate::config::Settings;
use crate::config::sections::DataConfig;
use crate::models::mae::encoder::Encoder;
use crate::models::vit::VitConfig;
use crate::tasks::mae::{Config, presets};
use crate::tasks::pretrained::{Pretrained, TrunkSettings};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// An architecture, and the weights of its encoder if they are to be taken over.
pub struct Start {
    vit: VitConfig,
    data: DataConfig,
    pretrained: Option<Taken>,
}

/// An encoder, and where it is taken from.
struct Taken {
    run: PathBuf,
    encoder: Encoder<f32>,
    crc: u32,
}

impl Start {
    /// The encoder of a run of any task.
    ///
    /// # Errors
    /// If there is no checkpoint of one, or it is damaged.
    pub fn pretrained(run: &Path) -> Result<Self> {
        let Pretrained { encoder, data, checkpoint, .. } = Pretrained::open(run)?;
        let (vit, crc) = (encoder.vit.config.clone(), checkpoint.state.checksums.model);
        Ok(Self { vit, data, pretrained: Some(Taken { run: run.to_path_buf(), encoder, crc }) })
    }

    /// The architecture and the data of a run of any task, none of its weights.
    ///
    /// # Errors
    /// If there is no checkpoint of one, or it is damaged.
    pub fn architecture_of(run: &Path) -> Result<Self> {
        let TrunkSettings { vit, data, .. } = TrunkSettings::of(&Checkpoint::open(run)?)?;
        Ok(Self { vit, data, pretrained: None })
    }

    /// The architecture and the data of a preset.
    ///
    /// # Errors
    /// If there is no such preset.
    pub fn preset(name: &str) -> Result<Self> {
        Ok(Self::scratch(&Config::resolve(name, None, Vec::new())?))
    }

    /// The architecture and the data of some settings.
    pub fn scratch(settings: &impl Settings) -> Self {
        Self { vit: settings.vit(), data: settings.data().clone(), pretrained: None }
    }

    /// What a run started from that took this over.
    ///
    /// # Errors
    /// If the pre-training run is not where it was, or no longer what it was.
    pub fn again(transfer: &TransferConfig) -> Result<Self> {
        let Some(run) = &transfer.checkpoint else {
            return Self::preset(presets::DEFAULT);
        };
        let start = Self::pretrained(run)?;
        let (began, found) = (transfer.checkpoint_crc, start.pretrained.as_ref().map(|taken| taken.crc));
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
        let wrong = |e: toml::ser::Error| Error::setting("settings", "numbers that TOML can hold", e);
        let mut model = Table::try_from(&self.vit).map_err(wrong)?;
        // Known for sure when the data is opened.
        model.insert("num_classes".to_owned(), 2.into());
        let mut data = Table::try_from(&self.data).map_err(wrong)?;
        data.retain(|key, _| ["path", "format", "mean", "std"].contains(&key));
        let mut given = Table::new();
        given.insert("model".to_owned(), model.into());
        given.insert("data".to_owned(), data.into());
        if let Some(Taken { run, crc, .. }) = &self.pretrained {
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

    /// The encoder that is taken over by a network with this trunk; none for training from scratch.
    ///
    /// # Errors
    /// If the trunk is of another architecture than the pre-trained encoder. Another image size is possible: the position
    /// embeddings are interpolated.
    pub fn encoder(&self, trunk: &VitConfig) -> Result<Option<&Encoder<f32>>> {
        let Some(Taken { encoder, run, .. }) = &self.pretrained else { return Ok(None) };
        trunk.fits(&self.vit).map_err(|e| match e {
            Error::Setting { key, expected, found } => {
                Error::setting(key, format!("{expected} of {}", run.display()), found)
            }
            other => other,
        })?;
        Ok(Some(encoder))
    }
}
