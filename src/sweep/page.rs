//! An ablation on one page: the scores, the figure, what the differences support, a picture of each value's pre-training, the plan.

use super::Ablation;
use super::difference::Difference;
use super::plan::Axis;
use super::table::{COLUMNS, Column, Row, Spread, at};
use crate::base::Result;
use crate::draw::report::Report;
use crate::train::RunDir;

/// `report.html` of the rows so far, with their figure as an SVG.
///
/// # Errors
/// If a picture of a run cannot be read.
pub(super) fn html(ablation: &Ablation, rows: &[Row], figure: String) -> Result<String> {
    let (axis, plan) = (&ablation.plan.vary, &ablation.plan);
    let values: Vec<String> = axis.values.iter().map(Axis::label).collect();
    let mut report = Report {
        title: format!("{}: {}", axis.name, values.join(", ")),
        summary: COLUMNS.iter().flat_map(|column| scores(rows, &values, column)).collect(),
        curves: vec![("Mean and standard deviation over the seeds".to_owned(), figure)],
        sheets_heading: "After pre-training".to_owned(),
        settings_toml: plan.to_toml()?,
        notes: COLUMNS.iter().flat_map(|column| differences(rows, &values, column)).collect(),
        ..Report::default()
    };
    for value in &axis.values {
        let label = Axis::label(value);
        let Some(row) = rows.iter().find(|row| row.value == label) else { continue };
        // Who made room by throwing a finished run away keeps its row.
        let run = RunDir::look_at(ablation.folder_of(value, row.seed).join("pretrain"));
        let Ok(run) = run else { continue };
        let last = run.sheets_of_report()?.into_iter().next();
        report.sheets.extend(last.map(|(_, png)| (format!("{label}, seed {}", row.seed), png)));
    }
    Ok(report.to_html())
}

/// What each value reached in a column.
fn scores(rows: &[Row], values: &[String], column: &Column) -> Vec<(String, String)> {
    let score = |value: &String| {
        let spread = Spread::of(&at(rows, value, column))?;
        Some((format!("{}, {value}", column.name), format!("{} %", spread.percent())))
    };
    values.iter().filter_map(score).collect()
}

/// What its differences to the first value are.
fn differences(rows: &[Row], values: &[String], column: &Column) -> Vec<String> {
    let first = &values[0];
    let difference = |other: &String| {
        let found = Difference::between(rows, first, other, column)?;
        Some(format!(
            "{}, {first} − {other}: {} points, {} pairs of runs.",
            column.name,
            found.points(),
            found.pairs
        ))
    };
    values[1..].iter().filter_map(difference).collect()
}
