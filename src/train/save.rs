//! A run's checkpoint: the model under the reference's names, the optimiser's moments, where the run stands.

use super::run_dir::RunDir;
use super::run_log::RunLog;
use crate::base::{Error, Real, Result};
use crate::checkpoint::{Checkpoint, CheckpointTarget, Checksums, State, tensors};
use crate::config::sections::RunConfig;
use crate::config::settings::Settings;
use crate::optim::{AdamW, clip};
use crate::params::{Params, Tensor, TensorMut};
use std::collections::BTreeMap;
use std::path::Path;

/// A model of so many parameters is made without a second thought.
const SMALL: usize = 1 << 24;

/// The state of a run but for its place in the training: step and data are the caller's.
///
/// # Errors
/// If the log cannot be flushed, or a setting cannot be written in TOML.
pub(crate) fn state(settings: &impl Settings, log: &mut RunLog) -> Result<State> {
    let config_toml = settings.to_toml()?;
    Ok(State {
        seed: settings.run().seed,
        config_digest: crc32fast::hash(config_toml.as_bytes()),
        config_toml,
        ..log.state()?
    })
}

/// Refuses parameters, which were read from `path`, of which one is no finite number.
///
/// # Errors
/// The file and the first such tensor, with `prefix` before its name.
pub fn check_finite<F: Real>(params: &impl Params<F>, path: &Path, prefix: &str) -> Result<()> {
    match clip::first_not_finite(params) {
        Some(name) => {
            Err(Error::input(path, format!("{prefix}{name}"), "finite numbers", "NaN or an infinity"))
        }
        None => Ok(()),
    }
}

/// Where a run's checkpoints are written.
pub(crate) fn target<'a>(settings: &impl Settings, run: &'a RunDir) -> CheckpointTarget<'a> {
    let RunConfig { keep, checkpoint_every_steps, .. } = *settings.run();
    CheckpointTarget {
        disk: run.disk(),
        run: run.path(),
        keep,
        within_epochs: checkpoint_every_steps.is_some(),
    }
}

/// Tensors of a task's own to be read, under the prefixes of their names.
pub type ExtrasMut<'a> = Vec<(&'static str, Vec<TensorMut<'a, f32>>)>;

/// Prefix of AdamW's first moments in the file beside the weights.
const FIRST: &str = "m.";
/// Of its second moments.
const SECOND: &str = "v.";
/// Of the trained weights in a checkpoint whose weights are their moving average.
const TRAINED: &str = "w.";

/// Writes the checkpoint of a run, whole or not at all. `averaged` is the moving average of the weights, where one is
/// kept: it is then what `model.safetensors` holds, and the trained weights lie beside the moments, as do a task's
/// `extras`.
///
/// # Errors
/// If there is no room for it, or it cannot be written; the previous checkpoint is then still there.
pub fn save<P: Params<f32>>(
    target: CheckpointTarget<'_>,
    state: State,
    model: &P,
    adamw: &AdamW<P>,
    averaged: Option<&P>,
    extras: &[(&'static str, Vec<Tensor<'_, f32>>)],
) -> Result<()> {
    let about = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let steps = BTreeMap::from([("adamw_steps".to_owned(), adamw.steps.to_string())]);
    let extra = || extras.iter().flat_map(|(prefix, tensors)| tensors.iter().map(move |t| entry(prefix, t)));
    let copies = 3 + usize::from(averaged.is_some());
    let numbers = copies * model.count() + extra().map(|(_, _, data)| data.len()).sum::<usize>();
    Checkpoint::write(target, state, (size_of::<f32>() * numbers) as u64, |weights, moments| {
        let beside = averaged.map(|_| entries(model, TRAINED)).into_iter().flatten();
        let optimizer =
            entries(&adamw.m, FIRST).chain(entries(&adamw.v, SECOND)).chain(beside).chain(extra());
        Ok(Checksums {
            model: tensors::write_on(target.disk, weights, entries(averaged.unwrap_or(model), ""), &about)?,
            optimizer: tensors::write_on(target.disk, moments, optimizer, &steps)?,
        })
    })
}

