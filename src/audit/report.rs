//! What a check found: one row a tensor, and a verdict that no NaN can pass.

use serde::Serialize;
use std::fmt;

/// The result for one tensor.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The tensor's name, `input`, or what was compared.
    pub tensor: String,
    /// Elements compared.
    pub checked: usize,
    /// Elements that the tensor has.
    pub of: usize,
    /// The largest magnitude among the expected values: difference quotients or a formula's results.
    pub largest: f64,
    /// The worst error, scaled: `max |a − n| / (max |n| + floor)`, found against expected.
    pub error: f64,
}

/// The result of one check: one row a tensor, and one for the input.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What an error may be.
    pub tolerance: f64,
    /// `h` of the difference quotients; none where nothing was differenced.
    pub step: Option<f64>,
    /// One a tensor.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether every tensor agrees. An error that is not a number does not pass, nor does an empty report.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| self.agrees(row))
    }

    /// Whether one tensor agrees.
    #[must_use]
    pub fn agrees(&self, row: &Row) -> bool {
        row.error <= self.tolerance
    }

    /// The largest error of all tensors.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.rows.iter().fold(0.0, |worst, row| nan_max(worst, row.error))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.tensor.len()).max().unwrap_or(0).max(6);
        writeln!(f, "{:width$}  {:>11}  {:>9}  {:>9}", "tensor", "checked", "max |n|", "error")?;
        for row in &self.rows {
            let Row { tensor, checked, of, largest, error } = row;
            let verdict = if self.agrees(row) { "ok" } else { "WRONG" };
            writeln!(f, "{tensor:width$}  {checked:>4} of {of:>3}  {largest:9.2e}  {error:9.2e}  {verdict}")?;
        }
        Ok(())
    }
}

/// As `f64::max`, but a value that is not a number wins: it must fail the check, not vanish.
#[must_use]
pub fn nan_max(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}
