//! A run's checkpoint: the model under the reference's names, the optimiser's moments, where the run stands.

use super::config::Config;
use super::run_dir::RunDir;
use super::trainer::Trainer;
use crate::base::{Error, Result};
use crate::checkpoint::{Checkpoint, Checksums, Place, State, tensors};
use crate::mae::{Mae, MaeConfig};
use crate::optim::AdamW;
use crate::params::Params;
use std::collections::BTreeMap;
use std::path::Path;

/// A model of so many numbers is made without a second thought.
const SMALL: usize = 1 << 24;

/// Writes the checkpoint of a run, whole or not at all.
///
/// # Errors
/// If there is no room for it, or it cannot be written; the previous checkpoint is then still there.
pub fn save(run: &RunDir, state: State, trainer: &Trainer) -> Result<()> {
    let (model, adamw) = (&trainer.model, &trainer.adamw);
    let about = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let steps = BTreeMap::from([("adamw_steps".to_owned(), adamw.steps.to_string())]);
    let entries = |params, prefix: &'static str| {
        let tensors = Mae::<f32>::tensors(params).into_iter();
        tensors.map(move |t| (format!("{prefix}{}", t.name), t.shape, t.data))
    };
    let place = Place { disk: run.disk(), run: run.path(), keep: trainer.config.run.keep };
    let payload_bytes = 3 * size_of::<f32>() * model.count();
    Checkpoint::write(place, state, payload_bytes as u64, |weights, moments| {
        let both = entries(&adamw.m, "m.").chain(entries(&adamw.v, "v."));
        Ok(Checksums {
            model: tensors::write_on(place.disk, weights, entries(model, ""), &about)?,
            optimizer: tensors::write_on(place.disk, moments, both, &steps)?,
        })
    })
}

/// Takes weights, moments and the optimiser's count of steps from a checkpoint.
///
/// # Errors
/// If they are not those of this model.
pub fn restore(checkpoint: &Checkpoint, trainer: &mut Trainer) -> Result<()> {
    let slots = trainer.model.tensors_mut().into_iter().map(|t| (t.name, t.shape, t.data)).collect();
    tensors::load_into(&checkpoint.model, slots)?;
    load_moments(checkpoint, &mut trainer.adamw)
}

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
    let mut stored: usize = 0;
    for name in file.names() {
        stored = stored.saturating_add(file.shape(&name)?.iter().product());
    }
    let numbers = config.parameters().all;
    if numbers > 2 * stored.saturating_add(SMALL) {
        let expected = format!("{numbers} numbers, as the settings say");
        return Err(Error::input(file.path(), "tensors", expected, stored));
    }
    let mut model = Mae::new(config.clone());
    let slots = model.tensors_mut().into_iter().map(|t| (t.name, t.shape, t.data)).collect();
    tensors::load_into(file, slots)?;
    Ok(model)
}

/// The optimiser's moments and step count, for resuming.
///
/// # Errors
/// If they are not those of this model.
pub fn load_moments(checkpoint: &Checkpoint, adamw: &mut AdamW<Mae<f32>>) -> Result<()> {
    let file = &checkpoint.optimizer;
    let steps = file.metadata().remove("adamw_steps").unwrap_or_default();
    adamw.steps = steps
        .parse()
        .map_err(|_| Error::input(file.path(), "adamw_steps", "a number of steps", format!("`{steps}`")))?;
    let first = adamw.m.tensors_mut().into_iter().map(|t| (format!("m.{}", t.name), t.shape, t.data));
    let second = adamw.v.tensors_mut().into_iter().map(|t| (format!("v.{}", t.name), t.shape, t.data));
    tensors::load_into(file, first.chain(second).collect())
}
