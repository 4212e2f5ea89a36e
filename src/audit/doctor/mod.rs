//! The doctor: whether a run is healthy, in plain words, each verdict with its number and its threshold.
//!
//! [`Evidence`] gathers what there is (settings, log, checkpoint, data) and measures what needs the model;
//! each check is a function from it to findings; the table `Check::ALL` lists them, causes before symptoms. The
//! thresholds and the reasons for them are in `docs/doctor.md`.

mod curve;
mod data;
pub mod evidence;
mod files;
mod fit;
pub mod log;
mod loss;
mod masks;
pub mod probe;
pub mod rates;
mod saved;
mod signals;
mod weights;
mod words;
pub mod yardstick;

pub use evidence::Evidence;

use crate::base::Result;
use crate::tasks::{self, WithTask};
use crate::train::Task;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How a check ended, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The check could not be done; the text says why.
    NotDone,
    /// Worth knowing; nothing is wrong.
    Note,
    /// Probably worth a change.
    Warning,
    /// Something is wrong.
    Problem,
}

impl Verdict {
    /// As printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotDone => "not done",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing a check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found, with the numbers.
    pub text: String,
    /// What to try.
    pub advice: Option<String>,
}

impl Finding {
    fn new(verdict: Verdict, text: impl Into<String>, advice: Option<&str>) -> Self {
        Self { check: "", verdict, text: text.into(), advice: advice.map(str::to_owned) }
    }

    fn ok(text: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, text, None)
    }

    fn not_done(why: impl Into<String>) -> Self {
        Self::new(Verdict::NotDone, why, None)
    }

    fn note(text: impl Into<String>) -> Self {
        Self::new(Verdict::Note, text, None)
    }

    fn warning(text: impl Into<String>, advice: &str) -> Self {
        Self::new(Verdict::Warning, text, Some(advice))
    }

    fn problem(text: impl Into<String>, advice: &str) -> Self {
        Self::new(Verdict::Problem, text, Some(advice))
    }

    fn advising(mut self, advice: &str) -> Self {
        self.advice = Some(advice.to_owned());
        self
    }
}

/// A question that the doctor asks.
struct Check<T: Task> {
    name: &'static str,
    look: fn(&Evidence<T>) -> Vec<Finding>,
}

/// All checks, causes before symptoms: in this order advice of the same weight is given.
#[rustfmt::skip]
impl<T: Task> Check<T> {
    const ALL: &[Self] = &[
        Check { name: "files", look: files::files },
        Check { name: "settings", look: files::settings },
        Check { name: "data", look: files::data },
        Check { name: "learning rate", look: rates::learning_rate },
        Check { name: "finite weights", look: weights::finite },
        Check { name: "dead weights", look: weights::dead },
        Check { name: "schedule", look: rates::schedule },
        Check { name: "warm-up", look: curve::warm_up },
        Check { name: "divergence", look: curve::divergence },
        Check { name: "norms", look: weights::norms },
        Check { name: "updates", look: rates::updates },
        Check { name: "trivial predictors", look: loss::trivial_predictors },
        Check { name: "logged loss", look: loss::logged_loss },
        Check { name: "over-fitting", look: fit::over_fitting },
        Check { name: "gradients", look: signals::gradients },
        Check { name: "MLP units", look: |e| e.of_pretraining().map_or_else(Vec::new, signals::units) },
        Check { name: "attention", look: |e| e.of_pretraining().map_or_else(Vec::new, signals::attention) },
        Check { name: "plateau", look: curve::plateau },
        Check { name: "noise", look: curve::noise },
        Check { name: "masks", look: |e| e.of_pretraining().map_or_else(Vec::new, masks::masks) },
        Check { name: "progress", look: files::progress },
    ];
}

/// What the doctor says about a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run directory.
    pub run: String,
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps planned, where that can be known.
    pub steps_planned: Option<u64>,
    /// The worst verdict.
    pub verdict: Verdict,
    /// One sentence.
    pub summary: String,
    /// Every finding, in the order of the checks.
    pub findings: Vec<Finding>,
    /// What to try, most important first.
    pub advice: Vec<String>,
    /// Learning rate, decay and update ratio of each group of tensors.
    pub groups: Vec<rates::GroupRow>,
    /// The last loss and scores, and those of trivial predictors on the same images.
    pub losses: Vec<(String, f64)>,
}

impl Report {
    /// Whether nothing is wrong: notes and warnings are allowed.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.verdict < Verdict::Problem
    }
}

/// Examines the run at `path`; `data` takes the place of the data's path where the data has moved.
///
/// # Errors
/// If `path` is no run: it has neither readable settings nor a checkpoint.
pub fn examine(path: &Path, data: Option<&Path>) -> Result<Report> {
    let run = evidence::run_dir(path)?;
    let (settings, at) = evidence::settings(&run);
    tasks::with_task_of(&settings, &at, Examining { run, path, data })
}

/// An examination of a run whose task is known.
struct Examining<'a> {
    run: PathBuf,
    path: &'a Path,
    data: Option<&'a Path>,
}

impl WithTask for Examining<'_> {
    type Output = Report;

    fn run<T: Task>(self) -> Result<Report> {
        let evidence = Evidence::<T>::gather(self.run, self.path, self.data)?;
        let mut findings = Vec::new();
        for check in Check::ALL {
            let found = (check.look)(&evidence).into_iter();
            findings.extend(found.map(|finding| Finding { check: check.name, ..finding }));
        }
        Ok(Report {
            run: evidence.run.display().to_string(),
            step: evidence.steps_done(),
            steps_planned: evidence.steps_planned(),
            verdict: findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::NotDone),
            summary: summary(&findings),
            advice: advice(&findings),
            groups: rates::rows(&evidence),
            losses: loss::losses(&evidence),
            findings,
        })
    }
}

/// What to try: worst findings first, of these causes before symptoms, nothing twice.
fn advice(findings: &[Finding]) -> Vec<String> {
    let mut sorted: Vec<&Finding> = findings.iter().filter(|f| f.advice.is_some()).collect();
    sorted.sort_by_key(|f| std::cmp::Reverse(f.verdict));
    let mut advice: Vec<String> = Vec::new();
    for text in sorted.into_iter().filter_map(|f| f.advice.clone()) {
        if !advice.contains(&text) {
            advice.push(text);
        }
    }
    advice
}

fn summary(findings: &[Finding]) -> String {
    let of = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let counts =
        [(of(Verdict::Problem), "problem"), (of(Verdict::Warning), "warning"), (of(Verdict::Note), "note")];
    let said: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| words::count(*n, word)).collect();
    let not_done = match of(Verdict::NotDone) {
        0 => String::new(),
        n => format!("; {} not done", words::count(n, "check")),
    };
    let said = if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) };
    let first = findings.iter().find(|f| f.verdict == Verdict::Problem);
    match (first, of(Verdict::Warning)) {
        (Some(first), _) => format!("not healthy: {}{said}{not_done}", first.check),
        (None, 0) => format!("healthy{said}{not_done}"),
        (None, _) => format!("no problem, but not without doubts{said}{not_done}"),
    }
}
