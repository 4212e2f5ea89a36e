//! `results.md`: the points of an ablation as tables.

use super::difference::Difference;
use super::plan::Axis;
use super::table::{COLUMNS, Column, Row, Spread, at};
use std::fmt::Write;

/// `results.md`: mean and standard deviation over the seeds, and the differences that they support.
#[must_use]
pub fn markdown(axis: &Axis, rows: &[Row]) -> String {
    let shown: Vec<&Column> =
        COLUMNS.iter().filter(|c| rows.iter().any(|row| (c.of)(row).is_some())).collect();
    let heads: Vec<_> = shown.iter().map(|c| format!("{}, %", c.name)).collect();
    let mut text = format!("| {} | seeds | {} |\n", axis.name, heads.join(" | "));
    let _ = writeln!(text, "| --- | --- |{}", " --- |".repeat(shown.len()));
    for value in &axis.values {
        let value = Axis::label(value);
        let seeds = rows.iter().filter(|row| row.value == value).count();
        if seeds == 0 {
            continue;
        }
        let cell = |column: &&Column| {
            Spread::of(&at(rows, &value, column)).map_or("–".to_owned(), |s| s.percent())
        };
        let cells: Vec<_> = shown.iter().map(cell).collect();
        let _ = writeln!(text, "| {value} | {seeds} | {} |", cells.join(" | "));
    }
    text + &differences(axis, rows, &shown)
}

/// The first value minus each other; nothing before a second one is there.
fn differences(axis: &Axis, rows: &[Row], shown: &[&Column]) -> String {
    let values: Vec<String> = axis.values.iter().map(Axis::label).collect();
    let mut lines = String::new();
    for other in &values[1..] {
        let of = |column: &&Column| Difference::between(rows, &values[0], other, column);
        let found: Vec<Option<Difference>> = shown.iter().map(of).collect();
        let Some(pairs) = found.iter().flatten().map(|d| d.pairs).max() else { continue };
        let cells: Vec<_> = found.iter().map(|d| d.map_or("–".to_owned(), |d| d.points())).collect();
        let _ = writeln!(lines, "| {} − {other} | {pairs} | {} |", values[0], cells.join(" | "));
    }
    if lines.is_empty() {
        return lines;
    }
    let heads: Vec<_> = shown.iter().map(|c| format!("{}, points", c.name)).collect();
    let head = format!(
        "\n| difference | pairs | {} |\n| --- | --- |{}\n",
        heads.join(" | "),
        " --- |".repeat(shown.len())
    );
    let note = "\n*In brackets the 95 % interval of the mean over the seeds, paired by seed (Student's t). One that holds 0 supports no claim.*\n";
    head + &lines + note
}
