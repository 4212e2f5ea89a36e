//! Numbers as the matrix unit reads them: each the sum of three in bf16, side by side in tiles.
//!
//! A *step* is 32 of the inner dimension's indices. Of a step, a *tile* has 16 rows of `A`, or columns of `B`, as 16 lines of 32
//! numbers in bf16; a *strip* has two tiles for each of the three parts, which is 32 rows or columns, step after step.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_loadu_si512, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_or_si512, _mm512_permutex2var_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_srli_epi32, _mm512_store_si512,
    _mm512_sub_ps,
};
use std::array::from_fn;

/// Indices of the inner dimension in a step.
pub(super) const DEPTH: usize = 32;
/// Rows or columns of a tile, and lines of it.
pub(super) const LINES: usize = 16;
/// Bytes of a tile.
pub(super) const TILE: usize = 1024;
/// Bytes of a strip's step: three planes of two tiles.
pub(super) const STEP: usize = 6 * TILE;

/// An operand seen through a pointer: the distances from one row of `A`, or column of `B`, to the next and from one index of the inner
/// dimension to the next. One of them is 1.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub(super) first: *const f32,
    pub(super) outer: isize,
    pub(super) inner: isize,
    /// What its elements are multiplied by.
    pub(super) scale: f32,
}

impl Operand {
    /// The same from another element on; never read where that is outside.
    pub(super) fn from(self, outer: usize, inner: usize) -> Self {
        let offset = outer.cast_signed() * self.outer + inner.cast_signed() * self.inner;
        Self { first: self.first.wrapping_offset(offset), ..self }
    }
}

/// Which lines a tile has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// A line a row of `A`.
    Left,
    /// A line a pair of indices of the inner dimension, one element a column of `B`.
    Right,
}

/// Packs a strip of the operand: `outer` rows or columns, of which it takes 32 at most, and `inner` indices; what is missing is 0.
///
/// # Safety
/// The operand has so many elements; at `to` there is room for the strip, aligned to 64 bytes.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn strip(side: Side, x: Operand, outer: usize, inner: usize, to: *mut u8) {
    for (step, k) in (0..inner).step_by(DEPTH).enumerate() {
        for (half, row) in [0, LINES].into_iter().enumerate() {
            let (rows, rest) = (outer.saturating_sub(row), inner - k);
            // SAFETY: the caller's.
            unsafe { tile(side, x.from(row, k), rows, rest, to.add(step * STEP + half * TILE)) };
        }
    }
}

/// Packs a tile of each part. A line holds index `k` beside index `k + 16`: both sides pair the same ones, and no line need be shuffled.
#[target_feature(enable = "avx512f")]
unsafe fn tile(side: Side, x: Operand, outer: usize, inner: usize, to: *mut u8) {
    let [x, y] = [0, LINES].map(|k| Square::new(x.from(0, k), outer, inner.saturating_sub(k)));
    // SAFETY: the caller's.
    unsafe {
        if x.rows_are_outer == (side == Side::Left) {
            for line in 0..LINES {
                put(parts(x.row(line), y.row(line)), to.add(64 * line));
            }
        } else {
            let (x, y) = (transposed(x.rows()), transposed(y.rows()));
            for line in 0..LINES {
                put(parts(x[line], y[line]), to.add(64 * line));
            }
        }
    }
}

/// Writes a line of each part.
#[target_feature(enable = "avx512f")]
unsafe fn put(parts: [__m512i; 3], to: *mut u8) {
    for (plane, line) in parts.into_iter().enumerate() {
        // SAFETY: the caller's.
        unsafe { _mm512_store_si512(to.add(2 * TILE * plane).cast(), line) };
    }
}

/// A square of an operand, 16 × 16, whose rows are contiguous. What is outside the operand is 0.
#[derive(Clone, Copy)]
struct Square {
    first: *const f32,
    apart: isize,
    rows: usize,
    lanes: u16,
    scale: f32,
    /// Whether a row is one of `A` or a column of `B`, and not one index of the inner dimension.
    rows_are_outer: bool,
}

