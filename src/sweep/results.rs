//! `results.md`: the cells of an ablation as tables.

use super::difference::Difference;
use super::plan::{Axis, Plan};
use super::table::{COLUMNS, Column, Row, Spread, at, of_task, with_labels};
use super::tune;
use std::fmt::Write;

/// `results.md`: mean and standard deviation over the seeds, and the differences that they support, one fraction of the labels below
/// the other; the tables of one task below those of the other.
#[must_use]
pub fn markdown(plan: &Plan, rows: &[Row]) -> String {
    let (notes, kept) = (tune::notes(plan, rows), tune::kept(plan, rows));
    let tasks = &plan.judge.tasks;
    let tables = tasks.iter().map(|task| {
        let heading = if tasks.len() > 1 { format!("## {task}\n\n") } else { String::new() };
        heading + &tables(plan, &of_task(&kept, task))
    });
    let mut text = tables.collect::<Vec<_>>().join("\n");
    let diverged: Vec<String> = kept.iter().filter(|row| row.has_no_score()).map(Row::shown).collect();
    let diverged = (!diverged.is_empty())
        .then(|| format!("Without scores, since training diverged: {}.", diverged.join("; ")));
    for note in notes.into_iter().chain(diverged) {
        let _ = write!(text, "\n*{note}*\n");
    }
    text
}

/// The tables of one task.
fn tables(plan: &Plan, rows: &[Row]) -> String {
    let shown: Vec<&Column> =
        COLUMNS.iter().filter(|c| rows.iter().any(|row| (c.of)(row).is_some())).collect();
    let (axis, labels) = (&plan.vary, &plan.judge.labels);
    let head = |first: &str, count: &str, unit: &str| {
        let heads: Vec<_> = shown.iter().map(|c| format!("{}, {unit}", c.name)).collect();
        let dashes = " --- |".repeat(shown.len());
        format!("| {first} | labels | {count} | {} |\n| --- | --- | --- |{dashes}\n", heads.join(" | "))
    };
    let scores: String = labels.iter().map(|&labels| scores(axis, labels, rows, &shown)).collect();
    let differences: String = labels.iter().map(|&labels| differences(axis, labels, rows, &shown)).collect();
    let mut text = head(&axis.name, "seeds", "%") + &scores;
    if !differences.is_empty() {
        let note = interval_note(plan, rows);
        let _ = write!(text, "\n{}{differences}\n*{note}*\n", head("difference", "pairs", "points"));
    }
    text
}

/// A line for each value that has run.
fn scores(axis: &Axis, labels: f64, rows: &[Row], shown: &[&Column]) -> String {
    let (rows, mut lines) = (with_labels(rows, labels), String::new());
    for value in &axis.values {
        let value = Axis::label(value);
        let seeds = rows.iter().filter(|row| row.value == value).count();
        if seeds == 0 {
            continue;
        }
        let cell = |column: &&Column| {
            Spread::of(&at(&rows, &value, column)).map_or("–".to_owned(), |s| s.percent())
        };
        let cells: Vec<_> = shown.iter().map(cell).collect();
        let _ = writeln!(lines, "| {value} | {labels} | {seeds} | {} |", cells.join(" | "));
    }
    lines
}

/// The first value minus each other; nothing before a second one is there.
fn differences(axis: &Axis, labels: f64, rows: &[Row], shown: &[&Column]) -> String {
    let values: Vec<String> = axis.values.iter().map(Axis::label).collect();
    let (rows, mut lines) = (with_labels(rows, labels), String::new());
    for other in &values[1..] {
        let of = |column: &&Column| Difference::between(&rows, &values[0], other, column);
        let found: Vec<Option<Difference>> = shown.iter().map(of).collect();
        let Some(pairs) = found.iter().flatten().map(|d| d.pairs).max() else { continue };
        let cells: Vec<_> = found.iter().map(|d| d.map_or("–".to_owned(), |d| d.points())).collect();
        let _ = writeln!(lines, "| {} − {other} | {labels} | {pairs} | {} |", values[0], cells.join(" | "));
    }
    lines
}

/// What the brackets hold.
pub(super) fn interval_note(plan: &Plan, rows: &[Row]) -> String {
    let values: Vec<String> = plan.vary.values.iter().map(Axis::label).collect();
    let mut intervals = Vec::new();
    for &labels in &plan.judge.labels {
        let rows = with_labels(rows, labels);
        for other in &values[1..] {
            let found = COLUMNS.iter().filter_map(|c| Difference::between(&rows, &values[0], other, c));
            intervals.extend(found.filter(|found| found.half_width.is_some()));
        }
    }
    let over_pictures = intervals.iter().filter(|found| found.over_pictures).count();
    let over = match over_pictures {
        0 => "over the seeds, paired by seed (Student's t)".to_owned(),
        n if n == intervals.len() => OVER_BOTH.to_owned(),
        n => {
            format!("{OVER_BOTH}, in {n} of {} differences; elsewhere over the seeds alone", intervals.len())
        }
    };
    format!("In brackets the 95 % interval of the mean {over}. One that holds 0 supports no claim.")
}

const OVER_BOTH: &str =
    "over seeds and test pictures, paired by both (Student's t, and 1,000 samples of the pictures)";
