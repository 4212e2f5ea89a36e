//! What a run's log says: a step, an epoch, what was skipped, changed or measured.

use crate::checkpoint::{Named, OfNull};
use serde::{Deserialize, Deserializer, Serialize};

pub use crate::checkpoint::{Change, EpochRecord};

/// One logged optimiser step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimiser steps done.
    pub step: u64,
    /// Epochs done, with the fraction of the current one.
    pub epoch: f64,
    /// Loss of this step's batch.
    pub loss: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Norm of the whole gradient before clipping.
    #[serde(deserialize_with = "null_is_nan")]
    pub grad_norm: f64,
    /// Training images per second of this step.
    #[serde(deserialize_with = "null_is_nan")]
    pub images_per_s: f64,
    /// What else the task measures in a step, as it names it.
    #[serde(flatten)]
    pub values: Named,
    /// Digest of the weights after this step, every `run.digest_every_steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_digest: Option<String>,
    /// Hash of this and all records before it, where there is a digest; see [`super::chain::Chain`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
}

/// A step that changed nothing, because its loss or gradient was not finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedRecord {
    /// Optimiser steps done, this one counted.
    pub step: u64,
    /// What was not finite.
    pub tensor: String,
}

/// What was measured on the validation images after an epoch, in more detail than the epoch's scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// Optimiser steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u64,
    /// How many images there are.
    pub images: u64,
    /// What else is measured, as the task names it.
    #[serde(flatten)]
    pub values: Named<Measured>,
}

/// A measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measured {
    /// One number.
    Number(f64),
    /// One number a class; `null` for a class without images.
    PerClass(Vec<Option<f64>>),
}

impl OfNull for Measured {
    fn of_null() -> Self {
        Self::Number(f64::NAN)
    }
}

impl Measured {
    /// The numbers, NaN for a class without images.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Number(number) => vec![*number],
            Self::PerClass(numbers) => numbers.iter().map(|number| number.unwrap_or(f64::NAN)).collect(),
        }
    }
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// `{"kind":"step",…}`
    Step(StepRecord),
    /// `{"kind":"epoch",…}`
    Epoch(EpochRecord),
    /// `{"kind":"skipped",…}`
    Skipped(SkippedRecord),
    /// `{"kind":"change",…}`: a setting that was changed when the run was resumed.
    Change(Change),
    /// `{"kind":"validation",…}`, before the line of its epoch.
    Validation(ValidationRecord),
}

impl Record {
    /// Optimiser steps done when this was logged.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(r) => r.step,
            Self::Epoch(r) => r.step,
            Self::Skipped(r) => r.step,
            Self::Change(r) => r.step,
            Self::Validation(r) => r.step,
        }
    }
}

/// JSON has no word for a number that is not finite; it is written as `null`.
fn null_is_nan<'de, D: Deserializer<'de>>(value: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_else(f64::of_null))
}
