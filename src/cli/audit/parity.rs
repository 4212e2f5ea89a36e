//! `vit-mae audit parity`.

use super::junit::{Case, JUnit, Suite, Verdict as Outcome};
use crate::cli::{outln, visible};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;
use vit_mae::audit::parity::{self, Comparison, Row, Verdict};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae audit parity tests/golden/mae_v1.f64.safetensors
  vit-mae audit parity tests/golden/*.safetensors
  vit-mae audit parity my-model.safetensors --json

A recording is a safetensors file whose metadata entry `golden` says what it is: a step of mae, vit, beit, moco, \
segment or detect, or one of their parts. docs/audit.md lists the kinds, and has the format, the tolerances, and how to record a \
model of your own in PyTorch.

Exit codes: 0 every tensor agrees, 1 one differs, is missing or is unknown, 2 a file is not a whole recording.";

/// Flags of `vit-mae audit parity`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Recordings
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One JSON document
    #[arg(long)]
    json: bool,
    /// Print only what is not an input and agrees
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Also write a JUnit report, for CI systems; an earlier one is replaced
    #[arg(long, value_name = "FILE.xml")]
    junit: Option<PathBuf>,
}

/// Compares every file. A file that is no recording does not keep the others from being compared.
pub(crate) fn run(args: &Args) -> Result<()> {
    let junit = JUnit::new(args.junit.as_deref())?;
    let (mut failed, mut unreadable, mut documents) = (Vec::new(), None, Vec::new());
    let mut suites = Vec::new();
    for file in &args.files {
        let started = Instant::now();
        let compared = parity::compare(file);
        let (name, took) = (file.display().to_string(), started.elapsed());
        suites.push(Suite::new(name, took, cases(&compared)));
        match compared {
            Ok(comparison) => {
                if args.json {
                    documents.push(document(&comparison));
                } else {
                    print(&comparison, args.quiet);
                }
                if !comparison.passed() {
                    failed.push(file.display().to_string());
                }
            }
            Err(error) => {
                documents.push(json!({ "file": file, "passed": false, "error": error.to_string() }));
                if let Some(earlier) = unreadable.replace(error)
                    && !args.json
                {
                    outln!("not compared: {earlier}\n");
                }
            }
        }
    }
    if let Some(junit) = junit {
        junit.write("vit-mae audit parity", &suites)?;
    }
    let passed = failed.is_empty() && unreadable.is_none();
    if args.json {
        outln!("{}", json!({ "passed": passed, "files": documents }));
    }
    match unreadable {
        Some(error) => Err(error),
        None if passed => Ok(()),
        None => Err(Error::CheckFailed(format!("not the recorded numbers: {}", failed.join(", ")))),
    }
}

/// A case for each tensor that has a verdict; one for a file that is no recording.
fn cases(compared: &Result<Comparison>) -> Vec<Case> {
    let comparison = match compared {
        Ok(comparison) => comparison,
        Err(error) => {
            let (name, verdict) = ("recording".to_owned(), Outcome::Error(error.to_string()));
            return vec![Case { name, verdict }];
        }
    };
    let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.1e}"));
    let message = |row: &Row| {
        let (error, allowed) = (number(row.max_abs_error), number(row.tolerance));
        format!("{}: max abs {error}, allowed {allowed}", in_words(row.verdict))
    };
    let judged = comparison.rows.iter().filter(|row| row.verdict != Verdict::Input);
    let case = |row: &Row| Case {
        name: row.tensor.clone(),
        verdict: Outcome::of(row.verdict == Verdict::Ok, || message(row)),
    };
    judged.map(case).collect()
}

/// A verdict as the table has it.
fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Input => "input",
        Verdict::Ok => "ok",
        Verdict::Differs => "DIFFERS",
        Verdict::Missing => "MISSING in the file",
        Verdict::Unknown => "UNKNOWN to the program, so not compared",
    }
}

fn document(comparison: &Comparison) -> Value {
    let mut document = json!(comparison);
    document["passed"] = comparison.passed().into();
    document
}

/// The table of one file.
fn print(comparison: &Comparison, quiet: bool) {
    let Comparison { file, kind, dtype, rows } = comparison;
    outln!("{}: {kind} in {dtype}\n", file.display());
    let shown = |row: &&Row| !quiet || !matches!(row.verdict, Verdict::Input | Verdict::Ok);
    let shape = |row: &Row| format!("{:?}", row.shape).replace(", ", "×").replace(['[', ']'], "");
    let width = |of: &dyn Fn(&Row) -> usize| rows.iter().filter(shown).map(of).max().unwrap_or(0).max(6);
    let (names, shapes) = (width(&|row| row.tensor.len()), width(&|row| shape(row).chars().count()));
    let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.1e}"));
    if rows.iter().any(|row| shown(&row)) {
        let header = ("tensor", "shape", "max abs", "max rel", "allowed");
        outln!(
            "{:names$}  {:shapes$}  {:>8}  {:>8}  {:>8}  verdict",
            header.0,
            header.1,
            header.2,
            header.3,
            header.4
        );
    }
    for row in rows.iter().filter(shown) {
        let verdict = in_words(row.verdict);
        let note = row.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
        outln!(
            "{:names$}  {:shapes$}  {:>8}  {:>8}  {:>8}  {verdict}{note}",
            visible(&row.tensor),
            shape(row),
            number(row.max_abs_error),
            number(row.max_rel_error),
            number(row.tolerance),
        );
    }
    let count = |verdict| comparison.count(verdict);
    outln!(
        "{}{} agree, {} inputs, {} differ, {} missing, {} unknown",
        if rows.iter().any(|row| shown(&row)) { "\n" } else { "" },
        count(Verdict::Ok),
        count(Verdict::Input),
        count(Verdict::Differs),
        count(Verdict::Missing),
        count(Verdict::Unknown),
    );
    if let Some((share, row)) = nearest(rows) {
        outln!("nearest to its limit: {} at {:.0} % of what is allowed", visible(&row.tensor), 100.0 * share);
    }
    outln!();
}

/// The tensor whose error is the largest fraction of its tolerance.
fn nearest(rows: &[Row]) -> Option<(f64, &Row)> {
    let share = |row: &Row| Some(row.max_abs_error? / row.tolerance.filter(|&allowed| allowed > 0.0)?);
    let shares = rows.iter().filter_map(|row| Some((share(row)?, row)));
    shares.max_by(|a, b| a.0.total_cmp(&b.0))
}
