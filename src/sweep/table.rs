//! The points of an ablation as numbers: one row a run, means and standard deviations over the seeds.

use super::plan::Axis;
use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::tasks::finetuning::TRANSFERS;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What one pre-training run was worth with a fraction of the labels; `row.json` in its folder is this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The value of the setting that is varied.
    pub value: String,
    /// Fraction of the labels that it was judged with.
    #[serde(default)]
    pub labels: f64,
    /// The seed.
    pub seed: u64,
    /// Loss on held-out images after pre-training; losses at different mask ratios cannot be compared.
    pub pretrain_loss: Option<f64>,
    /// Accuracy of a linear probe.
    pub probe: Option<f64>,
    /// Accuracy of the nearest neighbours' vote.
    pub knn: Option<f64>,
    /// The task's score after fine-tuning.
    pub finetune: Option<f64>,
    /// Seconds of pre-training.
    pub pretrain_secs: f64,
    /// Seconds of fine-tuning.
    pub finetune_secs: Option<f64>,
    /// What the setting was that is tuned, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<String>,
    /// The score on validation images of what judges: of fine-tuning, or else of the probe. It chose the epoch, and may choose what is
    /// tuned, so it flatters.
    #[serde(default)]
    pub validation: Option<f64>,
}

impl Row {
    /// One of which nothing is measured yet.
    #[must_use]
    pub fn of(value: &str, labels: f64, seed: u64) -> Self {
        Self {
            value: value.to_owned(),
            labels,
            seed,
            pretrain_loss: None,
            probe: None,
            knn: None,
            finetune: None,
            pretrain_secs: 0.0,
            finetune_secs: None,
            tuned: None,
            validation: None,
        }
    }
}

/// A column that the figure shows.
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// Its value in a row.
    pub of: fn(&Row) -> Option<f64>,
}

impl Column {
    /// What the column's figures are, where runs were fine-tuned for a task.
    #[must_use]
    pub fn measure(&self, task: &str) -> &'static str {
        let task = TRANSFERS.iter().find(|listed| listed.name == task).filter(|_| self.name == FINETUNING);
        task.map_or("accuracy", |listed| listed.score)
    }
}

/// The column that the task of fine-tuning gives its measure.
const FINETUNING: &str = "fine-tuning";

/// The scores.
pub const COLUMNS: [Column; 3] = [
    Column { name: FINETUNING, of: |row| row.finetune },
    Column { name: "linear probe", of: |row| row.probe },
    Column { name: "k-NN", of: |row| row.knn },
];

/// Mean and standard deviation (divisor n − 1; none of a single number).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// `Σ x / n`.
    pub mean: f64,
    /// `√(Σ (x − mean)² / (n − 1))`.
    pub std: Option<f64>,
}

impl Spread {
    /// Of some numbers; none of none.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let n = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / n;
        let squares: f64 = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
        let std = (numbers.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!numbers.is_empty()).then_some(Self { mean, std })
    }

    /// In per cent: `91.23 ± 0.14`.
    #[must_use]
    pub fn percent(&self) -> String {
        let std = self.std.map_or(String::new(), |std| format!(" ± {:.2}", 100.0 * std));
        format!("{:.2}{std}", 100.0 * self.mean)
    }
}

/// The rows with a fraction of the labels.
#[must_use]
pub fn with_labels(rows: &[Row], labels: f64) -> Vec<Row> {
    rows.iter().filter(|row| row.labels.total_cmp(&labels).is_eq()).cloned().collect()
}

/// The numbers of a column at one value, over the seeds; the rows have one fraction of the labels.
#[must_use]
pub fn at(rows: &[Row], value: &str, column: &Column) -> Vec<f64> {
    rows.iter().filter(|row| row.value == value).filter_map(column.of).collect()
}

/// The columns of `results.csv` after the value.
const HEADS: [&str; 10] = [
    "labels",
    "seed",
    "pretrain_loss",
    "finetune_accuracy",
    "probe_accuracy",
    "knn_accuracy",
    "pretrain_secs",
    "finetune_secs",
    "tuned",
    "validation_score",
];

/// A line of it.
type Line = (
    (String, f64, u64),
    (Option<f64>, Option<f64>, Option<f64>, Option<f64>),
    (f64, Option<f64>, Option<String>, Option<f64>),
);

/// `results.csv`: every run. Numbers are the shortest decimals that read back as the same bits.
///
/// # Errors
/// Never, as long as memory takes what is written to it.
pub fn csv(axis: &Axis, rows: &[Row]) -> Result<Vec<u8>> {
    let wrong = |e: &dyn std::fmt::Display| Error::setting("CSV", "rows that memory takes", e);
    let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record([&*axis.name].into_iter().chain(HEADS)).map_err(|e| wrong(&e))?;
    for row in rows {
        let numbers =
            [row.pretrain_loss, row.finetune, row.probe, row.knn, Some(row.pretrain_secs), row.finetune_secs];
        let place = [row.value.clone(), row.labels.to_string(), row.seed.to_string()];
        let tuned = [row.tuned.clone().unwrap_or_default(), number(row.validation)];
        let line = place.into_iter().chain(numbers.map(number)).chain(tuned);
        writer.write_record(line).map_err(|e| wrong(&e))?;
    }
    writer.into_inner().map_err(|e| wrong(&e))
}

/// The rows of a `results.csv`, bit by bit those that were written.
///
/// # Errors
/// If there is none, or it has other columns.
pub fn read_csv(path: &Path) -> Result<Vec<Row>> {
    let text = read_text(path)?;
    let wrong = |e: ::csv::Error| Error::input(path, "table", "the rows of an ablation", e);
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let heads = reader.headers().map_err(wrong)?;
    if !heads.iter().skip(1).eq(HEADS) {
        let found = heads.iter().skip(1).collect::<Vec<_>>().join(",");
        return Err(Error::input(path, "columns after the first", HEADS.join(","), found));
    }
    let row = |line: ::csv::Result<Line>| {
        let ((value, labels, seed), scores, (pretrain_secs, finetune_secs, tuned, validation)) =
            line.map_err(wrong)?;
        let (pretrain_loss, finetune, probe, knn) = scores;
        let row = Row { pretrain_loss, probe, knn, finetune, ..Row::of(&value, labels, seed) };
        Ok(Row { pretrain_secs, finetune_secs, tuned, validation, ..row })
    };
    reader.deserialize().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_mean_and_sample_deviation() {
        let spread = Spread::of(&[0.5, 0.7, 0.6]).unwrap();
        assert!((spread.mean - 0.6).abs() < 1e-15 && (spread.std.unwrap() - 0.1).abs() < 1e-15);
        assert_eq!(Spread::of(&[0.5]).unwrap().percent(), "50.00");
        assert_eq!(Spread::of(&[]), None);
    }
}
