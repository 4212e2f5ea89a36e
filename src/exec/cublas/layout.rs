//! From strided views to cuBLAS's column-major matrices: which operand is transposed, with which leading dimension, and
//! what must be packed first.
//!
//! A row-major `[r, c]` matrix is, read column by column, its transpose. So a row-major `C = A·B` is computed as the
//! column-major `Cᵀ = Bᵀ·Aᵀ`: the operands change places and nothing is moved. A view whose *columns* are contiguous is a
//! transposed row-major matrix and is read with [`Op::T`].

use super::blas::{Call, Op};
use crate::base::Real;
use ndarray::{ArrayView2, ArrayView3, ArrayViewMut2};

/// How a matrix lies in memory: `ld` elements from one line to the next. A line is a row, or with [`Op::T`] a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) op: Op,
    pub(super) ld: usize,
}

impl Layout {
    /// How cuBLAS can read the view where it lies: if one of its strides is 1 and the other not less than a line is long.
    pub(super) fn in_place<F>(view: &ArrayView2<F>) -> Option<Self> {
        let (rows, columns) = view.dim();
        // The stride of a dimension of length 1 never counts.
        let step = |axis: usize, length: usize| (length > 1).then(|| view.strides()[axis]);
        let line = |along: Option<isize>, across: Option<isize>, length: usize| {
            let contiguous = along.is_none_or(|stride| stride == 1);
            let ld = across.map_or(Some(length), |stride| usize::try_from(stride).ok());
            ld.filter(|&ld| contiguous && ld >= length.max(1))
        };
        let (down, right) = (step(0, rows), step(1, columns));
        let row_major = line(right, down, columns).map(|ld| Self { op: Op::N, ld });
        row_major.or_else(|| line(down, right, rows).map(|ld| Self { op: Op::T, ld }))
    }

    /// How the view is packed: line by line without gaps, in the order in which it lies in memory where it has one.
    pub(super) fn packed<F>(view: &ArrayView2<F>) -> Self {
        let (rows, columns) = view.dim();
        match Self::in_place(view) {
            Some(Self { op: Op::T, .. }) => Self { op: Op::T, ld: rows },
            _ => Self { op: Op::N, ld: columns },
        }
    }
}

/// Writes the view to `out` as [`Layout::packed`] says. Any strides: negative ones and zero, too.
pub(super) fn pack<F: Real>(view: ArrayView2<F>, op: Op, out: &mut [F]) {
    let lines = if op == Op::T { view.reversed_axes() } else { view };
    for (line, out) in lines.rows().into_iter().zip(out.chunks_exact_mut(lines.ncols())) {
        match line.as_slice() {
            Some(line) => out.copy_from_slice(line),
            None => out.iter_mut().zip(line).for_each(|(out, &x)| *out = x),
        }
    }
}

/// Packs every matrix of a batch, one behind the other.
pub(super) fn pack_batch<F: Real>(batch: &ArrayView3<F>, op: Op, out: &mut [F]) {
    let (_, rows, columns) = batch.dim();
    for (matrix, out) in batch.outer_iter().zip(out.chunks_exact_mut(rows * columns)) {
        pack(matrix, op, out);
    }
}

/// `C ← AB + β·C` where the device brought `AB`, row by row without gaps. With `β = 0`, `C` is not read.
pub(super) fn unpack<F: Real>(product: &[F], beta: F, mut c: ArrayViewMut2<F>) {
    let columns = c.ncols();
    for (mut row, product) in c.rows_mut().into_iter().zip(product.chunks_exact(columns)) {
        if beta == F::zero() {
            row.iter_mut().zip(product).for_each(|(c, &ab)| *c = ab);
        } else {
            row.iter_mut().zip(product).for_each(|(c, &ab)| *c = ab + beta * *c);
        }
    }
}

/// cuBLAS's arguments for a row-major `C = α·A·B + β·C`, `[m, k]·[k, n]`, with `C`'s rows without gaps: its first
/// operand is our `B`.
pub(super) fn call<F>(
    [m, k, n]: [usize; 3],
    alpha: F,
    a: Layout,
    b: Layout,
    beta: F,
    batch: usize,
) -> Call<F> {
    Call {
        ops: [b.op, a.op],
        m: n,
        n: m,
        k,
        alpha,
        beta,
        ld: [b.ld, a.ld, n],
        batch,
        strides: [k * n, m * k, m * n],
    }
}
