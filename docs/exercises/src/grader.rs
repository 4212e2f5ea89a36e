//! The grader: runs a check, and where a tensor is wrong tries what would make it right.

use ndarray::{Array, Dimension};
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use vit_mae::audit::report::{Report, Row};
use vit_mae::params::Params;

/// What the grader does to an answer before the check sees it: nothing, or a trial correction.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Whether the answer gets a gradient of zeros, and what it leaves there is added to the true one.
    fresh: bool,
    /// What the answer's gradients are multiplied by; only with `fresh`.
    factor: f64,
}

impl Trial {
    const NONE: Self = Self { fresh: false, factor: 1.0 };
    const ADDED: Self = Self { fresh: true, factor: 1.0 };
    const EMPTIED: Self = Self { fresh: true, factor: 0.0 };

    const fn times(factor: f64) -> Self {
        Self { fresh: true, factor }
    }

    /// Calls an answer that adds to `grad` and returns `dx`, of this shape.
    ///
    /// # Panics
    /// If `dx` has another shape; the grader catches it.
    pub fn run<P: Params<f64>, D: Dimension>(
        self,
        grad: &mut P,
        shape: &[usize],
        answer: impl FnOnce(&mut P) -> Array<f64, D>,
    ) -> Array<f64, D> {
        let fitting = |dx: Array<f64, D>| {
            assert!(
                dx.shape() == shape,
                "the answer returns the shape {:?}, it should be {shape:?}",
                dx.shape()
            );
            dx
        };
        if !self.fresh {
            return fitting(answer(grad));
        }
        let mut fresh = grad.zeros_like();
        let dx = fitting(answer(&mut fresh));
        fresh.scale(self.factor);
        grad.accumulate(&fresh);
        dx * self.factor
    }

    /// The same for a value that an update starts from and what it makes of it.
    #[must_use]
    pub fn moved(self, from: f64, to: f64) -> f64 {
        from + self.factor * (to - from)
    }
}

/// One tensor's error, and whether it passes.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The tensor, as the check names it.
    pub tensor: String,
    /// The scaled error.
    pub error: f64,
    /// Whether it is small enough.
    pub right: bool,
}

/// The rows of a gradient check.
#[must_use]
pub fn measured(report: &Report) -> Vec<Measured> {
    let row =
        |row: &Row| Measured { tensor: row.tensor.clone(), error: row.error, right: report.agrees(row) };
    report.rows.iter().filter(|row| row.of > 0).map(row).collect()
}

/// What is said about one tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The check passes.
    Right,
    /// The answer leaves it at 0.
    NotWritten,
    /// The check fails: by how much, and what would help, if the grader found it.
    Wrong(f64, Option<String>),
}

/// What is said about an exercise.
#[derive(Clone, Debug)]
pub enum Grade {
    /// By tensor, as the check names them.
    Tensors(Vec<(String, Verdict)>),
    /// The answer panicked, with this message.
    Panicked(String),
}

impl Grade {
    /// Whether all is right.
    #[must_use]
    pub fn solved(&self) -> bool {
        matches!(self, Self::Tensors(rows) if rows.iter().all(|(_, verdict)| *verdict == Verdict::Right))
    }

    /// Whether nothing is there yet.
    #[must_use]
    pub fn not_begun(&self) -> bool {
        matches!(self, Self::Tensors(rows) if rows.iter().all(|(_, verdict)| *verdict == Verdict::NotWritten))
    }
}

/// Factors that are easily lost, tried on every exercise; what helps is said in these words.
const FACTORS: [(f64, &str); 3] =
    [(-1.0, "its sign is wrong"), (2.0, "a factor of 2 is missing"), (0.5, "it has a factor of 2 too many")];

/// Grades an answer: `check` runs it under a trial.
pub fn grade(check: impl Fn(Trial) -> Vec<Measured>, factors: &[(f64, &str)]) -> Grade {
    let rows = match quietly(|| check(Trial::NONE)) {
        Ok(rows) => rows,
        Err(message) => return Grade::Panicked(message),
    };
    if rows.iter().all(|row| row.right) {
        return Grade::Tensors(rows.into_iter().map(|row| (row.tensor, Verdict::Right)).collect());
    }
    let attempt = |trial: Trial| quietly(|| check(trial)).unwrap_or_else(|_| rows.clone());
    let (added, emptied) = (attempt(Trial::ADDED), attempt(Trial::EMPTIED));
    let factors: Vec<(Vec<Measured>, &str)> = FACTORS
        .iter()
        .chain(factors)
        .map(|&(factor, advice)| (attempt(Trial::times(factor)), advice))
        .collect();
    let verdict = |i: usize| {
        let row = &rows[i];
        let advice = factors.iter().find(|(rows, _)| rows[i].right).map(|(_, advice)| (*advice).to_owned());
        if row.right {
            Verdict::Right
        } else if added[i].error == emptied[i].error {
            // Multiplying it by 0 changes nothing: it is 0.
            Verdict::NotWritten
        } else if added[i].right {
            Verdict::Wrong(row.error, Some("it must be added to what is there (`+=`)".to_owned()))
        } else {
            Verdict::Wrong(row.error, advice)
        }
    };
    Grade::Tensors((0..rows.len()).map(|i| (rows[i].tensor.clone(), verdict(i))).collect())
}

thread_local! {
    /// While an answer runs on this thread: what its panic said.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs an answer; a panic in it becomes its message. Panics elsewhere are reported as ever.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let answers = PANIC.with_borrow_mut(|panic| panic.as_mut().map(|message| *message = said(info)));
            if answers.is_none() {
                usual(info);
            }
        }));
    });
    PANIC.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    let message = PANIC.take();
    result.map_err(|_| message.unwrap_or_default())
}

/// A panic's message, and its place if that is in an answer.
fn said(info: &panic::PanicHookInfo) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let message = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    match info.location().filter(|place| place.file().contains("yours")) {
        Some(place) => format!("{message} ({place})"),
        None => message.to_owned(),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Right => f.write_str("right"),
            Self::NotWritten => f.write_str("not written yet"),
            Self::Wrong(error, None) => write!(f, "wrong, scaled error {error:.1e}"),
            Self::Wrong(error, Some(advice)) => write!(f, "wrong, scaled error {error:.1e}: {advice}"),
        }
    }
}
