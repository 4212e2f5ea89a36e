//! What an ablation varies, and what is done at each point.

use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::config::Settings;
use crate::config::resolve::varied;
use crate::tasks::Classify;
use crate::tasks::finetuning::{WithTransfer, with_transfer};
use crate::tasks::pretraining::{Method, WithMethod, with_method};
use crate::tasks::transfer::{Start, Transfer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// What is no setting of a method but which one it is.
pub const METHOD: &str = "method";

/// Names for the settings that are varied most, as the flags of `pretrain` have them.
const NAMES: [(&str, &str); 7] = [
    ("method", METHOD),
    ("mask-ratio", "mask.mask_ratio"),
    ("mask-strategy", "mask.strategy"),
    ("decoder-depth", "model.decoder_depth"),
    ("decoder-width", "model.decoder_embed_dim"),
    ("norm-pix", "model.norm_pix_loss"),
    ("epochs", "optim.epochs"),
];

/// The settings of an ablation; `ablation.toml` in its folder is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The setting of pre-training that is varied.
    pub vary: Axis,
    /// Each point is run with each of these.
    pub seeds: Vec<u64>,
    /// What is judged at each point.
    pub judge: EvalPlan,
    /// Settings of pre-training, but for what is varied: of each method that is tried.
    pub pretrain: BTreeMap<String, Table>,
    /// Overrides of the fine-tuning recipe, by key.
    pub finetune: Vec<(String, Value)>,
}

/// A setting and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// As the user says it: `mask-ratio`.
    pub name: String,
    /// `section.key`.
    pub key: String,
    /// In the order of the figure: numbers ascending.
    pub values: Vec<Value>,
}

/// How a pre-trained encoder is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalPlan {
    /// By a linear probe and by its nearest neighbours.
    pub probe: bool,
    /// By fine-tuning with this recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finetune: Option<String>,
    /// The task of fine-tuning.
    #[serde(default = "classification")]
    pub task: String,
    /// Fraction of the labels that both may use.
    pub label_share: f64,
}

impl Axis {
    /// Reads `mask-ratio=0.1,0.5` or `section.key=value,value`.
    ///
    /// # Errors
    /// If there is no such name, or not two different values.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |expected: String| Error::setting("--vary", expected, text);
        let example = || wrong("a setting and its values, for example mask-ratio=0.25,0.5,0.75".to_owned());
        let (name, values) = text.split_once('=').ok_or_else(example)?;
        let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, key)| *key);
        let key = named.or(name.contains('.').then_some(name)).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            wrong(format!("one of {}, or section.key", names.join(", ")))
        })?;
        let value = |text: &str| text.parse().unwrap_or_else(|_| Value::from(text));
        let mut values: Vec<Value> = values.split(',').map(|text| value(text.trim())).collect();
        if values.iter().all(|value| number(value).is_some()) {
            values.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
        }
        let repeated = values.iter().enumerate().any(|(i, v)| values[..i].contains(v));
        if values.len() < 2 || repeated {
            return Err(wrong("at least two values, all different".to_owned()));
        }
        Ok(Self { name: name.to_owned(), key: key.to_owned(), values })
    }

    /// A value as it stands in tables and names of folders.
    #[must_use]
    pub fn label(value: &Value) -> String {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }
}

/// The task of plans that name none.
fn classification() -> String {
    Classify::TRANSFER.to_owned()
}

/// A value as a number, if it is one.
#[must_use]
pub fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64))
}

/// A seed as TOML has it.
fn whole(seed: u64) -> Result<Value> {
    let seed = i64::try_from(seed).map_err(|_| Error::setting("--seeds", "at most 2⁶³ − 1", seed));
    seed.map(Value::from)
}

/// Pre-training at one value with one seed.
pub struct Point<'a> {
    /// How.
    pub method: &'a str,
    settings: &'a Table,
    flags: Vec<(String, Value)>,
}

impl Point<'_> {
    /// Its settings, which are the method's.
    ///
    /// # Errors
    /// If the value cannot be that of this setting.
    pub fn config<S: Settings>(&self) -> Result<S> {
        varied(self.settings.clone(), self.flags.clone())
    }
}

