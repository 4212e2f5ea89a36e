//! Products in f32 on the matrix unit of Intel processors (AMX: Sapphire Rapids and later), which multiplies tiles of bf16
//! sixteen times as fast as AVX-512 multiplies f32.
//!
//! A number of f32 has 24 bits, one of bf16 has 8, so `x = x₀ + x₁ + x₂` without error, and
//!
//! ```text
//! x y ≈ x₀ y₀ + (x₀ y₁ + x₁ y₀) + (x₀ y₂ + x₁ y₁ + x₂ y₀)
//! ```
//!
//! The three products left out are at most about 2⁻²² of `x y` together. Products of two numbers in bf16 are exact in f32, in which the
//! unit adds them up, so a result is as far from the exact one as that of a product in f32 (`tests/exec/amx.rs` has them side by
//! side). Henry, Tang and Heinecke, *Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations*,
//! 2019.
//!
//! The unit takes what is below 2⁻¹²⁶ for 0; so numbers below 2⁻¹⁰³ have fewer bits. What is not finite, or rounds to it, comes out as
//! not finite.
#![allow(unsafe_code, reason = "tile registers are reached in assembler; views vouch for every element")]

mod pack;
mod tiles;

use super::gemm::Gemm;
use super::matrix::Operand;
use crate::base::sync::lock;
use ndarray::{ArrayView2, ArrayViewMut2};
use pack::{DEPTH, STEP, Side};
use std::arch::x86_64::__cpuid_count;
use std::slice::from_raw_parts_mut;
use std::sync::{Mutex, OnceLock};
use tiles::{BLOCK, Target};

/// Indices of the inner dimension that are summed in registers. It decides the order of a sum, whatever the rows and columns.
const INNER: usize = 8 * DEPTH;
/// Columns of `B` that are packed at once.
const COLUMNS: usize = 16 * BLOCK;

/// The matrix unit of this machine.
pub struct Amx {
    /// What multiplies where the unit does not pay.
    other: Box<dyn Gemm<f32>>,
    /// Room for packed strips, as much as was ever needed at once.
    rooms: Mutex<Vec<Vec<Line>>>,
}

/// As long as a cache line and a tile's.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read by the matrix unit")] [u8; 64]);

/// Whether this processor has the unit, and the system lets this process use it.
#[must_use]
pub fn available() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        const TILES_AND_BF16: u32 = 1 << 24 | 1 << 22;
        const REQUEST_PERMISSION: libc::c_long = 0x1023;
        const TILE_DATA: libc::c_long = 18;
        // SAFETY: every processor of this kind has the instruction.
        #[allow(unused_unsafe, reason = "safe in newer versions of Rust")]
        let has_unit = || unsafe { __cpuid_count(7, 0) }.edx & TILES_AND_BF16 == TILES_AND_BF16;
        is_x86_feature_detected!("avx512f")
            && has_unit()
            // SAFETY: the call has no effect but to enlarge what the system saves of this process's registers.
            && unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) } == 0
    })
}

/// Whether the unit is faster than the `gemm` crate, which packs less; measured in `benches/products.rs`. A part of a product, of
/// 192 rows or columns or more, takes the path of the whole.
fn pays([m, k, n]: [usize; 3], rows_are_contiguous: bool) -> bool {
    m.min(n) >= if rows_are_contiguous { 64 } else { 96 } && k >= 64
}

impl Amx {
    /// The unit, if it is [`available`], and what takes the products for which it does not pay.
    #[must_use]
    pub fn or(other: impl Gemm<f32> + 'static) -> Option<Self> {
        available().then(|| Self { other: Box::new(other), rooms: Mutex::default() })
    }
}

impl Gemm<f32> for Amx {
    fn gemm(&self, alpha: f32, a: Operand<f32>, b: Operand<f32>, beta: f32, mut c: ArrayViewMut2<f32>) {
        let (x, y) = (a.view, b.view);
        let ((m, k), n) = (x.dim(), y.ncols());
        let contiguous = |x: &ArrayView2<f32>| x.strides().contains(&1);
        let fits = contiguous(&x) && contiguous(&y) && c.strides()[1] == 1 && c.strides()[0] > 0;
        if !fits || !pays([m, k, n], x.strides()[1] == 1) {
            return self.other.gemm(alpha, a, b, beta, c);
        }
        if beta != 0.0 && beta != 1.0 {
            c *= beta;
        }
        let mut room = lock(&self.rooms).pop().unwrap_or_default();
        room.resize((COLUMNS / BLOCK + 1) * (INNER / DEPTH) * STEP / size_of::<Line>(), Line([0; 64]));
        let product = Product {
            shape: [m, k, n],
            a: pack::Operand { first: x.as_ptr(), outer: x.strides()[0], inner: x.strides()[1], scale: 1.0 },
            b: pack::Operand {
                first: y.as_ptr(),
                outer: y.strides()[1],
                inner: y.strides()[0],
                scale: alpha,
            },
            c: Target {
                row_bytes: c.strides()[0].unsigned_abs() * size_of::<f32>(),
                first: c.as_mut_ptr(),
                add: beta != 0.0,
            },
        };
        // SAFETY: pointers and distances are those of live views that do not overlap; the unit is available.
        unsafe { tiles::with_tiles(|| product.compute(&mut room)) };
        lock(&self.rooms).push(room);
    }
}

