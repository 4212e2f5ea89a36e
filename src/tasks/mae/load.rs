//! A masked autoencoder from a checkpoint.

use super::Config;
use crate::base::Result;
use crate::checkpoint::{Checkpoint, tensors};
use crate::config::settings::Settings;
use crate::models::mae::{Mae, MaeConfig};
use crate::train::{memory, save};
use std::path::Path;

/// A model from a checkpoint, with the settings it was trained with.
///
/// # Errors
/// If there is no checkpoint, it is damaged, or its tensors are not those of its own settings.
pub fn load(dir: &Path) -> Result<(Mae<f32>, Config, Checkpoint)> {
    let checkpoint = Checkpoint::open(dir)?;
    let config = Config::from_toml(&checkpoint.state.config_toml, &checkpoint.dir)?;
    let model = model_from(&checkpoint.model, &config.model)?;
    Ok((model, config, checkpoint))
}

/// A model of this architecture with the weights of a file.
///
/// # Errors
/// If the file's tensors are not the model's. Settings that promise far more than the file holds are refused before
/// the model is made, so that they do not fill the memory.
pub fn model_from(file: &tensors::File, config: &MaeConfig) -> Result<Mae<f32>> {
    save::check_promise(file.path(), config.parameters().all, file.elements()?)?;
    memory::require_weights(config.parameters().all)?;
    let mut model = Mae::new(config.clone());
    save::load_weights(file, &mut model)?;
    Ok(model)
}
