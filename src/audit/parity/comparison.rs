//! What a comparison found: one row a tensor, and a verdict that needs every row.

use serde::Serialize;
use std::path::PathBuf;

/// What became of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// An input of the computation: nothing to compare.
    Input,
    /// Agrees.
    Ok,
    /// Does not agree.
    Differs,
    /// The program computes it, the file does not have it.
    Missing,
    /// The file has it, the program does not know it.
    Unknown,
}

/// One tensor.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub tensor: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// `max |a − b|`, computed against recorded.
    pub max_abs_error: Option<f64>,
    /// `max |a − b| / max |b|`.
    pub max_rel_error: Option<f64>,
    /// The largest `max |a − b|` that passes.
    pub tolerance: Option<f64>,
    /// What else was counted, where a bound on the largest error is not the whole rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
}

/// A recording, tensor by tensor.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The file.
    pub file: PathBuf,
    /// What it is a recording of.
    pub kind: String,
    /// Its precision.
    pub dtype: String,
    /// One a tensor: in the order of the computation, unknown ones last.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// Whether something was compared and every tensor was an input or agrees.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.count(Verdict::Ok) > 0
            && self.rows.iter().all(|row| matches!(row.verdict, Verdict::Ok | Verdict::Input))
    }

    /// Tensors with this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }
}
