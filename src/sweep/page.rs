//! An ablation on one page: the scores, the figure, what the differences support, a picture of each value's pre-training, the plan.

use super::Ablation;
use super::difference::Difference;
use super::plan::{Axis, Cell};
use super::table::{COLUMNS, Row, Spread, at, of_task, with_labels};
use super::tune;
use crate::base::Result;
use crate::draw::report::Report;
use crate::train::RunDir;

/// `report.html` of the rows so far, with their figure and their curves as SVGs.
///
/// # Errors
/// If a picture of a run cannot be read.
pub(super) fn html(
    ablation: &Ablation,
    rows: &[Row],
    figure: String,
    curves: Option<String>,
) -> Result<String> {
    let (axis, plan) = (&ablation.plan.vary, &ablation.plan);
    let values: Vec<String> = axis.values.iter().map(Axis::label).collect();
    let (all, rows) = (rows, &*tune::kept(plan, rows));
    let (fractions, tasks) = (&plan.judge.labels, &plan.judge.tasks);
    let mut report = Report {
        title: format!("{}: {}", axis.name, values.join(", ")),
        curves: [("Mean and standard deviation over the seeds".to_owned(), figure)].into(),
        sheets_heading: "After pre-training".to_owned(),
        settings_toml: plan.to_toml()?,
        notes: tune::notes(plan, all),
        ..Report::default()
    };
    report.curves.extend(curves.map(|svg| ("Scores on validation images as they grow".to_owned(), svg)));
    for (task, column) in tasks.iter().flat_map(|task| COLUMNS.iter().map(move |column| (task, column))) {
        for &labels in fractions {
            let rows = with_labels(&of_task(rows, task), labels);
            let by = if tasks.len() > 1 { format!("{task}: ") } else { String::new() };
            let with = if fractions.len() > 1 { format!(", {labels} of the labels") } else { String::new() };
            let name = format!("{by}{}{with}", column.name);
            for value in &values {
                let spread = Spread::of(&at(&rows, value, column));
                report
                    .summary
                    .extend(spread.map(|s| (format!("{name}, {value}"), format!("{} %", s.percent()))));
            }
            let (first, others) = (&values[0], &values[1..]);
            for other in others {
                let found = Difference::between(&rows, first, other, column);
                report.notes.extend(found.map(|found| {
                    let (points, pairs) = (found.points(), found.pairs);
                    format!("{name}, {first} − {other}: {points} points, {pairs} pairs of runs.")
                }));
            }
        }
    }
    for value in axis.values.iter().filter(|value| !plan.is_scratch(value)) {
        let label = Axis::label(value);
        let Some(row) = rows.iter().rfind(|row| row.value == label && row.seed == plan.seeds[0]) else {
            continue;
        };
        // Who made room by throwing a finished run away keeps its row.
        let tuned = tune::chosen(plan, all, value);
        let cell = Cell { value, labels: row.labels, task: &row.task, seed: row.seed, tuned };
        let Ok(run) = RunDir::look_at(ablation.pretrain_folder(cell)?) else { continue };
        let last = run.sheets_of_report()?.into_iter().next();
        report.sheets.extend(last.map(|(_, png)| (format!("{label}, seed {}", row.seed), png)));
    }
    Ok(report.to_html())
}
