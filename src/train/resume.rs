//! Resuming: what may change in a run that is under way, what must not, and how a change is put down.

use super::metrics;
use super::run_dir::RunDir;
use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::checkpoint::{Change, Checkpoint, State, dir};
use crate::config::origins::{Origins, Resolved};
use crate::config::overrides::Overrides;
use crate::config::resolve::changed;
use crate::config::settings::Settings;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// Settings that decide what a step number means, which images it sees, and what the losses of a run are; beside those
/// of [`Settings::FIXED`]. Other ones make another run.
pub const FIXED: &[&str] = &[
    "data.crop",
    "data.flip",
    "data.mean",
    "data.std",
    "data.repeats",
    "data.val_fraction",
    "optim.batch_size",
    "optim.accum_iter",
    "optim.betas",
    "run.seed",
    "run.held_out_images",
];

/// A run as it was left, and as it shall go on.
#[derive(Debug)]
pub struct ResumePoint<S> {
    /// The last checkpoint.
    pub checkpoint: Checkpoint,
    /// The settings from here on.
    pub config: S,
    /// What they differ in from those until here.
    pub changes: Vec<Change>,
}

impl<S: Settings> ResumePoint<S> {
    /// The run that a checkpoint is of, with changed settings.
    ///
    /// # Errors
    /// If a setting of [`FIXED`] or [`Settings::FIXED`] differs, which is then named, or fewer epochs are asked for than were begun.
    pub fn new(checkpoint: Checkpoint, change: impl FnOnce(&S) -> Result<S>) -> Result<Self> {
        let state = &checkpoint.state;
        let (text, path) = (&state.config_toml, checkpoint.dir.join(dir::STATE));
        let config = change(&S::from_toml(text, &path)?)?;
        let changes = differences(&S::as_written(text, &path)?, &config, state.step)?;
        if let Some(Change { key, from, to, .. }) = changes.iter().find(|change| is_fixed::<S>(&change.key)) {
            let expected = format!("{}, as the run began, which cannot change on the way", or_none(from));
            return Err(Error::setting(key, expected, or_none(to)));
        }
        let begun = state.epoch + u64::from(state.position.steps > 0);
        if config.optim().epochs < begun {
            let expected = format!("at least {begun}, the epochs that were begun");
            return Err(Error::setting("optim.epochs", expected, config.optim().epochs));
        }
        Ok(Self { checkpoint, config, changes })
    }

    /// Refuses other data than the run began with.
    ///
    /// # Errors
    /// If the digests differ, or the weights were converted and have seen no data.
    pub fn check_data(&self, digest: u32) -> Result<()> {
        let began = self.checkpoint.state.data_digest;
        if digest == began {
            return Ok(());
        }
        if self.checkpoint.state.is_converted() {
            let expected =
                "a run that was begun here; `vit-mae finetune --checkpoint` trains converted weights further";
            return Err(Error::input(&self.checkpoint.dir, "run", expected, "converted weights"));
        }
        let path = self.config.data().path.clone().unwrap_or_default();
        let expected =
            format!("{began:08x}, the data that the run began with; --data says where that lies now");
        Err(Error::input(path, "data digest", expected, format!("{digest:08x}")))
    }
}

/// The settings with which a run would go on under these overrides, and where each comes from; nothing is begun.
///
/// # Errors
/// As [`ResumePoint::new`], or as [`changed`].
pub fn preview<S: Settings>(run: &RunDir, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<S>> {
    let Some(checkpoint) = last_checkpoint(run)? else {
        return changed(&first_config::<S>(run)?, file, overrides);
    };
    let mut origins = Origins::default();
    let point = ResumePoint::new(checkpoint, |before: &S| {
        let resolved = changed(before, file, overrides)?;
        origins = resolved.origins;
        Ok(resolved.config)
    });
    let config = point.map_err(|error| overrides.name_variable(error))?.config;
    Ok(Resolved { config, origins })
}

/// The last checkpoint of a run. None if the run was ended before its first one was written and has logged
/// nothing: then nothing is lost by beginning again.
///
/// # Errors
/// If the checkpoint is damaged, or the log speaks of steps and there is no checkpoint.
pub fn last_checkpoint(run: &RunDir) -> Result<Option<Checkpoint>> {
    match dir::find(run.path()) {
        Err(_) if metrics::read(&run.metrics()).is_ok_and(|log| !log.is_empty()) => {
            Checkpoint::open(run.path()).map(Some)
        }
        Err(_) => Ok(None),
        Ok(found) => Checkpoint::open(&found).map(Some),
    }
}

/// The settings that a run began with and never got further.
///
/// # Errors
/// If its `config.toml` cannot be read or is not complete.
pub fn first_config<S: Settings>(run: &RunDir) -> Result<S> {
    S::from_toml(&read_text(&run.config())?, &run.config())
}

/// The text of the settings of a run's last checkpoint, or of those that it began with; of a checkpoint nothing else is read.
///
/// # Errors
/// If its state is damaged, or if there is none and `config.toml` cannot be read.
pub fn settings_of(run: &RunDir) -> Result<String> {
    match dir::find(run.path()) {
        Ok(found) => Ok(State::read(&found.join(dir::STATE))?.config_toml),
        Err(_) => read_text(&run.config()),
    }
}

fn is_fixed<S: Settings>(key: &str) -> bool {
    FIXED
        .iter()
        .chain(S::FIXED)
        .any(|fixed| key == *fixed || (fixed.ends_with('.') && key.starts_with(fixed)))
}

/// What differs between two configurations, by key.
///
/// # Errors
/// Only if a number cannot be written in TOML.
pub fn differences(before: &impl Settings, after: &impl Settings, step: u64) -> Result<Vec<Change>> {
    let (before, after) = (flat(&before.to_table()?), flat(&after.to_table()?));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |map: &BTreeMap<String, String>, key: &String| map.get(key).cloned().unwrap_or_default();
    let changes = keys.into_iter().map(|key| Change {
        step,
        key: key.clone(),
        from: value(&before, key),
        to: value(&after, key),
    });
    Ok(changes.filter(|change| change.from != change.to).collect())
}

/// `section.key` and its value in TOML.
fn flat(table: &Table) -> BTreeMap<String, String> {
    let sections = table.iter().filter_map(|(name, value)| Some((name, value.as_table()?)));
    let entry =
        |section: &String, (key, value): (&String, &Value)| (format!("{section}.{key}"), value.to_string());
    sections.flat_map(|(section, table)| table.iter().map(move |pair| entry(section, pair))).collect()
}

fn or_none(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}