/// `C ← A·B`, or added to what is there; `shape` is `m, k, n`.
#[derive(Clone, Copy)]
struct Product {
    shape: [usize; 3],
    a: pack::Operand,
    b: pack::Operand,
    c: Target,
}

impl Product {
    /// Block after block of the inner dimension, and in each of the columns.
    ///
    /// # Safety
    /// The operands have so many elements, and the tiles are configured.
    unsafe fn compute(self, room: &mut [Line]) {
        let [m, k, n] = self.shape;
        for k0 in (0..k).step_by(INNER) {
            for n0 in (0..n).step_by(COLUMNS) {
                let part = Self {
                    shape: [m, INNER.min(k - k0), COLUMNS.min(n - n0)],
                    a: self.a.from(0, k0),
                    b: self.b.from(n0, k0),
                    c: Target { first: self.c.first.wrapping_add(n0), add: self.c.add || k0 > 0, ..self.c },
                };
                // SAFETY: inside the whole.
                unsafe { part.strips(room.as_mut_ptr().cast()) };
            }
        }
    }

    /// All strips of `B` are packed first, those of `A` one after another, each multiplied with all of `B`'s while it is in the nearest
    /// cache.
    ///
    /// # Safety
    /// As [`Self::compute`], for sizes that the room holds.
    unsafe fn strips(self, room: *mut u8) {
        let [m, k, n] = self.shape;
        let steps = k.div_ceil(DEPTH);
        let place = |strip: usize| room.wrapping_add(strip * steps * STEP);
        let columns = n.div_ceil(BLOCK);
        for j in 0..columns {
            // SAFETY: columns that are there.
            unsafe { pack::strip(Side::Right, self.b.from(j * BLOCK, 0), n - j * BLOCK, k, place(j)) };
        }
        for i in 0..m.div_ceil(BLOCK) {
            // SAFETY: rows that are there.
            unsafe { pack::strip(Side::Left, self.a.from(i * BLOCK, 0), m - i * BLOCK, k, place(columns)) };
            for j in 0..columns {
                let (rows, columns_left) = (BLOCK.min(m - i * BLOCK), BLOCK.min(n - j * BLOCK));
                // SAFETY: strips that were packed, and a block of `C`.
                unsafe { block(place(columns), place(j), steps, self.c.block(i, j), [rows, columns_left]) };
            }
        }
    }
}

impl Target {
    fn block(self, i: usize, j: usize) -> Self {
        let row = self.first.wrapping_byte_add(i * BLOCK * self.row_bytes);
        Self { first: row.wrapping_add(j * BLOCK), ..self }
    }
}

/// A block of `C`; one that is cut short is computed whole, elsewhere.
///
/// # Safety
/// As [`tiles::product`], but for the size of the block.
unsafe fn block(a: *const u8, b: *const u8, steps: usize, c: Target, [rows, columns]: [usize; 2]) {
    if [rows, columns] == [BLOCK; 2] {
        // SAFETY: the caller's.
        return unsafe { tiles::product(a, b, steps, c) };
    }
    let mut whole = [[0.0; BLOCK]; BLOCK];
    // SAFETY: a row of `C` that is there, from the block's first column on.
    let row = |i| unsafe { from_raw_parts_mut(c.first.wrapping_byte_add(i * c.row_bytes), columns) };
    if c.add {
        (0..rows).for_each(|i| whole[i][..columns].copy_from_slice(row(i)));
    }
    let first = whole.as_mut_ptr().cast();
    // SAFETY: the caller's, and `whole` is a block.
    unsafe { tiles::product(a, b, steps, Target { first, row_bytes: size_of_val(&whole[0]), ..c }) };
    (0..rows).for_each(|i| row(i).copy_from_slice(&whole[i][..columns]));
}