/// What is written of a tensor.
fn entry<'a>(prefix: &str, tensor: &Tensor<'a, f32>) -> (String, Vec<usize>, &'a [f32]) {
    (format!("{prefix}{}", tensor.name), tensor.shape.clone(), tensor.data)
}

/// What is written of a model: names with a prefix, shapes, elements.
fn entries<'a, P: Params<f32>>(
    params: &'a P,
    prefix: &'static str,
) -> impl Iterator<Item = (String, Vec<usize>, &'a [f32])> {
    params.tensors().into_iter().map(move |t| entry(prefix, &t))
}

/// Where they are read to.
pub(crate) fn slots<'a, P: Params<f32>>(
    params: &'a mut P,
    prefix: &'static str,
) -> impl Iterator<Item = (String, Vec<usize>, &'a mut [f32])> {
    params.tensors_mut().into_iter().map(move |t| slot(prefix, t))
}

/// Where a tensor is read to.
fn slot<'a>(prefix: &str, tensor: TensorMut<'a, f32>) -> (String, Vec<usize>, &'a mut [f32]) {
    (format!("{prefix}{}", tensor.name), tensor.shape, tensor.data.write())
}

/// Takes weights, moments and the optimiser's count of steps from a checkpoint, the moving average of the weights where
/// one is kept, and a task's `extras`.
///
/// # Errors
/// If they are not those of this model.
pub fn restore<P: Params<f32>>(
    checkpoint: &Checkpoint,
    model: &mut P,
    adamw: &mut AdamW<P>,
    averaged: Option<&mut P>,
    extras: ExtrasMut<'_>,
) -> Result<()> {
    let (weights, trained) = match averaged {
        None => (model, None),
        Some(average) => (average, Some(model)),
    };
    tensors::load_into(&checkpoint.model, slots(weights, "").collect())?;
    load_moments(&checkpoint.optimizer, adamw, trained, Some(extras))
}

/// Refuses settings that promise far more parameters than a file holds.
///
/// # Errors
/// If they do; the error is the file's.
pub(crate) fn check_promise(path: &Path, numbers: usize, stored: usize) -> Result<()> {
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

/// The optimiser's moments and step count from its file, the trained weights where they lie beside them, and a task's
/// `extras`; where the task is not there, whatever else the file holds is taken for them.
///
/// # Errors
/// If they are not those of this model.
pub fn load_moments<P: Params<f32>>(
    file: &tensors::File,
    adamw: &mut AdamW<P>,
    trained: Option<&mut P>,
    extras: Option<ExtrasMut<'_>>,
) -> Result<()> {
    let steps = file.metadata().remove("adamw_steps").unwrap_or_default();
    adamw.steps = steps
        .parse()
        .map_err(|_| Error::input(file.path(), "adamw_steps", "a number of steps", format!("`{steps}`")))?;
    let mut unknown = Vec::new();
    if extras.is_none() {
        let own = |name: &String| [FIRST, SECOND, TRAINED].iter().any(|prefix| name.starts_with(prefix));
        for name in file.names().into_iter().filter(|name| !own(name)) {
            unknown.push((file.shape(&name)?.to_vec(), file.read(&name)?, name));
        }
    }
    let trained = trained.into_iter().flat_map(|model| slots(model, TRAINED));
    let moments = slots(&mut adamw.m, FIRST).chain(slots(&mut adamw.v, SECOND));
    let extras = extras
        .into_iter()
        .flatten()
        .flat_map(|(prefix, tensors)| tensors.into_iter().map(move |t| slot(prefix, t)));
    let unknown =
        unknown.iter_mut().map(|(shape, data, name)| (name.clone(), shape.clone(), data.as_mut_slice()));
    tensors::load_into(file, moments.chain(trained).chain(extras).chain(unknown).collect())
}