impl Plan {
    /// One value with one seed.
    ///
    /// # Errors
    /// If there is no such method.
    pub fn point<'a>(&'a self, value: &'a Value, seed: u64) -> Result<Point<'a>> {
        let mut flags = vec![("run.seed".to_owned(), whole(seed)?)];
        let method = if self.vary.key == METHOD {
            value.as_str().unwrap_or_default()
        } else {
            flags.push((self.vary.key.clone(), value.clone()));
            self.pretrain.keys().next().map_or("", String::as_str)
        };
        let settings = self.pretrain.get(method);
        let settings = settings.ok_or_else(|| Error::setting("--vary", "methods of pre-training", value))?;
        if settings.contains_key("finetune") {
            // It learns from labels, so it has no more of them than those that judge it.
            flags.push(("finetune.label_share".to_owned(), self.judge.label_share.into()));
        }
        Ok(Point { method, settings, flags })
    }

    /// Checks every point, so that none fails after hours for a reason that could have been known.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn check(&self) -> Result<()> {
        let share = self.judge.label_share;
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::setting("--labels", "more than 0, at most 1", share));
        }
        for (value, seed) in self.points() {
            let point = self.point(value, seed)?;
            with_method(point.method, Checking { plan: self, point, seed })?;
        }
        Ok(())
    }

    /// The settings of fine-tuning from a start.
    ///
    /// # Errors
    /// If they cannot work.
    pub fn finetuning<T: Transfer>(&self, recipe: &str, start: &Start, seed: u64) -> Result<T::Config> {
        let mut flags = self.finetune.clone();
        flags.push(("run.seed".to_owned(), whole(seed)?));
        flags.push(("finetune.label_share".to_owned(), self.judge.label_share.into()));
        Ok(T::layered(recipe, (start.given()?, ""), None, &flags.into())?.config)
    }

    /// Value by value, seed by seed.
    pub fn points(&self) -> impl Iterator<Item = (&Value, u64)> {
        self.vary.values.iter().flat_map(|value| self.seeds.iter().map(move |&seed| (value, seed)))
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// If the file cannot be read or holds no plan.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let wrong = |e: toml::de::Error| Error::input(path, "plan", "an ablation's settings", e.message());
        let plan: Self = toml::from_str(&text).map_err(wrong)?;
        plan.check()?;
        Ok(plan)
    }

    /// As TOML.
    ///
    /// # Errors
    /// Only if a number cannot be written in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::setting("settings", "numbers that TOML can hold", e))
    }
}

/// A point whose settings are looked at before anything runs.
struct Checking<'a> {
    plan: &'a Plan,
    point: Point<'a>,
    seed: u64,
}

impl WithMethod for Checking<'_> {
    type Output = ();

    fn run<M: Method>(self) -> Result<()> {
        let config: M::Config = self.point.config()?;
        config.run().engine()?;
        if let Some(recipe) = &self.plan.judge.finetune {
            let (plan, start, seed) = (self.plan, Start::scratch(&config), self.seed);
            with_transfer(&plan.judge.task, CheckingTransfer { plan, recipe, start, seed })?;
        }
        Ok(())
    }
}

/// What follows it, looked at before anything runs.
struct CheckingTransfer<'a> {
    plan: &'a Plan,
    recipe: &'a str,
    start: Start,
    seed: u64,
}

impl WithTransfer for CheckingTransfer<'_> {
    type Output = ();

    fn run<T: Transfer>(self) -> Result<()> {
        self.plan.finetuning::<T>(self.recipe, &self.start, self.seed).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_read_by_name_and_by_key() {
        let axis = Axis::parse("mask-ratio=0.5, 0.75").unwrap();
        assert_eq!((axis.key.as_str(), axis.values.len()), ("mask.mask_ratio", 2));
        assert_eq!(axis.values[0], Value::from(0.5));
        let axis = Axis::parse("mask.strategy=random,grid").unwrap();
        assert_eq!(axis.values[1], Value::from("grid"));
        for wrong in ["mask-ratio", "mask-ratio=0.5", "mask-ratio=0.5,0.5", "ratio=1,2"] {
            assert!(Axis::parse(wrong).is_err(), "{wrong}");
        }
    }
}
