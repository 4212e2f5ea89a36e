//! The tables of `vit-mae audit gradcheck`.

use crate::cli::outln;
use serde::{Serialize, Serializer};
use serde_json::json;
use std::time::Duration;
use vit_mae::audit::Report;
use vit_mae::audit::checks::Kind;
use vit_mae::audit::directions::Direction;
use vit_mae::audit::mutants::KillMatrix;
use vit_mae::{Error, Result};

/// One check, or one layer of a model.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) layer: String,
    pub(super) kind: Kind,
    #[serde(skip)]
    pub(super) took: Duration,
    #[serde(flatten, serialize_with = "with_verdicts")]
    pub(super) report: Report,
}

/// A report with its own verdict and that of each row.
fn with_verdicts<S: Serializer>(report: &Report, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let row = |row| {
        let mut value = json!(row);
        value["passed"] = report.agrees(row).into();
        value
    };
    let rows: Vec<_> = report.rows.iter().map(row).collect();
    json!({
        "passed": report.passed(),
        "tolerance": report.tolerance,
        "step": report.step,
        "rows": rows,
    })
    .serialize(serializer)
}

/// One table with a heading for each section, and a line that sums it up.
pub(super) fn print_sections(what: Option<&str>, sections: &[Section]) {
    if let Some(what) = what {
        outln!("{what}\n");
    }
    let rows =
        || sections.iter().flat_map(|section| section.report.rows.iter().map(move |row| (section, row)));
    let width = rows().map(|(_, row)| row.tensor.chars().count()).max().unwrap_or(0).max(6);
    outln!(
        "  {:width$}  {:>13}  {:>8}  {:>8}  {:>7}  verdict",
        "tensor",
        "checked",
        "largest",
        "error",
        "step"
    );
    for section in sections {
        outln!("{}", section.name);
        let step = section.report.step.map_or("-".to_owned(), |step| format!("{step:.0e}"));
        for row in &section.report.rows {
            let verdict = if section.report.agrees(row) { "ok" } else { "WRONG" };
            let checked = format!("{} of {}", row.checked, row.of);
            outln!(
                "  {:width$}  {checked:>13}  {:>8.1e}  {:>8.1e}  {step:>7}  {verdict}",
                row.tensor,
                row.largest,
                row.error,
            );
        }
    }
    let tensors = rows().count();
    let elements: usize = rows().map(|(_, row)| row.checked).sum();
    let wrong = rows().filter(|(section, row)| !section.report.agrees(row)).count();
    outln!("\n{} checks, {tensors} tensors, {elements} elements; {wrong} tensors wrong", sections.len());
    for (kind, what) in [
        (Kind::Gradient, "backward is the derivative of forward"),
        (Kind::Adjoint, "a linear map has its adjoint"),
        (Kind::Formula, "forward is its formula"),
    ] {
        let of_kind = || rows().filter(|(section, _)| section.kind == kind);
        if let Some((section, row)) = of_kind().max_by(|a, b| a.1.error.total_cmp(&b.1.error)) {
            let allowed = section.report.tolerance;
            outln!(
                "{what}: worst error {:.1e} of {allowed:.0e} allowed, {} of {}",
                row.error,
                row.tensor,
                section.name
            );
        }
    }
}

/// The results along random directions.
pub(super) fn print_directions(json: bool, what: &str, found: &[(String, Vec<Direction>)]) -> Result<()> {
    let passed =
        found.iter().all(|(_, all)| !all.is_empty() && all.iter().all(|d| d.passed)) && !found.is_empty();
    if json {
        let layers: Vec<_> =
            found.iter().map(|(layer, all)| json!({ "layer": layer, "directions": all })).collect();
        outln!("{}", json!({ "passed": passed, "model": what, "layers": layers }));
    } else {
        outln!("{what}\n");
        let width = found.iter().map(|(layer, _)| layer.len()).max().unwrap_or(0).max(5);
        let header = ("layer", "numbers moved", "derivative", "error", "slope");
        outln!(
            "{:width$}  {:>13}  {:>10}  {:>8}  {:>5}  verdict",
            header.0,
            header.1,
            header.2,
            header.3,
            header.4
        );
        for (layer, all) in found {
            for d in all {
                let verdict = if d.passed { "ok" } else { "WRONG" };
                let slope = d.slope.map_or("-".to_owned(), |slope| format!("{slope:.2}"));
                let (numbers, n, error) = (d.numbers, d.derivative, d.error);
                outln!("{layer:width$}  {numbers:>13}  {n:>10.2e}  {error:>8.1e}  {slope:>5}  {verdict}");
            }
        }
        let all: Vec<&Direction> = found.iter().flat_map(|(_, all)| all).collect();
        let worst = all.iter().map(|d| d.error).max_by(f64::total_cmp).unwrap_or(f64::NAN);
        outln!(
            "\n{} directions in {} layers; worst error {worst:.1e} of 1e-6 allowed",
            all.len(),
            found.len()
        );
        outln!(
            "The remainder of the first-order expansion shrinks with slope 2 if the gradient is right, 1 if not;"
        );
        outln!("- stands where the loss is straight along a direction, to rounding.");
    }
    if passed {
        return Ok(());
    }
    let wrong = found.iter().filter(|(_, all)| !all.iter().all(|d| d.passed));
    let names: Vec<&str> = wrong.map(|(layer, _)| layer.as_str()).collect();
    Err(Error::CheckFailed(format!("the gradient is wrong along a direction of {}", names.join(", "))))
}

/// One line a bug, one column a check.
/// With `some` layers' checks alone, a bug that none of them catches is left to those of other layers.
pub(super) fn kill_matrix(matrix: &KillMatrix, some: bool) {
    let name = |file: &str, bug: &str| format!("{file}: {bug}");
    let width = matrix.bugs.iter().map(|f| name(f.file, f.bug).chars().count()).max().unwrap_or(0) + 2;
    for (i, check) in matrix.checks.iter().enumerate() {
        outln!("{:width$}{}╭ {check}", "", "│".repeat(i));
    }
    for fate in &matrix.bugs {
        let marks: String = fate.caught.iter().map(|&caught| if caught { '●' } else { '·' }).collect();
        let verdict = match (fate.died(), some) {
            (true, _) => "",
            (false, true) => "  left to other layers' checks",
            (false, false) => "  SURVIVED",
        };
        outln!("{:width$}{marks}{verdict}", name(fate.file, fate.bug));
    }
    let survivors: Vec<_> = matrix.survivors().collect();
    let (planted, died) = (matrix.bugs.len(), matrix.bugs.len() - survivors.len());
    let others = if some { "left to other layers' checks" } else { "survived" };
    outln!("\n{planted} bugs planted one at a time, {died} caught, {} {others}", survivors.len());
    for fate in survivors {
        for [old, new] in &fate.edits {
            outln!("{others}: {}: {}: `{new}` for `{old}`", fate.file, fate.bug);
        }
    }
}
