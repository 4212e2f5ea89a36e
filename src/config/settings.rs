//! What the settings of every kind of training have in common: their form in TOML, and what must not change on the
//! way.

use crate::base::{Error, Result};
use crate::config::moved;
use crate::config::sections::{DataConfig, OptimConfig, RunConfig};
use crate::models::vit::VitConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// The settings of a run, which `config.toml` in its directory holds.
pub trait Settings: Clone + Serialize + DeserializeOwned + Send + Sync {
    /// The value of the key `task`; pre-training, which came first, has none.
    const TASK: Option<&'static str>;

    /// Settings of this kind of training that must not change on the way: keys, and sections that end in a dot. Those
    /// that every kind has are in [`crate::train::resume::FIXED`].
    const FIXED: &'static [&'static str];

    /// The architecture of the trunk.
    fn vit(&self) -> VitConfig;

    /// How it learns.
    fn optim(&self) -> &OptimConfig;

    /// The same, to be changed.
    fn optim_mut(&mut self) -> &mut OptimConfig;

    /// What it learns from.
    fn data(&self) -> &DataConfig;

    /// The same, to be changed.
    fn data_mut(&mut self) -> &mut DataConfig;

    /// Everything else.
    fn run(&self) -> &RunConfig;

    /// The same, to be changed.
    fn run_mut(&mut self) -> &mut RunConfig;

    /// Checks all that can be known before any data is read.
    ///
    /// # Errors
    /// The first setting that cannot work.
    fn validate(&self) -> Result<()>;

    /// Reads the settings of a run, whose data is looked for from here and from where the run lies ([`moved::seen_from`]).
    ///
    /// # Errors
    /// As [`Settings::as_written`].
    fn from_toml(text: &str, path: &Path) -> Result<Self> {
        let mut settings = Self::as_written(text, path)?;
        if let Some(data) = &mut settings.data_mut().path {
            *data = moved::seen_from(path, data);
        }
        Ok(settings)
    }

    /// Reads settings that were resolved before.
    ///
    /// # Errors
    /// If the text, which stands in `path`, is not a complete configuration, or one of another task.
    fn as_written(text: &str, path: &Path) -> Result<Self> {
        let wrong = |e: toml::de::Error| {
            Error::input(path, "settings", "a complete configuration", one_line(e, text))
        };
        let mut table: Table = text.parse().map_err(wrong)?;
        let task = table.get("task").map(|task| task.as_str().unwrap_or_default());
        if task != Self::TASK {
            return Err(Error::input(path, "kind of run", kind(Self::TASK), kind(task)));
        }
        // Read from the text where it can be, for an error with the number of the line.
        let settings: Self =
            if modernise(&mut table) { table.try_into() } else { toml::from_str(text) }.map_err(wrong)?;
        settings.validate()?;
        Ok(settings)
    }

    /// Whether a text is that of settings of this kind, whatever else may be wrong with it.
    fn wrote(text: &str) -> bool {
        text.parse::<Table>().is_ok() && task_of(text).as_deref() == Self::TASK
    }

    /// As TOML.
    ///
    /// # Errors
    /// Only if a number cannot be written in TOML.
    fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::setting("settings", "numbers that TOML can hold", e))
    }

    /// As a table of sections.
    ///
    /// # Errors
    /// Only if a number cannot be written in TOML.
    fn to_table(&self) -> Result<Table> {
        Table::try_from(self).map_err(|e| Error::setting("settings", "numbers that TOML can hold", e))
    }
}

/// In an `impl Settings`: the accessors of the sections `data`, `optim` and `run`, which are fields of these names.
macro_rules! shared_sections {
    () => {
        fn optim(&self) -> &$crate::config::sections::OptimConfig {
            &self.optim
        }

        fn optim_mut(&mut self) -> &mut $crate::config::sections::OptimConfig {
            &mut self.optim
        }

        fn data(&self) -> &$crate::config::sections::DataConfig {
            &self.data
        }

        fn data_mut(&mut self) -> &mut $crate::config::sections::DataConfig {
            &mut self.data
        }

        fn run(&self) -> &$crate::config::sections::RunConfig {
            &self.run
        }

        fn run_mut(&mut self) -> &mut $crate::config::sections::RunConfig {
            &mut self.run
        }
    };
}
pub(crate) use shared_sections;

/// The task that a text of settings names; pre-training, which came first, has none.
#[must_use]
pub fn task_of(text: &str) -> Option<String> {
    Some(text.parse::<Table>().ok()?.get("task")?.as_str()?.to_owned())
}

/// Gives a key of an earlier version its place of today, and says whether there was one: `finetune.val_share` became
/// `data.val_fraction` when pre-training began to hold images out, too.
pub(crate) fn modernise(table: &mut Table) -> bool {
    let section = table.get_mut("finetune").and_then(Value::as_table_mut);
    let Some(fraction) = section.and_then(|section| section.remove("val_share")) else { return false };
    let data = table.entry("data").or_insert_with(|| Table::new().into());
    data.as_table_mut().is_some_and(|data| data.insert("val_fraction".to_owned(), fraction).is_none())
}

/// A TOML error without its drawing of the source line, with the line's number or the key.
pub(crate) fn one_line(e: toml::de::Error, text: &str) -> String {
    let message = e.message().replace('\n', ", ");
    if let Some(span) = e.span() {
        let line = 1 + text.bytes().take(span.start).filter(|&b| b == b'\n').count();
        return format!("{message}, in line {line}");
    }
    let shown = e.to_string();
    match shown.lines().last().filter(|last| last.starts_with("in `")) {
        Some(place) => format!("{message}, {place}"),
        None => message,
    }
}

/// A kind of run in words.
pub(crate) fn kind(task: Option<&str>) -> String {
    match task {
        None => "pre-training as a masked autoencoder (`vit-mae pretrain --method mae`)".to_owned(),
        Some("classify") => "training for classification (`vit-mae finetune`)".to_owned(),
        Some(other) => format!("task `{other}`"),
    }
}
