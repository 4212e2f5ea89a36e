//! A run's checkpoint: the model under the reference's names, the optimiser's moments, where the run stands.

use super::config::Config;
use super::journal::Journal;
use super::memory;
use super::run_dir::RunDir;
use super::settings::Settings;
use crate::base::{Error, Result};
use crate::checkpoint::{Checkpoint, Checksums, Place, State, tensors};
use crate::mae::{Mae, MaeConfig};
use crate::optim::AdamW;
use crate::params::Params;
use std::collections::BTreeMap;
use std::path::Path;

/// A model of so many numbers is made without a second thought.
const SMALL: usize = 1 << 24;

/// The state of a run but for its place in the training: step and data are the caller's.
///
/// # Errors
/// If the log cannot be flushed, or a setting cannot be written in TOML.
pub(super) fn state(settings: &impl Settings, journal: &mut Journal) -> Result<State> {
    let config_toml = settings.to_toml()?;
    Ok(State {
        seed: settings.run().seed,
        config_digest: crc32fast::hash(config_toml.as_bytes()),
        config_toml,
        ..journal.state()?
    })
}

/// Where a run's checkpoints are written.
pub(super) fn place<'a>(settings: &impl Settings, run: &'a RunDir) -> Place<'a> {
    Place { disk: run.disk(), run: run.path(), keep: settings.run().keep }
}

/// Prefix of the trained weights in a checkpoint whose weights are their moving average.
const TRAINED: &str = "w.";

/// Writes the checkpoint of a run, whole or not at all. `averaged` is the moving average of the weights, where one is
/// kept: it is then what `model.safetensors` holds, and the trained weights lie beside the moments.
///
/// # Errors
/// If there is no room for it, or it cannot be written; the previous checkpoint is then still there.
pub fn save<P: Params<f32>>(
    place: Place<'_>,
    state: State,
    model: &P,
    adamw: &AdamW<P>,
    averaged: Option<&P>,
) -> Result<()> {
    let about = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let steps = BTreeMap::from([("adamw_steps".to_owned(), adamw.steps.to_string())]);
    let copies = 3 + usize::from(averaged.is_some());
    let payload_bytes = copies * size_of::<f32>() * model.count();
    Checkpoint::write(place, state, payload_bytes as u64, |weights, moments| {
        let beside = averaged.map(|_| entries(model, TRAINED)).into_iter().flatten();
        let optimizer = entries(&adamw.m, "m.").chain(entries(&adamw.v, "v.")).chain(beside);
        Ok(Checksums {
            model: tensors::write_on(place.disk, weights, entries(averaged.unwrap_or(model), ""), &about)?,
            optimizer: tensors::write_on(place.disk, moments, optimizer, &steps)?,
        })
    })
}

/// What is written of a model: names with a prefix, shapes, numbers.
fn entries<'a, P: Params<f32>>(
    params: &'a P,
    prefix: &'static str,
) -> impl Iterator<Item = (String, Vec<usize>, &'a [f32])> {
    params.tensors().into_iter().map(move |t| (format!("{prefix}{}", t.name), t.shape, t.data))
}

/// Where they are read to.
fn slots<'a, P: Params<f32>>(
    params: &'a mut P,
    prefix: &'static str,
) -> impl Iterator<Item = (String, Vec<usize>, &'a mut [f32])> {
    params.tensors_mut().into_iter().map(move |t| (format!("{prefix}{}", t.name), t.shape, t.data))
}

/// Takes weights, moments and the optimiser's count of steps from a checkpoint, and the moving average of the
/// weights where one is kept.
///
/// # Errors
/// If they are not those of this model.
pub fn restore<P: Params<f32>>(
    checkpoint: &Checkpoint,
    model: &mut P,
    adamw: &mut AdamW<P>,
    averaged: Option<&mut P>,
) -> Result<()> {
    match averaged {
        None => {
            tensors::load_into(&checkpoint.model, slots(model, "").collect())?;
            load_moments(checkpoint, adamw, None)
        }
        Some(average) => {
            tensors::load_into(&checkpoint.model, slots(average, "").collect())?;
            load_moments(checkpoint, adamw, Some(model))
        }
    }
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
    check_promise(file.path(), config.parameters().all, stored)?;
    memory::require_weights(config.parameters().all)?;
    let mut model = Mae::new(config.clone());
    let slots = model.tensors_mut().into_iter().map(|t| (t.name, t.shape, t.data)).collect();
    tensors::load_into(file, slots)?;
    Ok(model)
}

/// Refuses settings that promise far more numbers than a file holds.
///
/// # Errors
/// If they do; the error is the file's.
pub(super) fn check_promise(path: &Path, numbers: usize, stored: usize) -> Result<()> {
    if numbers > stored.saturating_add(SMALL).saturating_mul(2) {
        let expected = format!("{numbers} numbers, as the settings say");
        return Err(Error::input(path, "tensors", expected, stored));
    }
    Ok(())
}

/// Fills a model with the weights of a file.
///
/// # Errors
/// If the file's tensors are not the model's.
pub fn load_weights<P: Params<f32>>(file: &tensors::File, model: &mut P) -> Result<()> {
    tensors::load_into(file, slots(model, "").collect())
}

/// The optimiser's moments and step count, and the trained weights where they lie beside them.
///
/// # Errors
/// If they are not those of this model.
pub fn load_moments<P: Params<f32>>(
    checkpoint: &Checkpoint,
    adamw: &mut AdamW<P>,
    trained: Option<&mut P>,
) -> Result<()> {
    let file = &checkpoint.optimizer;
    let steps = file.metadata().remove("adamw_steps").unwrap_or_default();
    adamw.steps = steps
        .parse()
        .map_err(|_| Error::input(file.path(), "adamw_steps", "a number of steps", format!("`{steps}`")))?;
    let trained = trained.into_iter().flat_map(|model| slots(model, TRAINED));
    let moments = slots(&mut adamw.m, "m.").chain(slots(&mut adamw.v, "v."));
    tensors::load_into(file, moments.chain(trained).collect())
}
