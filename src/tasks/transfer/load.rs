//! A finished model with the settings it was trained with.

use super::Transfer;
use crate::base::Result;
use crate::checkpoint::{Checkpoint, keep};
use crate::config::settings::Settings;
use std::path::Path;

/// A model, its settings, and the checkpoint they come from.
pub type Loaded<T> =
    (<T as crate::train::task::Task>::Model, <T as crate::train::task::Task>::Config, Checkpoint);

/// The best checkpoint of a run's, or the one in a checkpoint's folder.
///
/// # Errors
/// As [`load`].
pub fn load_best<T: Transfer>(dir: &Path) -> Result<Loaded<T>> {
    load::<T>(&keep::best(dir)?)
}

/// A model from a checkpoint.
///
/// # Errors
/// If there is no checkpoint, it is damaged, or it is another task's.
pub fn load<T: Transfer>(dir: &Path) -> Result<Loaded<T>> {
    let checkpoint = Checkpoint::open(dir)?;
    let config = T::Config::from_toml(&checkpoint.state.config_toml, &checkpoint.dir)?;
    let model = T::load(&checkpoint.model, &config)?;
    Ok((model, config, checkpoint))
}
