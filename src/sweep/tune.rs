//! A setting of pre-training that is chosen for each value, on validation images and nothing else.
//!
//! Each candidate is pre-trained and judged with the first seed and the most labels, by the first task; the best validation score of what judges wins, and
//! the winner is what every other row of the value is run with.

use super::plan::{Axis, Cell, Plan};
use super::table::Row;
use crate::base::{Error, Result};
use toml::Value;

/// The candidates of a value that were tried, and their validation scores: none of one that diverged.
fn tried<'a>(plan: &'a Plan, rows: &[Row], value: &Value) -> Vec<(&'a Value, Option<f64>)> {
    let tried = |trial: Cell<'a>| {
        let place = plan.row(trial).place();
        let row = rows.iter().find(|row| row.place() == place)?;
        Some((trial.tuned?, row.validation.filter(|score| score.is_finite())))
    };
    plan.trials().filter(|trial| trial.value == value).filter_map(tried).collect()
}

/// The candidate of a value with the highest validation score so far; the first of equally good ones.
#[must_use]
pub fn chosen<'a>(plan: &'a Plan, rows: &[Row], value: &Value) -> Option<&'a Value> {
    let better = |best: (&'a Value, f64), next: (&'a Value, f64)| if next.1 > best.1 { next } else { best };
    let judged = tried(plan, rows, value).into_iter().filter_map(|(tuned, score)| Some((tuned, score?)));
    judged.reduce(better).map(|(tuned, _)| tuned)
}

/// The rows of the tables: without those of candidates that were not chosen.
#[must_use]
pub fn kept(plan: &Plan, rows: &[Row]) -> Vec<Row> {
    let winner = |value: &Value| (Axis::label(value), chosen(plan, rows, value).map(Axis::label));
    let winners: Vec<(String, Option<String>)> = plan.vary.values.iter().map(winner).collect();
    let stays = |row: &&Row| {
        row.tuned.is_none() || winners.iter().any(|(value, tuned)| (value, tuned) == (&row.value, &row.tuned))
    };
    rows.iter().filter(stays).cloned().collect()
}

/// What was chosen for each value, and from what.
#[must_use]
pub fn notes(plan: &Plan, rows: &[Row]) -> Vec<String> {
    let (Some(axis), seed, most) = (&plan.tune, plan.seeds[0], plan.judge.labels.last()) else {
        return Vec::new();
    };
    let (most, tasks) = (most.copied().unwrap_or(1.0), &plan.judge.tasks);
    let note = |value: &Value| {
        let winner = Axis::label(chosen(plan, rows, value)?);
        let score = |score: Option<f64>| {
            score.map_or("diverged".to_owned(), |score| format!("{:.2} %", 100.0 * score))
        };
        let tried = tried(plan, rows, value).into_iter();
        let scores = tried.map(|(tuned, of)| format!("{} {}", Axis::label(tuned), score(of)));
        let (value, scores) = (Axis::label(value), scores.collect::<Vec<_>>().join(", "));
        let by = if tasks.len() > 1 { format!(" for {}", tasks[0]) } else { String::new() };
        let (name, labels) = (&axis.name, format!("seed {seed} and {most} of the labels{by}"));
        Some(format!("{name} of {value} is {winner}, chosen on validation images with {labels}: {scores}."))
    };
    plan.vary.values.iter().filter_map(note).collect()
}

/// Refuses a candidate that was judged, but not by what can choose.
///
/// # Errors
/// If it was not judged on validation images.
pub(super) fn require(row: &Row) -> Result<()> {
    let judged = row.probe.or(row.finetune).is_some();
    let none = || Error::setting("--tune", "validation images to choose by", "none");
    if judged && row.validation.is_none() { Err(none()) } else { Ok(()) }
}

/// Refuses to go on where all candidates of a value diverged.
///
/// # Errors
/// The first such value.
pub(super) fn require_choice(plan: &Plan, rows: &[Row]) -> Result<()> {
    let without = plan.trials().find(|trial| chosen(plan, rows, trial.value).is_none());
    let none = |trial: Cell<'_>| {
        let found = format!("none of {}: all diverged", Axis::label(trial.value));
        Error::setting("--tune", "a candidate that can be trained", found)
    };
    without.map_or(Ok(()), |trial| Err(none(trial)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the test images say, the other way round, chooses nothing.
    #[test]
    fn validation_images_choose_and_test_images_do_not() {
        let plan = r#"
            seeds = [3, 4]
            finetune = []
            pretrain = {}
            [vary]
            name = "method"
            key = "method"
            values = ["mae", "scratch"]
            [tune]
            name = "optim.blr"
            key = "optim.blr"
            values = [0.1, 0.2, 0.3]
            [judge]
            probe = true
            labels = [0.1, 1.0]
        "#;
        let plan: Plan = toml::from_str(plan).unwrap();
        let row = |tuned: Option<&str>, seed, labels, validation, test| Row {
            value: if tuned.is_some() { "mae" } else { "scratch" }.to_owned(),
            tuned: tuned.map(str::to_owned),
            validation: Some(validation),
            probe: Some(test),
            ..Row::of("", "classify", labels, seed)
        };
        let rows = [
            row(Some("0.1"), 3, 1.0, 0.5, 0.9),
            row(Some("0.2"), 3, 1.0, 0.7, 0.6),
            row(Some("0.3"), 3, 1.0, 0.6, 0.8),
            row(Some("0.2"), 3, 0.1, 0.1, 0.2),
            row(Some("0.3"), 4, 1.0, 0.9, 0.9),
            row(None, 3, 1.0, 0.3, 0.3),
        ];
        let mae = &plan.vary.values[0];
        assert_eq!(chosen(&plan, &rows, mae), Some(&Value::from(0.2)));
        assert_eq!(chosen(&plan, &rows[..1], mae), Some(&Value::from(0.1)));
        assert_eq!(chosen(&plan, &rows, &plan.vary.values[1]), None);
        assert_eq!(kept(&plan, &rows), [&rows[1..2], &rows[3..4], &rows[5..]].concat());
        let notes = notes(&plan, &rows);
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].contains("of mae is 0.2") && notes[0].contains("0.1 50.00 %, 0.2 70.00 %, 0.3 60.00 %")
        );
        assert!(require(&Row { validation: None, ..rows[0].clone() }).is_err());

        // One that diverges loses; where all do, nothing is chosen.
        let trials: Vec<Cell<'_>> = plan.trials().collect();
        let first = Row { validation: Some(f64::NAN), ..rows[0].clone() };
        let rows = [first, plan.row(trials[1]), rows[2].clone()];
        assert!(require(&rows[1]).is_ok() && require_choice(&plan, &rows).is_ok());
        assert_eq!(chosen(&plan, &rows, mae), Some(&Value::from(0.3)));
        let notes = super::notes(&plan, &rows);
        assert!(notes[0].contains("0.1 diverged, 0.2 diverged, 0.3 60.00 %"), "{notes:?}");
        assert!(require_choice(&plan, &rows[..2]).is_err());
    }
}
