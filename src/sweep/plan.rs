//! What an ablation varies, and what is done at each point.

use super::{Row, epochs};
use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::config::Settings;
use crate::config::keys;
use crate::config::resolve::varied;
use crate::config::settings::one_line;
use crate::tasks::transfer::{Start, Transfer};
use crate::tasks::{Classify, all_keys};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// What is no setting of a method but which one it is.
pub const METHOD: &str = "method";

/// The value of `method` that is not pre-trained at all: the same recipes judge the weights that pre-training begins with.
pub const SCRATCH: &str = "scratch";

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
    /// A setting of pre-training that is chosen for each value on validation images, and its candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tune: Option<Axis>,
    /// Each value is run with each of these.
    pub seeds: Vec<u64>,
    /// What is judged at each value.
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
    /// The tasks of fine-tuning, all different. A plan of one may call it `task`.
    #[serde(alias = "task", default = "classification", deserialize_with = "one_or_several")]
    pub tasks: Vec<String>,
    /// Fractions of the labels that both may use, ascending. A plan of one may call it `label_share`.
    #[serde(alias = "label_share", deserialize_with = "one_or_several")]
    pub labels: Vec<f64>,
    /// Epochs of fine-tuning with each fraction, `[[0.01, 40], [1.0, 3]]`; none where the recipe or `finetune` says them for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finetune_epochs: Vec<(f64, u64)>,
    /// Test pictures whose names are the same up to the last of this text are resampled together; without it each by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// Whether all checkpoints of pre-training that stay are probed, with the most labels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub curves: bool,
}

impl Axis {
    /// Reads `mask-ratio=0.1,0.5` or `section.key=value,value` as a flag gives it.
    ///
    /// # Errors
    /// If there is no such name, or not two different values.
    pub fn parse(flag: &str, text: &str) -> Result<Self> {
        let wrong = |expected: String| Error::setting(flag, expected, text);
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
        let same = |a: &Value, b: &Value| a == b || number(a).is_some() && number(a) == number(b);
        let repeated = values.iter().enumerate().any(|(i, v)| values[..i].iter().any(|w| same(v, w)));
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

/// An item or a list of them.
fn one_or_several<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given<T> {
        One(T),
        Several(Vec<T>),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(item) => vec![item],
        Given::Several(items) => items,
    })
}

/// The task of plans that name none.
fn classification() -> Vec<String> {
    vec![Classify::TRANSFER.to_owned()]
}

/// A value as a number, if it is one.
#[must_use]
pub fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64))
}

/// A number as TOML has it.
pub(super) fn whole(flag: &str, number: u64) -> Result<Value> {
    let number = i64::try_from(number).map_err(|_| Error::setting(flag, "at most 2⁶³ − 1", number));
    number.map(Value::from)
}

/// One row of the table: a value, judged by a task with a fraction of the labels, with a seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell<'a> {
    /// Of the setting that is varied.
    pub value: &'a Value,
    /// The fraction of the labels.
    pub labels: f64,
    /// The task that judges.
    pub task: &'a str,
    /// The seed.
    pub seed: u64,
    /// What the setting is that is tuned, if one is.
    pub tuned: Option<&'a Value>,
}

/// Pre-training at one value with one seed.
pub struct Point<'a> {
    /// How.
    pub method: &'a str,
    settings: &'a Table,
    flags: Vec<(String, Value)>,
}

impl Point<'_> {
    /// Whether it learns from labels: then it has no more of them than those that judge it, and is run for each fraction.
    #[must_use]
    pub fn learns_from_labels(&self) -> bool {
        self.settings.contains_key("finetune")
    }

    /// Its settings, which are the method's.
    ///
    /// # Errors
    /// If the value cannot be that of this setting.
    pub fn config<S: Settings>(&self) -> Result<S> {
        varied(self.settings.clone(), self.flags.clone())
    }
}

impl Plan {
    /// The pre-training whose run a cell is judged by. One from scratch takes of the first value's run only architecture, statistics of
    /// the images and initial weights.
    ///
    /// # Errors
    /// If there is no such method.
    pub fn point<'a>(&'a self, cell: Cell<'a>) -> Result<Point<'a>> {
        let (value, mut flags) =
            (self.pretrained(cell), vec![("run.seed".to_owned(), whole("--seeds", cell.seed)?)]);
        let method = if self.vary.key == METHOD {
            value.as_str().unwrap_or_default()
        } else {
            flags.push((self.vary.key.clone(), value.clone()));
            self.pretrain.keys().next().map_or("", String::as_str)
        };
        if let (Some(axis), Some(tuned)) = (&self.tune, cell.tuned) {
            flags.push((axis.key.clone(), tuned.clone()));
        }
        let own = self.pretrain.get(&Self::name_at(method, cell.labels));
        let settings = own.or_else(|| self.pretrain.get(method));
        let missing = || Error::setting(format!("pretrain.{method}"), "the settings of this method", "none");
        let settings = settings.ok_or_else(missing)?;
        let mut point = Point { method, settings, flags };
        if point.learns_from_labels() {
            point.flags.push(("finetune.label_share".to_owned(), cell.labels.into()));
        }
        Ok(point)
    }

