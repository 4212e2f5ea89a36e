//! The points of an ablation as numbers: one row a run, means and standard deviations over the seeds.

use super::resample::Resampled;
use crate::base::csv::csv_bytes;
use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::tasks::finetuning::TRANSFERS;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// What one pre-training run was worth for a task with a fraction of the labels; a line of `results.csv` is this.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The value of the setting that is varied.
    pub value: String,
    /// The task that it was judged by.
    pub task: String,
    /// Fraction of the labels that it was judged with.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuned: Option<String>,
    /// The score on validation images of what judges: of fine-tuning, or else of the probe. It chose the epoch, and may choose what is
    /// tuned, so it flatters.
    pub validation: Option<f64>,
    /// Its scores on samples of the test pictures; they are in `resamples.csv`.
    #[serde(skip)]
    pub resampled: Vec<Resampled>,
    /// Scores on validation images as they grew, with the column's name: after steps of fine-tuning, and of the probe after epochs of
    /// pre-training. They are in `curves.csv`.
    #[serde(skip)]
    pub curves: Vec<(String, u64, f64)>,
}

impl Row {
    /// One of which nothing is measured yet.
    #[must_use]
    pub fn of(value: &str, task: &str, labels: f64, seed: u64) -> Self {
        Self {
            value: value.to_owned(),
            task: task.to_owned(),
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
            resampled: Vec::new(),
            curves: Vec::new(),
        }
    }

    /// Whether nothing could be judged: training diverged.
    #[must_use]
    pub fn has_no_score(&self) -> bool {
        [self.probe, self.knn, self.finetune].iter().all(Option::is_none)
    }

