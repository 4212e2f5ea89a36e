//! Products of matrices so small that packing and dispatching them would cost more than multiplying: those of
//! attention's heads.
#![allow(unsafe_code, reason = "the inner loop reads through pointers; the views vouch for every element")]
#![expect(clippy::needless_range_loop, reason = "tiles are written as equations, in indices")]

use super::gemm::Gemm;
use super::kernel;
use crate::base::Real;
use ndarray::{ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis};
use pulp::{Simd, WithSimd};
use std::array::from_fn;
use std::mem::MaybeUninit;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// Columns of `C` that are computed together are at most two vectors, of at most 16 elements each.
const PANEL: usize = 2 * 16;
/// The longest inner dimension for which a panel of `B` fits its buffer on the stack (16 KiB in f64).
const LONGEST: usize = 64;
/// Up to so many multiplications the kernel here is at least as fast as the `gemm` crate (`benches/products.rs`).
const SMALL: usize = 1 << 17;

/// Whether [`product`] takes a product of this size.
#[must_use]
pub fn fits(m: usize, k: usize, n: usize) -> bool {
    k <= LONGEST && m * k * n <= SMALL
}

/// `C ← α·A·B` for any strides of `A` and `B`; the rows of `C` must be contiguous.
///
/// Small products are computed here, each element as one chain of fused multiply-adds over the inner dimension;
/// larger ones are handed to `gemm`. Which it is depends on the shape alone.
///
/// # Panics
/// If the shapes do not fit together.
pub fn product<F: Real>(
    gemm: &dyn Gemm<F>,
    alpha: F,
    a: ArrayView2<F>,
    b: ArrayView2<F>,
    mut c: ArrayViewMut2<F>,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert!(b.nrows() == k && c.dim() == (m, n), "{:?} · {:?} → {:?}", a.dim(), b.dim(), c.dim());
    if m * n == 0 || !fits(m, k, n) || c.strides()[1] != 1 {
        return gemm.gemm(alpha, a.into(), b.into(), F::zero(), c);
    }
    let strides = |x: &[isize]| [x[0], x[1]];
    kernel::with_simd(Product {
        alpha,
        shape: [m, k, n],
        a: Strided { first: a.as_ptr(), strides: strides(a.strides()) },
        b: Strided { first: b.as_ptr(), strides: strides(b.strides()) },
        c: Strided { strides: strides(c.strides()), first: c.as_mut_ptr() },
    });
}

/// `C_h ← α·A_h·B_h` for all heads of an image, `[H, m, k]·[H, k, n]`: one call where a device takes it, else one
/// [`product`] after another.
///
/// # Panics
/// If the shapes do not fit together.
pub fn products<F: Real>(
    gemm: &dyn Gemm<F>,
    alpha: F,
    a: ArrayView3<F>,
    b: ArrayView3<F>,
    mut c: ArrayViewMut3<F>,
) {
    assert!(
        a.len_of(Axis(0)) == b.len_of(Axis(0)) && a.len_of(Axis(0)) == c.len_of(Axis(0)),
        "as many heads"
    );
    if gemm.batch(alpha, a, b, c.view_mut()) {
        return;
    }
    for ((a, b), c) in a.outer_iter().zip(b.outer_iter()).zip(c.outer_iter_mut()) {
        product(gemm, alpha, a, b, c);
    }
}

/// A matrix seen through a pointer: its first element and the distances between rows and between columns.
#[derive(Clone, Copy)]
struct Strided<P> {
    first: P,
    strides: [isize; 2],
}

impl<P> Strided<P> {
    /// The distance from the first element to this one.
    fn offset(&self, row: usize, column: usize) -> isize {
        row.cast_signed() * self.strides[0] + column.cast_signed() * self.strides[1]
    }
}

impl<F> Strided<*const F> {
    /// # Safety
    /// The element must be inside the matrix.
    unsafe fn at(&self, row: usize, column: usize) -> *const F {
        // SAFETY: the caller's.
        unsafe { self.first.offset(self.offset(row, column)) }
    }
}

struct Product<F> {
    alpha: F,
    /// `m, k, n`.
    shape: [usize; 3],
    a: Strided<*const F>,
    b: Strided<*const F>,
    c: Strided<*mut F>,
}

impl<F: Real> WithSimd for Product<F> {
    type Output = ();

