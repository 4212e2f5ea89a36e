//! Cutting row loops and products into row blocks whose borders depend on the shape alone.
//!
//! Whatever is summed across rows is summed per row block first and then in the order of the row blocks, whether
//! the row blocks ran on one thread or on sixteen: parallel execution changes no bits.

use super::kernel::{self, AddRows};
use crate::base::Real;
use ndarray::{Array2, ArrayBase, Data, Ix2};
use rayon::prelude::*;
use std::slice::{Chunks, ChunksMut};

/// Rows in a row block of a row loop.
pub const ROWS: usize = 64;

/// Runs `work` on each task, in parallel or one after another.
pub fn each<T: Send>(parallel: bool, tasks: impl Iterator<Item = T>, work: impl Fn(T) + Sync + Send) {
    if parallel {
        let tasks: Vec<T> = tasks.collect();
        tasks.into_par_iter().for_each(work);
    } else {
        tasks.for_each(work);
    }
}

/// How many row blocks `rows` rows make.
#[must_use]
pub fn count(rows: usize) -> usize {
    rows.div_ceil(ROWS)
}

/// The row blocks of a matrix: each a slice of whole rows, the last one perhaps shorter.
///
/// # Panics
/// If the matrix is not in row-major order.
pub fn of<F, S: Data<Elem = F>>(x: &ArrayBase<S, Ix2>) -> Chunks<'_, F> {
    let columns = x.ncols().max(1);
    x.as_slice().expect("activations are row-major").chunks(ROWS * columns)
}

/// The row blocks of a matrix, to be written.
///
/// # Panics
/// If the matrix is not in row-major order.
pub fn of_mut<F>(x: &mut Array2<F>) -> ChunksMut<'_, F> {
    let columns = x.ncols().max(1);
    x.as_slice_mut().expect("activations are row-major").chunks_mut(ROWS * columns)
}

/// Adds partial sums, one row of `sums.len()` values a row block, to `sums` in the order of the row blocks.
pub fn add_partials<F: Real>(partials: &[F], sums: &mut [F]) {
    kernel::widest(&AddRows, (partials, sums));
}

/// How many rows, or columns, of an output `length` long one task of a split product computes, of a product with
/// `multiplications` in all: a power-of-two fraction, and all of them if the product is small.
///
/// At least 192: each task packs the whole other operand again, which then costs little, and both backends block
/// the inner dimension as they do without splitting, which small products change (the `gemm` crate up to 64 rows
/// and columns).
#[must_use]
pub fn product_part(length: usize, multiplications: usize) -> usize {
    const WORTH_SPLITTING: usize = 1 << 21;
    let mut parts = 1;
    while parts < 16 && length / (2 * parts) >= 192 && multiplications / parts >= WORTH_SPLITTING {
        parts *= 2;
    }
    length.div_ceil(parts)
}
