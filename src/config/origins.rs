//! Resolved settings, and of each where it came from.

use crate::base::Result;
use crate::config::settings::Settings;
use std::collections::BTreeMap;
use std::fmt::Write;
use toml::{Table, Value};

/// Where values came from, by their full key.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, String>);

/// Settings and their origins.
#[derive(Clone, Debug)]
pub struct Resolved<S> {
    /// The settings.
    pub config: S,
    /// Where each came from.
    pub origins: Origins,
}

impl Origins {
    /// A value's origin. What no layer speaks of has a default.
    #[must_use]
    pub fn of(&self, key: &str) -> &str {
        // `augment.rand_augment.ops` may have come with `augment.rand_augment` as a whole.
        let mut prefix = key;
        loop {
            match (self.0.get(prefix), prefix.rsplit_once('.')) {
                (Some(origin), _) => return origin,
                (None, Some((shorter, _))) => prefix = shorter,
                (None, None) => return "default",
            }
        }
    }

    /// Puts down where the value of a key came from, parts of it included.
    pub fn set(&mut self, key: &str, origin: &str) {
        let inside = format!("{key}.");
        self.0.retain(|known, _| !known.starts_with(&inside));
        self.0.insert(key.to_owned(), origin.to_owned());
    }

    /// The same for every value in a table.
    pub(crate) fn set_all(&mut self, table: &Table, origin: &str) {
        self.set_below("", table, origin);
    }

    fn set_below(&mut self, section: &str, table: &Table, origin: &str) {
        for (key, value) in table {
            let key = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            match value {
                Value::Table(inner) => self.set_below(&key, inner, origin),
                _ => self.set(&key, origin),
            }
        }
    }
}

impl<S: Settings> Resolved<S> {
    /// The settings as TOML, each with its origin as a comment.
    ///
    /// # Errors
    /// Only if a number cannot be written in TOML.
    pub fn to_toml(&self) -> Result<String> {
        let text = self.config.to_toml()?;
        let width = text.lines().filter(|line| line.contains(" = ")).map(|line| line.chars().count()).max();
        let width = width.unwrap_or(0).min(WIDEST);
        let (mut section, mut commented) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = format!("{name}.");
            }
            let _ = match line.split_once(" = ") {
                Some((key, _)) => {
                    let origin = self.origins.of(&format!("{section}{key}"));
                    writeln!(commented, "{line:<width$}  # {origin}")
                }
                None => writeln!(commented, "{line}"),
            };
        }
        Ok(commented)
    }
}

/// Comments start at this column at the latest, except behind longer lines.
const WIDEST: usize = 44;
