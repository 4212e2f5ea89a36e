//! `vit-mae audit doctor`.

use crate::cli::outln;
use std::path::PathBuf;
use vit_mae::audit::doctor::rates::GroupRow;
use vit_mae::audit::doctor::{Report, examine};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae audit doctor runs/0001                     finished, interrupted or still going on
  vit-mae audit doctor runs/0001 --data /mnt/images  the images have moved
  vit-mae audit doctor runs/0001 --json | jq .advice

RUN is of any kind: pre-training or fine-tuning. A check that means nothing for its kind is left out.

Verdicts: ok, note, warning, problem; \"not done\" where something is missing, such as the images.
Exit codes: 0 no problem, 1 a problem, 2 not a run.";

/// Columns of text beside the verdict.
const WIDTH: usize = 76;

/// Flags of `vit-mae audit doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where the run's images are now, if they have moved
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Threads [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
}

/// Examines and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    crate::cli::start_threads(args.threads)?;
    let report = examine(&args.run, args.data.as_deref())?;
    if args.json {
        outln!("{}", crate::cli::json(&report)?);
    } else {
        print(&report);
    }
    if report.healthy() { Ok(()) } else { Err(Error::CheckFailed(report.summary)) }
}

fn print(report: &Report) {
    let planned = report.steps_planned.map_or(String::new(), |steps| format!(" of {steps}"));
    outln!("{}, step {}{planned}\n", report.run, report.step);
    for finding in &report.findings {
        let mut lines = wrapped(&finding.text, WIDTH).into_iter();
        outln!("{:<19} {:<8}  {}", finding.check, finding.verdict.word(), lines.next().unwrap_or_default());
        lines.for_each(|line| outln!("{:30}{line}", ""));
    }
    if !report.losses.is_empty() {
        outln!();
        report.losses.iter().for_each(|(name, loss)| outln!("{name:<52} {loss:>8.4}"));
    }
    if !report.groups.is_empty() {
        outln!("\n{}", GROUPS);
        report.groups.iter().for_each(print_group);
    }
    if !report.advice.is_empty() {
        outln!("\nWhat to try, most important first");
        for (i, advice) in report.advice.iter().enumerate() {
            let mut lines = wrapped(advice, WIDTH + 25).into_iter();
            outln!("{:>3}. {}", i + 1, lines.next().unwrap_or_default());
            lines.for_each(|line| outln!("     {line}"));
        }
    }
    outln!("\n{}: {}", report.run, report.summary);
}

const GROUPS: &str =
    "group             tensors    numbers   decay        lr      rms  / start  update/weight   at peak lr";

fn print_group(row: &GroupRow) {
    let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1e}"));
    let start = row.rms_beside_start.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    outln!(
        "{:<17} {:>7} {:>10} {:>7} {:>9.2e} {:>8.4} {start:>8} {:>14} {:>12}",
        row.group,
        row.tensors,
        row.numbers,
        row.weight_decay,
        row.lr,
        row.rms,
        ratio(row.update_ratio),
        ratio(row.update_ratio_at_peak),
    );
}

/// Text in lines of at most `width` letters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