    /// The name of a method's settings that are those of one fraction of the labels alone.
    #[must_use]
    pub fn name_at(method: &str, labels: f64) -> String {
        format!("{method}, labels {labels}")
    }

    /// The value whose run a cell is judged by: its own, or for one from scratch the first that is pre-trained.
    #[must_use]
    pub fn pretrained<'a>(&'a self, cell: Cell<'a>) -> &'a Value {
        let first = || self.vary.values.iter().find(|value| !self.is_scratch(value));
        Some(cell.value).filter(|value| !self.is_scratch(value)).or_else(first).unwrap_or(cell.value)
    }

    /// Whether a value is not pre-trained.
    #[must_use]
    pub fn is_scratch(&self, value: &Value) -> bool {
        self.vary.key == METHOD && value.as_str() == Some(SCRATCH)
    }

    /// The row of a cell, of which nothing is measured yet; one from scratch has nothing that is tuned.
    #[must_use]
    pub fn row(&self, cell: Cell<'_>) -> Row {
        let Cell { value, labels, task, seed, tuned } = cell;
        let tuned = tuned.filter(|_| !self.is_scratch(value)).map(Axis::label);
        Row { tuned, ..Row::of(&Axis::label(value), task, labels, seed) }
    }

    /// The settings of fine-tuning from a start.
    ///
    /// # Errors
    /// If they cannot work.
    pub fn finetuning<T: Transfer>(&self, recipe: &str, start: &Start, cell: Cell<'_>) -> Result<T::Config> {
        let mut flags = self.finetune.clone();
        if self.judge.tasks.len() > 1 {
            // A setting that only others have is theirs alone.
            let (all, own) = (all_keys(), keys::<T::Config>());
            flags.retain(|(key, _)| own.contains(key) || !all.contains(key));
        }
        flags.push(("run.seed".to_owned(), whole("--seeds", cell.seed)?));
        flags.push(("finetune.label_share".to_owned(), cell.labels.into()));
        if let Some(epochs) = epochs::at(&self.judge.finetune_epochs, cell.labels) {
            flags.push(("optim.epochs".to_owned(), whole("--finetune-epochs", epochs)?));
        }
        Ok(T::layered(recipe, (start.given()?, ""), None, &flags.into())?.config)
    }

    /// Seed by seed, so that a whole table is there early; then value by value, and each at one fraction of the labels after the other,
    /// by one task after the other.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        let by = move |seed, value, labels| {
            self.judge.tasks.iter().map(move |task| Cell { value, labels, task, seed, tuned: None })
        };
        let at = move |seed, value| self.judge.labels.iter().flat_map(move |&labels| by(seed, value, labels));
        self.seeds
            .iter()
            .flat_map(move |&seed| self.vary.values.iter().flat_map(move |value| at(seed, value)))
    }

    /// The rows that choose what is tuned: of each value that is pre-trained every candidate, with the first seed and the most labels, by
    /// the first task.
    pub fn trials(&self) -> impl Iterator<Item = Cell<'_>> {
        let candidates = || self.tune.iter().flat_map(|axis| &axis.values);
        let (seed, labels) = (self.seeds.first(), self.judge.labels.last());
        let place = seed.zip(labels).zip(self.judge.tasks.first().map(String::as_str));
        self.vary.values.iter().filter(|value| !self.is_scratch(value)).flat_map(move |value| {
            let at = move |((&seed, &labels), task)| {
                candidates().map(move |tuned| Cell { value, labels, task, seed, tuned: Some(tuned) })
            };
            place.into_iter().flat_map(at)
        })
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// If the file cannot be read or holds no plan.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let wrong = |e| Error::input(path, "plan", "an ablation's settings", one_line(e, &text));
        let plan: Self = toml::from_str(&text).map_err(wrong)?;
        let (values, labels) = (plan.vary.values.len(), plan.judge.labels.len());
        let (seeds, tasks) = (plan.seeds.len(), plan.judge.tasks.len());
        let lists =
            [("seeds", seeds), ("vary.values", values), ("judge.labels", labels), ("judge.tasks", tasks)];
        match lists.into_iter().find(|(_, items)| *items == 0) {
            Some((name, items)) => Err(Error::input(path, name, "at least one", items)),
            None => Ok(plan),
        }
    }

    /// As TOML.
    ///
    /// # Errors
    /// Only if a number cannot be written in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::setting("settings", "numbers that TOML can hold", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_read_by_name_and_by_key() {
        let axis = Axis::parse("--vary", "mask-ratio=0.5, 0.75").unwrap();
        assert_eq!((axis.key.as_str(), axis.values.len()), ("mask.mask_ratio", 2));
        assert_eq!(axis.values[0], Value::from(0.5));
        let axis = Axis::parse("--vary", "mask.strategy=random,grid").unwrap();
        assert_eq!(axis.values[1], Value::from("grid"));
        for wrong in ["mask-ratio", "mask-ratio=0.5", "mask-ratio=0.5,0.5", "epochs=1,1.0", "ratio=1,2"] {
            assert!(Axis::parse("--vary", wrong).is_err(), "{wrong}");
        }
    }
}
