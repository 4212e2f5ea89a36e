//! Reading a recording's metadata: every value by its path, with an error that names it.

use super::recording::Recording;
use crate::base::{Error, Result};
use crate::models::vit::VitConfig;
use serde_json::Value;

/// Far above every size that makes sense; keeps a slip in the metadata from becoming an overflow.
const MOST: u64 = 1 << 32;

/// `key` is a path such as `config.embed_dim`.
impl<F> Recording<F> {
    /// An error about the metadata.
    pub(super) fn wrong(&self, key: &str, expected: impl Into<String>, found: impl ToString) -> Error {
        Error::input(&self.path, format!("metadata {key}"), expected, found)
    }

    /// An error about a tensor.
    pub(super) fn wrong_tensor(&self, key: &str, expected: impl Into<String>, found: impl ToString) -> Error {
        Error::input(&self.path, key, expected, found)
    }

    /// A value, if it is there.
    pub(super) fn find(&self, key: &str) -> Option<&Value> {
        key.split('.').try_fold(&self.meta, |value, part| value.get(part))
    }

    fn value<'a, T>(&'a self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<T> {
        let value = self.find(key).ok_or_else(|| self.wrong(key, expected, "none"))?;
        read(value).ok_or_else(|| self.wrong(key, expected, value))
    }

    pub(super) fn text(&self, key: &str) -> Result<String> {
        self.value(key, "text", |v| v.as_str().map(str::to_owned))
    }

    pub(super) fn number(&self, key: &str) -> Result<f64> {
        self.value(key, "a finite number", |v| v.as_f64().filter(|x| x.is_finite()))
    }

    pub(super) fn whole(&self, key: &str) -> Result<usize> {
        self.value(key, "a whole number", whole)
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool> {
        self.value(key, "true or false", Value::as_bool)
    }

    pub(super) fn list(&self, key: &str) -> Result<&[Value]> {
        self.value(key, "a list", |v| v.as_array().map(Vec::as_slice))
    }

    pub(super) fn wholes(&self, key: &str) -> Result<Vec<usize>> {
        self.value(key, "a list of whole numbers", |v| v.as_array()?.iter().map(whole).collect())
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Vec<f64>> {
        self.value(key, "a list of numbers", |v| v.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// A setting of which this program knows one value.
    pub(super) fn only(&self, key: &str, ours: &Value) -> Result<()> {
        let found = self.find(key).unwrap_or(&Value::Null);
        if found == ours { Ok(()) } else { Err(self.wrong(key, ours.to_string(), found)) }
    }

    /// A number or a pair of numbers: `img_size: 32` or `[32, 48]`.
    pub(super) fn pair(&self, key: &str) -> Result<[usize; 2]> {
        self.value(key, "a whole number or two", |v| match v.as_array() {
            Some(pair) => Some([whole(pair.first()?)?, whole(pair.get(1)?)?]).filter(|_| pair.len() == 2),
            None => whole(v).map(|side| [side; 2]),
        })
    }

    /// The trunk's architecture.
    pub(super) fn vit(&self) -> Result<VitConfig> {
        let whole = |key: &str| self.whole(&format!("config.{key}"));
        Ok(VitConfig {
            img_size: self.pair("config.img_size")?,
            in_chans: whole("in_chans")?,
            patch_size: whole("patch_size")?,
            embed_dim: whole("embed_dim")?,
            depth: whole("depth")?,
            num_heads: whole("num_heads")?,
            mlp_ratio: self.number("config.mlp_ratio")?,
            layer_norm_eps: self.number("config.layer_norm_eps")?,
        })
    }
}

/// A number that may be a size.
pub(super) fn whole(value: &Value) -> Option<usize> {
    value.as_u64().filter(|&n| n <= MOST).and_then(|n| usize::try_from(n).ok())
}
