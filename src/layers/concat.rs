//! Features of several maps side by side in one matrix, and apart again.

use crate::base::Real;
use crate::exec::{Exec, row_blocks};
use ndarray::{Array2, ArrayView2};

/// `[R, C₀], [R, C₁], … → [R, C₀ + C₁ + …]`.
///
/// # Panics
/// If the parts differ in their rows.
pub fn concat<F: Real>(parts: &[&Array2<F>], cx: &mut Exec<F>) -> Array2<F> {
    let rows = parts[0].nrows();
    assert!(parts.iter().all(|part| part.nrows() == rows), "parts of {rows} rows");
    let width = parts.iter().map(|part| part.ncols()).sum();
    let mut y = cx.take(rows, width);
    let parts: Vec<(&[F], usize)> = parts
        .iter()
        .map(|part| (part.as_slice().expect("activations are row-major"), part.ncols()))
        .collect();
    cx.each(row_blocks::of_mut(&mut y).enumerate(), |(block, y)| {
        for (r, mut row) in y.chunks_exact_mut(width).enumerate() {
            for (part, columns) in &parts {
                let (of_part, rest) = row.split_at_mut(*columns);
                of_part.copy_from_slice(&part[(block * row_blocks::ROWS + r) * columns..][..*columns]);
                row = rest;
            }
        }
    });
    y
}

/// The adjoint: the columns of `dy` in parts of these widths.
///
/// # Panics
/// If the widths do not add up to the columns of `dy`.
pub fn concat_backward<F: Real>(dy: ArrayView2<F>, widths: &[usize], cx: &mut Exec<F>) -> Vec<Array2<F>> {
    let (rows, width) = dy.dim();
    assert_eq!(widths.iter().sum::<usize>(), width, "parts of {width} columns");
    let dy = dy.as_slice().expect("activations are row-major");
    let mut first = 0;
    let mut parts = Vec::with_capacity(widths.len());
    for &columns in widths {
        let mut part = cx.take(rows, columns);
        cx.each(row_blocks::of_mut(&mut part).enumerate(), |(block, part)| {
            for (r, row) in part.chunks_exact_mut(columns).enumerate() {
                row.copy_from_slice(&dy[(block * row_blocks::ROWS + r) * width + first..][..columns]);
            }
        });
        parts.push(part);
        first += columns;
    }
    parts
}
