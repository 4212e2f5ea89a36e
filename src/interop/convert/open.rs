//! Opening what is converted: a run, a Hugging Face folder, or a file.

use super::source::{About, Architecture, Source};
use super::{hf_in, shapes};
use crate::base::{Error, Result};
use crate::checkpoint::tensors::File;
use crate::checkpoint::{Checkpoint, Layout, Renamed, dir};
use crate::config::sections::DataConfig;
use crate::config::settings::{Settings, kind};
use crate::models::classify::{ClassifierConfig, Pooling};
use crate::tasks::classify::FinetuneConfig;
use crate::tasks::mae::config::Config;
use crate::tasks::pretrained::TrunkSettings;
use std::path::Path;

impl Source {
    /// Opens a run directory or checkpoint, a Hugging Face folder, or a file with the reference's or timm's names. The
    /// architecture of a file is taken from `settings`, or if there are none from its shapes.
    ///
    /// # Errors
    /// If it is none of these, is damaged, or contradicts itself.
    pub fn open(path: &Path, settings: Option<&Config>) -> Result<Self> {
        if !path.is_dir() {
            return bare(path, settings);
        }
        if let Some(key) = settings.and(Some("--preset or --config")) {
            let expected = "none: a folder says itself what it holds";
            return Err(Error::setting(key, expected, path.display()));
        }
        match dir::find(path) {
            Ok(found) => checkpoint(&found),
            Err(_) if path.join(hf_in::CONFIG).is_file() => hf_in::open(path),
            Err(_) => {
                let expected = "a run directory, a Hugging Face folder, or a .safetensors file";
                Err(Error::input(
                    path,
                    hf_in::CONFIG,
                    expected,
                    "a folder without checkpoint and config.json",
                ))
            }
        }
    }
}

/// The checkpoint of a run of any task. Of models that other programs have no name for, the encoder is taken.
fn checkpoint(found: &Path) -> Result<Source> {
    let checkpoint = Checkpoint::open(found)?;
    let (text, dir) = (&checkpoint.state.config_toml, &checkpoint.dir);
    let (mut mask_ratio, mut classes) = (None, Vec::new());
    let (architecture, data) = if FinetuneConfig::wrote(text) {
        let config = FinetuneConfig::from_toml(text, dir)?;
        classes = config.finetune.classes;
        (Architecture::Classifier(config.model), config.data)
    } else if Config::wrote(text) {
        let config = Config::from_toml(text, dir)?;
        mask_ratio = Some(config.mask.mask_ratio);
        (Architecture::Mae(config.model), config.data)
    } else {
        let TrunkSettings { task, vit, data, .. } = TrunkSettings::of(&checkpoint)?;
        if !checkpoint.model.names().iter().any(|name| name == "norm.weight") {
            let expected =
                "one whose encoder ends in a norm: of pre-training, or of fine-tuning for classification";
            return Err(Error::input(dir, "kind of run", expected, kind(Some(task))));
        }
        (Architecture::Encoder(vit), data)
    };
    let DataConfig { mean, std, .. } = data;
    let about = About { mean, std, mask_ratio, classes, ..About::default() };
    let mut weights = Renamed::new(checkpoint.model, Layout::Reference)?;
    let left_out = match architecture {
        Architecture::Encoder(_) => weights.leave_encoder(),
        _ => Vec::new(),
    };
    Ok(Source { from: "run", weights, architecture, complete: true, about, left_out })
}

/// A file under the reference's or timm's names.
fn bare(path: &Path, settings: Option<&Config>) -> Result<Source> {
    let file = File::open(path)?;
    if file.names().iter().any(|name| name.ends_with("embeddings.cls_token")) {
        let expected = "the reference's names";
        let found = "those of Hugging Face; give the folder that holds this file and its config.json";
        return Err(Error::input(path, "tensors", expected, found));
    }
    let weights = Renamed::new(file, Layout::Reference)?;
    let pooling = if weights.contains("fc_norm.weight") { Pooling::Mean } else { Pooling::Class };
    let vit = || settings.map_or_else(|| shapes::vit(&weights), |settings| Ok(settings.model.vit()));
    let architecture = if weights.contains("mask_token") {
        Architecture::Mae(match settings {
            Some(settings) => settings.model.clone(),
            None => shapes::mae(&weights)?,
        })
    } else if weights.contains("head.weight") {
        let classes = weights.shape("head.weight")?.first().copied().unwrap_or_default();
        Architecture::Classifier(ClassifierConfig::new(&vit()?, classes, pooling))
    } else {
        Architecture::Encoder(vit()?)
    };
    architecture.validate().map_err(Error::at(path))?;
    let mut about = About::default();
    if let Some(Config { data, mask, .. }) = settings {
        (about.mean, about.std) = (data.mean.clone(), data.std.clone());
        about.mask_ratio = Some(mask.mask_ratio);
    }
    Ok(Source {
        from: "file",
        weights,
        architecture,
        complete: settings.is_some(),
        about,
        left_out: Vec::new(),
    })
}