    /// Which row of a study it is, in words.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}, labels {}, seed {}", self.value, self.labels, self.seed)
    }

    /// Which row of a study it is.
    #[must_use]
    pub fn place(&self) -> Place {
        let tuned = self.tuned.clone().unwrap_or_default();
        [self.value.clone(), self.task.clone(), self.labels.to_string(), self.seed.to_string(), tuned]
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
pub(super) const FINETUNING: &str = "fine-tuning";
/// The column of the linear probe.
pub(super) const PROBE: &str = "linear probe";
/// The column of the nearest neighbours' vote.
pub(super) const KNN: &str = "k-NN";

/// The scores.
pub const COLUMNS: [Column; 3] = [
    Column { name: FINETUNING, of: |row| row.finetune },
    Column { name: PROBE, of: |row| row.probe },
    Column { name: KNN, of: |row| row.knn },
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

/// The rows of a task.
#[must_use]
pub fn of_task(rows: &[Row], task: &str) -> Vec<Row> {
    rows.iter().filter(|row| row.task == task).cloned().collect()
}

/// The rows with a fraction of the labels.
#[must_use]
pub fn with_labels(rows: &[Row], labels: f64) -> Vec<Row> {
    rows.iter().filter(|row| row.labels.total_cmp(&labels).is_eq()).cloned().collect()
}

/// The numbers of a column at one value, over the seeds; the rows have one task and one fraction of the labels.
#[must_use]
pub fn at(rows: &[Row], value: &str, column: &Column) -> Vec<f64> {
    rows.iter().filter(|row| row.value == value).filter_map(column.of).collect()
}

/// The columns behind the value that say which row of a study a line is of.
const PLACE: [&str; 4] = ["task", "labels", "seed", "tuned"];

/// What a line says in them, the value first.
pub type Place = [String; 5];

/// A CSV of the lines that `of` makes of each row, behind the place of the row.
///
/// # Errors
/// Never, as long as memory takes what is written to it.
pub(super) fn lines(
    vary: &str,
    heads: &[String],
    rows: &[Row],
    of: impl Fn(&Row) -> Vec<Vec<String>>,
) -> Result<Vec<u8>> {
    let head = [vary].into_iter().chain(PLACE).chain(heads.iter().map(String::as_str));
    let placed = |row: &Row| {
        let place = row.place();
        of(row).into_iter().map(move |fields| place.clone().into_iter().chain(fields))
    };
    csv_bytes(head, rows.iter().flat_map(placed))
}

/// The place that each line of such a CSV begins with, and its other fields, as many as `heads`, of which the first `key` differ between
/// lines of one place.
///
/// # Errors
/// If there is no such file, it has other columns, or a line is there twice.
fn read_lines(path: &Path, heads: &[String], key: usize) -> Result<Vec<(Place, Vec<String>)>> {
    let text = read_text(path)?;
    let wrong = |e: ::csv::Error| Error::input(path, "table", "the rows of an ablation", e);
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let found = reader.headers().map_err(wrong)?.iter().skip(1).collect::<Vec<_>>().join(",");
    let expected = PLACE.into_iter().chain(heads.iter().map(String::as_str)).collect::<Vec<_>>().join(",");
    if found != expected {
        return Err(Error::input(path, "columns after the first", expected, found));
    }
    let mut seen = BTreeSet::new();
    let line = |record: ::csv::Result<::csv::StringRecord>| {
        let mut fields = record.map_err(wrong)?.iter().map(str::to_owned).collect::<Vec<_>>().into_iter();
        let mut place: Place = std::array::from_fn(|_| fields.next().unwrap_or_default());
        // As `Row::place` has it: other programs write 1 as 1.0.
        let labels = place[2].parse::<f64>().ok().filter(|labels| labels.is_finite());
        let labels = labels.ok_or_else(|| Error::input(path, PLACE[1], "a number", &place[2]))?;
        place[2] = labels.to_string();
        let fields: Vec<String> = fields.collect();
        let known_by = [&place[..], &fields[..key]].concat();
        if !seen.insert(known_by.clone()) {
            return Err(Error::input(path, "lines", "each once", format!("two of {}", known_by.join(", "))));
        }
        Ok((place, fields))
    };
    reader.records().map(line).collect()
}

/// Adds what `read` makes of each line of such a CSV to the row that has its place; where there is no such file, there are no lines. The
/// first of the fields is the name of a column of scores, and the first `key` of them are different in each line of a row.
///
/// # Errors
/// If it has other columns, a line is there twice or of no such column of scores, or whatever else is wrong with it.
pub(super) fn read_into<T: Clone>(
    path: &Path,
    heads: &[String],
    key: usize,
    rows: &mut [Row],
    read: impl Fn(&Place, &[String]) -> Result<T>,
    add: impl Fn(&mut Row, T),
) -> Result<()> {
    if !path.is_file() {
        return Ok(());
    }
    for (of, fields) in read_lines(path, heads, key)? {
        if !COLUMNS.iter().any(|column| column.name == fields[0]) {
            return Err(Error::input(
                path,
                &heads[0],
                COLUMNS.map(|column| column.name).join(", "),
                &fields[0],
            ));
        }
        let what = read(&of, &fields)?;
        rows.iter_mut().filter(|row| row.place() == of).for_each(|row| add(row, what.clone()));
    }
    Ok(())
}

/// The columns of `results.csv` behind a row's place.
const HEADS: [&str; 7] = [
    "pretrain_loss",
    "finetune_accuracy",
    "probe_accuracy",
    "knn_accuracy",
    "pretrain_secs",
    "finetune_secs",
    "validation_score",
];

/// Whether a column of `results.csv` holds scores.
fn is_score(head: &str) -> bool {
    head.ends_with("_accuracy") || head.ends_with("_score")
}

/// A score as a CSV has it.
pub(super) fn score(text: &str) -> Option<f64> {
    text.parse().ok().filter(|score| (0.0..=1.0).contains(score))
}

/// `results.csv`: every run. Numbers are the shortest decimals that read back as the same bits.
///
/// # Errors
/// Never, as long as memory takes what is written to it.
pub fn csv(vary: &str, rows: &[Row]) -> Result<Vec<u8>> {
    let numbers = |row: &Row| {
        let (pretrain, finetune) = (Some(row.pretrain_secs), row.finetune_secs);
        let scores = [row.pretrain_loss, row.finetune, row.probe, row.knn];
        let numbers = [&scores[..], &[pretrain, finetune, row.validation]].concat();
        let text = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
        vec![numbers.into_iter().map(text).collect()]
    };
    lines(vary, &HEADS.map(str::to_owned), rows, numbers)
}

/// The rows of a `results.csv`, bit by bit those that were written.
///
/// # Errors
/// If there is none, it has other columns, a row is there twice, or something else than a number is where one should be.
pub fn read_csv(path: &Path) -> Result<Vec<Row>> {
    let wrong = |head: &str, text: &str| Error::input(path, head, "a finite number", text);
    let row = |([value, task, labels, seed, tuned], fields): (Place, Vec<String>)| {
        let finite = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        let number = |head: &str, text: &str| finite(text).ok_or_else(|| wrong(head, text));
        let numbers = HEADS.into_iter().zip(&fields).map(|(head, text)| match text.as_str() {
            "" => Ok(None),
            text if is_score(head) => {
                score(text).map(Some).ok_or_else(|| Error::input(path, head, "a score of 0 to 1", text))
            }
            text => number(head, text).map(Some),
        });
        let numbers = numbers.collect::<Result<Vec<_>>>()?;
        let seed = seed.parse().map_err(|_| wrong("seed", &seed))?;
        Ok(Row {
            pretrain_loss: numbers[0],
            finetune: numbers[1],
            probe: numbers[2],
            knn: numbers[3],
            pretrain_secs: numbers[4].ok_or_else(|| wrong(HEADS[4], ""))?,
            finetune_secs: numbers[5],
            validation: numbers[6],
            tuned: Some(tuned).filter(|tuned| !tuned.is_empty()),
            ..Row::of(&value, &task, number("labels", &labels)?, seed)
        })
    };
    read_lines(path, &HEADS.map(str::to_owned), 0)?.into_iter().map(row).collect()
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
