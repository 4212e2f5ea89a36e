//! Matrices as the page draws them: elements of a tensor, all of them or a regular selection, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// The most elements of a matrix that is given exactly, in f32.
pub const EXACT: usize = 4096;

/// How the elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// f32, little-endian: the tensor's own bits.
    F32,
    /// A byte: `128 + round(127 · x / scale)`, cut off at ±scale.
    Signed,
    /// A byte: `round(255 · x / scale)`, for elements that are never negative.
    Unsigned,
}

/// A matrix to be drawn. Cell `(i, j)` shows the tensor's element `(⌊i·of₀/rows⌋, ⌊j·of₁/columns⌋)`: elements
/// are selected and not averaged, which would hide what is large.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// Cells in a column.
    pub rows: usize,
    /// Cells in a row.
    pub columns: usize,
    /// Rows and columns of the matrix itself.
    pub of: [usize; 2],
    /// The value at which colours saturate.
    pub scale: f64,
    /// How `data` is written.
    pub coding: Coding,
    /// Whether values have two signs.
    pub signed: bool,
    /// Base64.
    pub data: String,
}

/// How much of the tensors a page may hold.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Most cells of one picture.
    pub cells: usize,
    /// Most elements that are given exactly.
    pub exact: usize,
}

impl Budget {
    /// `bytes` shared by `pictures`; a picture has at most `most` cells and at least a few.
    #[must_use]
    pub fn share(bytes: usize, pictures: usize, most: usize) -> Self {
        Self { cells: (bytes / pictures.max(1)).clamp(64, most), exact: 0 }
    }

    /// Gives matrices exactly where they have at most `exact` elements.
    #[must_use]
    pub fn exactly(self, exact: usize) -> Self {
        Self { exact, ..self }
    }
}

impl Picture {
    /// Values of two signs, in row-major order: colours saturate at three times their root mean square (or
    /// at the largest, if that is less).
    #[must_use]
    pub fn signed(values: &[f32], shape: [usize; 2], budget: Budget) -> Self {
        let squares: f64 = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let rms = (squares / values.len().max(1) as f64).sqrt();
        Self::new(values, shape, budget, (3.0 * rms).min(largest(values)), Coding::Signed)
    }

    /// Values that are never negative: colours saturate at the largest.
    #[must_use]
    pub fn unsigned(values: &[f32], shape: [usize; 2], budget: Budget) -> Self {
        Self::new(values, shape, budget, largest(values), Coding::Unsigned)
    }

    fn new(values: &[f32], of: [usize; 2], budget: Budget, scale: f64, bytes: Coding) -> Self {
        assert_eq!(values.len(), of[0] * of[1], "a matrix of {of:?}");
        let signed = bytes == Coding::Signed;
        let exact = values.len() <= budget.exact;
        let [rows, columns] = if exact { of } else { fitting(of, budget.cells) };
        let cells = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
        let cells = cells.map(|(i, j)| values[i * of[0] / rows * of[1] + j * of[1] / columns]);
        let (coding, data) = if exact {
            (Coding::F32, STANDARD.encode(cells.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()))
        } else {
            (bytes, STANDARD.encode(cells.map(|x| byte(f64::from(x), scale, signed)).collect::<Vec<u8>>()))
        };
        Self { rows, columns, of, scale, coding, signed, data }
    }
}

/// Rows and columns of at most `cells` cells; the longer side gives way first.
fn fitting([mut rows, mut columns]: [usize; 2], cells: usize) -> [usize; 2] {
    let side = cells.isqrt().max(1);
    if rows * columns > cells {
        if rows <= side {
            columns = cells / rows;
        } else if columns <= side {
            rows = cells / columns;
        } else {
            (rows, columns) = (side, side);
        }
    }
    [rows, columns]
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |most: f64, &x| most.max(f64::from(x).abs()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off at 0..=255")]
fn byte(x: f64, scale: f64, signed: bool) -> u8 {
    let share = if scale > 0.0 { x / scale } else { 0.0 };
    let level = if signed { 128.0 + 127.0 * share.clamp(-1.0, 1.0) } else { 255.0 * share.clamp(0.0, 1.0) };
    level.round() as u8
}

/// What the page says about a tensor in numbers; sums are taken in f64.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// The least element.
    pub min: f32,
    /// The largest.
    pub max: f32,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (divisor n).
    pub std: f64,
    /// The square root of the sum of their squares.
    pub norm: f64,
    /// How many are exactly 0.
    pub zeros: usize,
}

/// The statistics of at least one value.
#[must_use]
pub fn statistics(values: &[f32]) -> Statistics {
    let n = values.len() as f64;
    let wide = || values.iter().map(|&x| f64::from(x));
    let mean = wide().sum::<f64>() / n;
    Statistics {
        min: values.iter().copied().fold(f32::INFINITY, f32::min),
        max: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        mean,
        std: (wide().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt(),
        norm: wide().map(|x| x * x).sum::<f64>().sqrt(),
        zeros: values.iter().filter(|&&x| x == 0.0).count(),
    }
}

/// The L2 norm of each row.
#[must_use]
pub fn row_norms(values: &[f32], columns: usize) -> Vec<f64> {
    let norm = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    values.chunks_exact(columns).map(norm).collect()
}
