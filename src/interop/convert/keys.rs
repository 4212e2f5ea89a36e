//! A JSON document of another program, asked key by key; an error names the file, the key, what it should be and what it is.

use crate::base::files::read_text_of;
use crate::base::{Error, Result};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// More than the names of any classes.
const MOST_BYTES: u64 = 16 << 20;

/// How much of a wrong value is shown.
const SHOWN: usize = 60;

/// A JSON object in a file.
pub(super) struct Keys {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Keys {
    /// Reads a file of at most a mebibyte.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = read_text_of(path, MOST_BYTES)?;
        let wrong = |found: String| Error::input(path, "content", "a JSON object", found);
        match serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))? {
            Value::Object(map) => Ok(Self { path: path.to_path_buf(), map }),
            other => Err(wrong(shown(&other))),
        }
    }

    /// Whether a key is there; `null` is as good as nothing.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A key's value as `read` takes it.
    pub(super) fn needed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let value = self.get(key).ok_or_else(|| self.wrong(key, expected, "no such key"))?;
        read(value).ok_or_else(|| self.wrong(key, expected, shown(value)))
    }

    /// As [`Keys::needed`], for a key that may be missing.
    pub(super) fn maybe<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        if self.get(key).is_none() { Ok(None) } else { self.needed(key, expected, read).map(Some) }
    }

    /// A size or a count.
    pub(super) fn whole(&self, key: &str) -> Result<usize> {
        self.needed(key, "a whole number", as_whole)
    }

    /// One number for two sides, or two numbers.
    pub(super) fn sides(&self, key: &str) -> Result<[usize; 2]> {
        self.needed(key, "one or two whole numbers", |value| match value.as_array().map(Vec::as_slice) {
            None => as_whole(value).map(|side| [side; 2]),
            Some([height, width]) => Some([as_whole(height)?, as_whole(width)?]),
            Some(_) => None,
        })
    }

    /// One number a channel, if the key is there.
    pub(super) fn floats(&self, key: &str) -> Result<Option<Vec<f32>>> {
        #[expect(clippy::cast_possible_truncation, reason = "written as f32, or rounded to it")]
        let number = |value: &Value| value.as_f64().map(|x| x as f32).filter(|x| x.is_finite());
        self.maybe(key, "a list of numbers", |value| value.as_array()?.iter().map(number).collect())
    }

    /// An error about a key.
    pub(super) fn wrong(&self, key: &str, expected: impl Into<String>, found: impl ToString) -> Error {
        Error::input(&self.path, key, expected, found)
    }
}

fn as_whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok())
}

/// The beginning of a value, as JSON.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_from_an_editor_on_windows_has_the_same_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, "\u{feff}{\r\n  \"hidden_size\": 16\r\n}\r\n").unwrap();
        assert_eq!(Keys::read(&path).unwrap().whole("hidden_size").unwrap(), 16);
        // The names of 65,536 classes.
        let long = format!("{{\"id2label\": \"{}\", \"hidden_size\": 8}}", "x".repeat(4 << 20));
        std::fs::write(&path, long).unwrap();
        assert_eq!(Keys::read(&path).unwrap().whole("hidden_size").unwrap(), 8);
    }
}