    /// Panel by panel of `B`'s columns, each one or two vectors wide.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [m, k, n] = self.shape;
        let lanes = F::lanes::<S>();
        let mut packed = [const { MaybeUninit::uninit() }; PANEL * LONGEST];
        let mut first = 0;
        while first < n {
            let vectors = if n - first > lanes { 2 } else { 1 };
            let columns = (n - first).min(vectors * lanes);
            // SAFETY: columns `first .. first + columns` are inside `B`. The panel that the rows are multiplied with
            // has `k` rows of whole vectors.
            unsafe {
                let mut panel = Strided { first: self.b.at(0, first), ..self.b };
                if panel.strides[1] != 1 || columns < vectors * lanes {
                    panel = pack(panel, k, columns, vectors * lanes, &mut packed);
                }
                match (vectors, m) {
                    (1, 8..) => self.rows::<S, 8, 1>(simd, panel, first),
                    (1, 4..) => self.rows::<S, 4, 1>(simd, panel, first),
                    (1, _) => self.rows::<S, 1, 1>(simd, panel, first),
                    (_, 4..) => self.rows::<S, 4, 2>(simd, panel, first),
                    (_, _) => self.rows::<S, 1, 2>(simd, panel, first),
                }
            }
            first += columns;
        }
    }
}

/// Side of the squares that the compiler transposes in registers.
const SQUARE: usize = 4;

/// The panel row by row in `packed`, filled up with zeros to whole vectors of `width` elements together.
///
/// # Safety
/// The panel has `k` rows and `columns` columns.
#[inline(always)]
unsafe fn pack<F: Real>(
    panel: Strided<*const F>,
    k: usize,
    columns: usize,
    width: usize,
    packed: &mut [MaybeUninit<F>],
) -> Strided<*const F> {
    // Where the columns of `B` are contiguous, as those of Kᵀ are, whole squares are read and written.
    let inner = if panel.strides[0] == 1 { [k - k % SQUARE, columns - columns % SQUARE] } else { [0, 0] };
    for j in (0..inner[1]).step_by(SQUARE) {
        for l in (0..inner[0]).step_by(SQUARE) {
            // SAFETY: `SQUARE` rows of column `j + c` from row `l` on follow each other.
            let square: [[F; SQUARE]; SQUARE] =
                from_fn(|c| unsafe { panel.at(l, j + c).cast::<[F; SQUARE]>().read() });
            for r in 0..SQUARE {
                let row = &mut packed[(l + r) * width + j..][..SQUARE];
                for c in 0..SQUARE {
                    row[c].write(square[c][r]);
                }
            }
        }
    }
    for l in 0..k {
        let row = &mut packed[l * width..(l + 1) * width];
        let done = if l < inner[0] { inner[1] } else { 0 };
        for j in done..columns {
            // SAFETY: `l < k` and `j < columns`.
            row[j].write(unsafe { *panel.at(l, j) });
        }
        row[columns..].fill(MaybeUninit::new(F::zero()));
    }
    Strided { first: packed.as_ptr().cast(), strides: [width.cast_signed(), 1] }
}

impl<F: Real> Product<F> {
    /// All rows of `A` times the panel whose first column is `first`, `M` rows at a time. The last tile reaches back
    /// over rows that were done already, and writes the same bits there.
    ///
    /// # Safety
    /// `m ≥ M`; the panel has `k` rows of `V` vectors.
    #[inline(always)]
    unsafe fn rows<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        panel: Strided<*const F>,
        first: usize,
    ) {
        let m = self.shape[0];
        for i in (0..m).step_by(M) {
            // SAFETY: rows up to `m` are inside `A` and `C`.
            unsafe { self.tile::<S, M, V>(simd, panel, i.min(m - M), first) };
        }
    }

    /// `M` rows from `row` on times `V` vectors, held in registers over the whole inner dimension.
    ///
    /// # Safety
    /// As [`Self::rows`], and `row + M ≤ m`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        panel: Strided<*const F>,
        row: usize,
        first: usize,
    ) {
        let [_, k, n] = self.shape;
        let lanes = F::lanes::<S>();
        let mut sums = [[F::splat(simd, F::zero()); V]; M];
        for l in 0..k {
            let mut b = [F::splat(simd, F::zero()); V];
            for v in 0..V {
                // SAFETY: vector `v` of the panel's row `l`.
                b[v] = F::load(simd, unsafe { from_raw_parts(panel.at(l, v * lanes), lanes) });
            }
            for i in 0..M {
                // SAFETY: `row + i < m` and `l < k`.
                let a = F::splat(simd, unsafe { *self.a.at(row + i, l) });
                for v in 0..V {
                    sums[i][v] = F::multiply_add(simd, a, b[v], sums[i][v]);
                }
            }
        }
        let alpha = F::splat(simd, self.alpha);
        for i in 0..M {
            for v in 0..V {
                let column = first + v * lanes;
                let offset = self.c.offset(row + i, column);
                // SAFETY: row `row + i` of `C` from `column` on; its columns are contiguous.
                let c = unsafe { from_raw_parts_mut(self.c.first.offset(offset), lanes.min(n - column)) };
                F::store(simd, c, F::multiply(simd, alpha, sums[i][v]));
            }
        }
    }
}
