//! What is laid over a file of settings, in this order: the environment (`VIT_MAE_OPTIM__EPOCHS=3` is `optim.epochs = 3`),
//! then flags.

use crate::base::{Error, Result};
use crate::exec::kernel;
use std::ffi::OsString;
use toml::Value;

/// How every variable of this program begins.
const PREFIX: &str = "VIT_MAE_";

/// A variable of the environment that gives a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// `VIT_MAE_OPTIM__EPOCHS`.
    pub name: String,
    /// `optim.epochs`.
    pub key: String,
    /// What it holds: TOML, or plain text for a setting that is one.
    pub text: String,
}

/// Settings beside preset and file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The environment's.
    pub environment: Vec<Variable>,
    /// The command line's: `section.key` and value; of two with one key the later counts.
    pub flags: Vec<(String, Value)>,
}

impl From<Vec<(String, Value)>> for Overrides {
    fn from(flags: Vec<(String, Value)>) -> Self {
        Self { environment: Vec::new(), flags }
    }
}

impl Overrides {
    /// Flags, over the settings in `environment`; `known` are the keys of every command's settings.
    ///
    /// # Errors
    /// As [`variables`].
    pub fn new(
        environment: impl Iterator<Item = (OsString, OsString)>,
        flags: Vec<(String, Value)>,
        known: &[String],
    ) -> Result<Self> {
        Ok(Self { environment: variables(environment, known)?, flags })
    }

    /// An error about a setting that a variable gave, and no flag after it, names the variable, too.
    #[must_use]
    pub fn name_variable(&self, error: Error) -> Error {
        match error {
            Error::Setting { key, expected, found } if self.flags.iter().all(|(flag, _)| *flag != key) => {
                let variable = self.environment.iter().find(|variable| variable.key == key);
                let key = variable.map_or(key, |v| format!("{} ({})", v.name, v.key));
                Error::Setting { key, expected, found }
            }
            other => other,
        }
    }
}

/// The settings among the variables of an environment, in the order of their names. Empty ones count as not set. A
/// setting that some command has is none of another's mistakes: commands take those that they know.
///
/// # Errors
/// A variable that begins as this program's do and is none that any command knows, or whose value is not UTF-8.
pub fn variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
    known: &[String],
) -> Result<Vec<Variable>> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX) && *name != kernel::VARIABLE)
        else {
            continue;
        };
        let Some(key) = known.iter().find(|key| variable_name(key) == name) else {
            let expected =
                format!("a setting as {PREFIX}SECTION__KEY; the nearest is {}", nearest(name, known));
            return Err(Error::setting(name, expected, "an unknown name"));
        };
        let text = value.to_str().ok_or_else(|| Error::setting(name, "text in UTF-8", value.display()))?;
        if !text.is_empty() {
            found.push(Variable { name: name.to_owned(), key: key.clone(), text: text.to_owned() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// `optim.epochs` → `VIT_MAE_OPTIM__EPOCHS`.
fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replacen('.', "__", 1).to_ascii_uppercase())
}

/// The name that is most like a mistyped one.
fn nearest(name: &str, known: &[String]) -> String {
    let names = known.iter().map(|key| variable_name(key)).chain([kernel::VARIABLE.to_owned()]);
    let likeness = |candidate: &String| strsim::normalized_damerau_levenshtein(name, candidate);
    names.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

impl Variable {
    /// The value of a setting that is a text: with or without TOML's quotes.
    #[must_use]
    pub fn plain(&self) -> String {
        let quoted: Option<Value> = self.text.parse().ok();
        quoted.as_ref().and_then(Value::as_str).unwrap_or(&self.text).to_owned()
    }

    /// Values to try: what the text is in TOML, and the text as it is.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        let plain = Value::from(self.text.as_str());
        self.text.parse().ok().into_iter().chain([plain])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Vec<Variable>> {
        let known = [
            "run.checkpoint_every_steps",
            "finetune.layer_decay",
            "optim.blr",
            "optim.epochs",
            "mask.mask_ratio",
        ];
        variables(pairs.iter().map(|(name, value)| (name.into(), value.into())), &known.map(str::to_owned))
    }

    #[test]
    fn a_variable_names_its_setting_and_foreign_ones_are_left_alone() {
        let found = read(&[
            ("VIT_MAE_RUN__CHECKPOINT_EVERY_STEPS", "5"),
            ("VIT_MAE_FINETUNE__LAYER_DECAY", "0.5"),
            ("VIT_MAE_OPTIM__BLR", ""),
            ("VIT_MAE_SIMD", "scalar"),
            ("PATH", "/bin"),
        ]);
        let found: Vec<_> = found.unwrap().into_iter().map(|v| (v.key, v.text)).collect();
        let expected = [("finetune.layer_decay", "0.5"), ("run.checkpoint_every_steps", "5")];
        assert_eq!(found, expected.map(|(key, text)| (key.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_mistyped_name_is_refused_with_the_nearest() {
        for (wrong, nearest) in [
            ("VIT_MAE_OPTIM__EPOCH", "VIT_MAE_OPTIM__EPOCHS"),
            ("VIT_MAE_OPTIM_EPOCHS", "VIT_MAE_OPTIM__EPOCHS"),
            ("VIT_MAE_optim__epochs", "VIT_MAE_"),
            ("VIT_MAE_MASK__RATIO", "VIT_MAE_MASK__MASK_RATIO"),
            ("VIT_MAE_SIMDS", "VIT_MAE_SIMD"),
            ("VIT_MAE_", "VIT_MAE_"),
        ] {
            let message = read(&[(wrong, "3")]).unwrap_err().to_string();
            assert!(
                message.starts_with(wrong) && message.contains(&format!("nearest is {nearest}")),
                "{message}"
            );
        }
    }
}
