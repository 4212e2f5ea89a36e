//! A masked autoencoder from a checkpoint.

use super::{Config, Pretrain};
use crate::base::Result;
use crate::checkpoint::Checkpoint;
use crate::config::settings::Settings;
use crate::models::mae::Mae;
use crate::train::save;
use crate::train::task::Task;
use std::path::Path;

/// A model from a checkpoint, with the settings it was trained with.
///
/// # Errors
/// If there is no checkpoint, it is damaged, its tensors are not those of its own settings, or one of their numbers is not finite.
pub fn load(dir: &Path) -> Result<(Mae<f32>, Config, Checkpoint)> {
    let checkpoint = Checkpoint::open(dir)?;
    let config = Config::from_toml(&checkpoint.state.config_toml, &checkpoint.dir)?;
    let model = Pretrain::load(&checkpoint.model, &config)?;
    save::check_finite(&model, checkpoint.model.path(), "")?;
    Ok((model, config, checkpoint))
}