impl Square {
    fn new(x: Operand, outer: usize, inner: usize) -> Self {
        let rows_are_outer = x.inner == 1;
        let (apart, rows, lanes) =
            if rows_are_outer { (x.outer, outer, inner) } else { (x.inner, inner, outer) };
        let lanes = if lanes < LINES { (1 << lanes) - 1 } else { !0 };
        Self { first: x.first, apart, rows, lanes, scale: x.scale, rows_are_outer }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn row(self, i: usize) -> __m512 {
        if i >= self.rows {
            return _mm512_setzero_ps();
        }
        // SAFETY: the row is inside the operand, and lanes that are not are not read.
        let row = unsafe {
            _mm512_maskz_loadu_ps(self.lanes, self.first.wrapping_offset(i.cast_signed() * self.apart))
        };
        if self.scale == 1.0 { row } else { _mm512_mul_ps(row, _mm512_set1_ps(self.scale)) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn rows(self) -> [__m512; LINES] {
        // SAFETY: the caller's.
        from_fn(|i| unsafe { self.row(i) })
    }
}

/// `x = x₀ + x₁ + x₂`, each in bf16, and `y` likewise, as three vectors of pairs: `x₀` is the nearest to `x`, `x₁` the upper half
/// of what is left, `x₂` the rest. A number of 24 bits is split without error.
#[target_feature(enable = "avx512f")]
#[inline]
fn parts(x: __m512, y: __m512) -> [__m512i; 3] {
    let upper = |x| _mm512_and_si512(x, _mm512_set1_epi32(!0xffff));
    let nearest = |x| upper(_mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000)));
    let less = |x, part| _mm512_sub_ps(x, _mm512_castsi512_ps(part));
    let pairs = |x, y| _mm512_or_si512(_mm512_srli_epi32::<16>(x), upper(y));
    let (x0, y0) = (nearest(x), nearest(y));
    let (x, y) = (less(x, x0), less(y, y0));
    let (x1, y1) = (_mm512_castps_si512(x), _mm512_castps_si512(y));
    let (x2, y2) = (less(x, upper(x1)), less(y, upper(y1)));
    [pairs(x0, y0), pairs(x1, y1), pairs(_mm512_castps_si512(x2), _mm512_castps_si512(y2))]
}

/// Lane `j` of vector `i` becomes lane `i` of vector `j`: squares of 1, 2, 4 and 8 change places across the diagonal.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(mut square: [__m512; LINES]) -> [__m512; LINES] {
    for (round, side) in [1, 2, 4, 8].into_iter().enumerate() {
        // SAFETY: both tables have 16 indices in each row.
        let [upper, lower] =
            [&UPPER, &LOWER].map(|of| unsafe { _mm512_loadu_si512(of[round].as_ptr().cast()) });
        for i in (0..LINES).filter(|i| i & side == 0) {
            let (a, b) = (square[i], square[i + side]);
            square[i] = _mm512_permutex2var_ps(a, upper, b);
            square[i + side] = _mm512_permutex2var_ps(a, lower, b);
        }
    }
    square
}

/// Of two vectors side by side, lanes that become the first of them, and the second, when squares of 1, 2, 4, 8 change places.
const UPPER: [[i32; LINES]; 4] = indices(false);
const LOWER: [[i32; LINES]; 4] = indices(true);

const fn indices(lower: bool) -> [[i32; LINES]; 4] {
    let mut table = [[0; LINES]; 4];
    let mut at = 0;
    while at < 4 * LINES {
        let (round, lane) = (at / LINES, at % LINES);
        let side = 1 << round;
        // In the first vector lanes of the second follow `side` lanes later, in the second those of the first come before.
        let own = (lane & side != 0) == lower;
        let from = match (lower, own) {
            (false, true) => lane,
            (false, false) => LINES + lane - side,
            (true, true) => LINES + lane,
            (true, false) => lane + side,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "below 32")]
        let from = from as i32;
        table[round][lane] = from;
        at += 1;
    }
    table
}
