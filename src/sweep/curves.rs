//! How a score on validation images grows, `curves.csv` and `curves.svg`: with the steps of fine-tuning, and by the probe with the epochs of
//! pre-training.

use super::figure::{self, COLOURS, Horizontal, Line, Panel};
use super::plan::{Axis, Plan};
use super::table::{self, COLUMNS, Column, FINETUNING, Place, Row, Spread, of_task, with_labels};
use super::tune;
use crate::base::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The columns behind a row's place.
fn heads() -> Vec<String> {
    ["measure", "steps_or_epochs", "validation_score"].map(str::to_owned).into()
}

/// `curves.csv`: a line for each point of each row.
///
/// # Errors
/// Never, as long as memory takes what is written to it.
pub(super) fn csv(vary: &str, rows: &[Row]) -> Result<Vec<u8>> {
    let line =
        |(column, at, score): &(String, u64, f64)| vec![column.clone(), at.to_string(), score.to_string()];
    table::lines(vary, &heads(), rows, |row| row.curves.iter().map(line).collect())
}

/// Reads it into the rows that it belongs to; where there is no such file, there are no points.
///
/// # Errors
/// If it has other columns, or a line has something else than numbers.
pub(super) fn read_csv(path: &Path, rows: &mut [Row]) -> Result<()> {
    let point = |place: &Place, fields: &[String]| {
        let wrong = || {
            let field = format!("line of {}", place.join(", "));
            Error::input(path, field, "steps or epochs, and a score of 0 to 1", fields[1..].join(","))
        };
        let (at, score) = fields[1].parse().ok().zip(table::score(&fields[2])).ok_or_else(wrong)?;
        Ok((fields[0].clone(), at, score))
    };
    table::read_into(path, &heads(), 2, rows, point, |row, point| row.curves.push(point))
}

/// `curves.svg`: a panel for each task, measure and fraction of the labels, a line for each value; none where no score was measured
/// twice.
///
/// # Errors
/// If the drawing library refuses.
pub(super) fn svg(plan: &Plan, rows: &[Row]) -> Result<Option<String>> {
    let (rows, judge) = (tune::kept(plan, rows), &plan.judge);
    let mut panels = Vec::new();
    for task in &judge.tasks {
        for column in &COLUMNS {
            for &labels in &judge.labels {
                let rows = with_labels(&of_task(&rows, task), labels);
                let lines = lines(plan, &rows, column);
                let places = || lines.iter().flat_map(|line| &line.points).map(|point| point.0);
                let ends = [places().fold(f64::INFINITY, f64::min), places().fold(0.0, f64::max)];
                if ends[0] < ends[1] {
                    let of = if labels < 1.0 { format!("{labels} of the") } else { "all".to_owned() };
                    let title = Some(format!("{task}, {of} labels"));
                    let what = format!("validation {} in %", column.measure(task));
                    panels.push(Panel { title, horizontal: horizontal(column, ends), what, lines });
                }
            }
        }
    }
    if panels.is_empty() { Ok(None) } else { figure::draw(&panels).map(Some) }
}

fn horizontal(column: &Column, ends: [f64; 2]) -> Horizontal {
    let name = if column.name == FINETUNING { "steps of fine-tuning" } else { "epochs of pre-training" };
    Horizontal {
        name: name.to_owned(),
        labels: ends.map(|end| end.to_string()).into(),
        places: ends.into(),
        numeric: true,
        ordered: true,
    }
}

/// A line for each value: at each point mean and standard deviation over the seeds, in per cent.
fn lines(plan: &Plan, rows: &[Row], column: &Column) -> Vec<Line> {
    let line = |(i, value): (usize, _)| {
        let (value, mut points) = (Axis::label(value), BTreeMap::<u64, Vec<f64>>::new());
        let rows = rows.iter().filter(|row| row.value == value);
        for (_, at, score) in rows.flat_map(|row| &row.curves).filter(|point| point.0 == column.name) {
            points.entry(*at).or_default().push(100.0 * score);
        }
        let point = |(at, runs): (u64, Vec<f64>)| Some((at as f64, Spread::of(&runs)?, runs));
        let points = points.into_iter().filter_map(point).collect();
        Line { name: Some(value), colour: COLOURS[i % COLOURS.len()], points }
    };
    plan.vary.values.iter().enumerate().map(line).collect()
}
