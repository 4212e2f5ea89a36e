//! Settings in layers: preset < file < environment < flags, each checked as it is laid on, so that an error names its own.

use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::config::keys::keys;
use crate::config::origins::{Origins, Resolved};
use crate::config::overrides::{Overrides, Variable};
use crate::config::settings::{Settings, kind, modernise, one_line};
use std::marker::PhantomData;
use std::path::Path;
use toml::{Table, Value};

/// The origin of what the command line says.
const FLAG: &str = "flag";

/// The settings of a run with a file, the environment and flags laid on top, as when it is resumed.
///
/// # Errors
/// An unknown key, a value of the wrong type, a file that is not TOML, or settings that cannot work together;
/// the error names the file, the variable or the flag.
pub fn changed<S: Settings>(run: &S, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<S>> {
    Layers::over(run.to_table()?).resolve(file, overrides)
}

/// Settings as a table with some of them changed, for another run: unlike in a run that is under way, warm-up keeps its
/// fraction of the epochs.
///
/// # Errors
/// An unknown key, a value of the wrong type, or settings that cannot work together.
pub fn varied<S: Settings>(settings: Table, flags: Vec<(String, Value)>) -> Result<S> {
    let layers = Layers::new(settings, "");
    // Before a flag is blamed for what was there before it.
    layers
        .config()
        .map_err(|e| Error::setting("settings", "all of them, with fitting values", one_line(e, "")))?;
    Ok(layers.resolve(None, &flags.into())?.config)
}

/// Settings that grow layer by layer.
pub(crate) struct Layers<S> {
    table: Table,
    origins: Origins,
    /// Whether a layer that changes only the epochs changes warm-up with them. Not in a run that is under way:
    /// its warm-up may be over.
    scale_warmup: bool,
    settings: PhantomData<S>,
}

impl<S: Settings> Layers<S> {
    /// The lowest layer, which comes from `origin`.
    pub(crate) fn new(table: Table, origin: &str) -> Self {
        let mut origins = Origins::default();
        origins.set_all(&table, origin);
        Self { table, origins, scale_warmup: true, settings: PhantomData }
    }

    /// The settings of a run that is under way as the lowest layer.
    pub(crate) fn over(table: Table) -> Self {
        Self { scale_warmup: false, ..Self::new(table, "the run until here") }
    }

    /// Lays parts of sections on top that are known to be right.
    pub(crate) fn lay(mut self, given: Table, origin: &str) -> Self {
        self.origins.set_all(&given, origin);
        merge(&mut self.table, given);
        self
    }

    /// Lays a file, the environment and flags on top, and checks the whole.
    pub(crate) fn resolve(mut self, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<S>> {
        if let Some(path) = file {
            self.lay_file(path)?;
        }
        self.lay_environment(&overrides.environment)?;
        self.lay_flags(&overrides.flags)?;
        let config = self.config();
        let config = config.map_err(|e| Error::setting("settings", "all of them", one_line(e, "")))?;
        config.validate().map_err(|error| overrides.name_variable(error))?;
        Ok(Resolved { config, origins: self.origins })
    }

    /// Lays a file on top.
    fn lay_file(&mut self, path: &Path) -> Result<()> {
        let text = read_text(path)?;
        let wrong = |e: toml::de::Error| {
            Error::input(path, "settings", "known keys with fitting values, in TOML", one_line(e, &text))
        };
        let mut file: Table = text.parse().map_err(wrong)?;
        let task = file.get("task").map(|task| task.as_str().unwrap_or_default());
        if task.is_some() && task != S::TASK {
            return Err(Error::input(path, "task", kind(S::TASK), kind(task)));
        }
        modernise(&mut file);
        let before = self.clone_optim();
        merge(&mut self.table, file.clone());
        self.config().map_err(wrong)?;
        // A comment has one line.
        let origin = format!("file {}", path.display().to_string().escape_debug());
        self.origins.set_all(&file, &origin);
        self.keep_warmup_share(before.as_ref(), &origin, |key| {
            file.get("optim").and_then(Value::as_table).is_some_and(|t| t.contains_key(key))
        });
        Ok(())
    }

    /// Lays those variables on top whose settings these settings have.
    fn lay_environment(&mut self, variables: &[Variable]) -> Result<()> {
        let (before, known) = (self.clone_optim(), keys::<S>());
        let own: Vec<&Variable> = variables.iter().filter(|variable| known.contains(&variable.key)).collect();
        for variable in &own {
            self.lay_variable(variable)?;
            self.origins.set(&variable.key, &format!("environment {}", variable.name));
        }
        let epochs = own.iter().find(|variable| variable.key == "optim.epochs");
        let origin = epochs.map_or(String::new(), |variable| format!("environment {}", variable.name));
        self.keep_warmup_share(before.as_ref(), &origin, |key| {
            own.iter().any(|variable| variable.key.strip_prefix("optim.") == Some(key))
        });
        Ok(())
    }

    /// A variable's text is TOML. What is not, or is of a type that the setting cannot have, is plain text.
    fn lay_variable(&mut self, variable: &Variable) -> Result<()> {
        let (before, mut first) = (self.table.clone(), None);
        for value in variable.values() {
            self.set(&variable.key, value)?;
            match self.config() {
                Ok(_) => return Ok(()),
                Err(error) => first = first.or(Some(error)),
            }
            self.table = before.clone();
        }
        let why = first.map_or(String::new(), |error| one_line(error, ""));
        let found = format!("{} ({why})", variable.text);
        Err(Error::setting(&variable.name, format!("a value that fits {}", variable.key), found))
    }

    /// Lays `(section.key, value)` on top.
    fn lay_flags(&mut self, flags: &[(String, Value)]) -> Result<()> {
        let before = self.clone_optim();
        for (key, value) in flags {
            self.set(key, value.clone())?;
            self.config().map_err(|e| {
                let found = format!("{value} ({})", one_line(e, ""));
                Error::setting(key, "a known key with a fitting value", found)
            })?;
            self.origins.set(key, FLAG);
        }
        self.keep_warmup_share(before.as_ref(), FLAG, |key| {
            flags.iter().any(|(flag, _)| flag.strip_prefix("optim.") == Some(key))
        });
        Ok(())
    }

    /// All of them together; ranges are not checked yet.
    fn config(&self) -> std::result::Result<S, toml::de::Error> {
        self.table.clone().try_into()
    }

    fn set(&mut self, key: &str, value: Value) -> Result<()> {
        let sections: Vec<&str> = self.table.keys().map(String::as_str).collect();
        let expected =
            format!("section.key of what is trained here, with a section of {}", sections.join(", "));
        let unknown = |found: &str| Error::setting(key, &expected, found);
        let (section, name) = key.split_once('.').ok_or_else(|| unknown("no section"))?;
        let unknown = unknown(&format!("section `{section}`"));
        let section = self.table.get_mut(section).and_then(Value::as_table_mut).ok_or(unknown)?;
        section.insert(name.to_owned(), value);
        Ok(())
    }

    fn clone_optim(&self) -> Option<Table> {
        self.table.get("optim").and_then(Value::as_table).cloned()
    }

    /// A layer that changes the number of epochs and does not speak of warm-up keeps warm-up's fraction.
    fn keep_warmup_share(&mut self, before: Option<&Table>, origin: &str, sets: impl Fn(&str) -> bool) {
        if !self.scale_warmup || !sets("epochs") || sets("warmup_epochs") {
            return;
        }
        let Some(before) = before else { return };
        let Some(optim) = self.table.get_mut("optim").and_then(Value::as_table_mut) else { return };
        let numbers = (number(before, "warmup_epochs"), number(before, "epochs"), number(optim, "epochs"));
        if let (Some(warmup), Some(old), Some(new)) = numbers
            && old > 0.0
        {
            optim.insert("warmup_epochs".to_owned(), (warmup * new / old).into());
            self.origins.set("optim.warmup_epochs", &format!("{origin}, with optim.epochs"));
        }
    }
}

fn number(table: &Table, key: &str) -> Option<f64> {
    let value = table.get(key)?;
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64))
}

/// Lays `over` on top of `base`, table by table.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
