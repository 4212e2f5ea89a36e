//! The one seam through which every matrix product goes: the [`Gemm`] trait.

use super::matrix::Operand;
use super::traffic::TransferStats;
use ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3};

/// What a device's driver said when a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

/// Something that multiplies matrices.
pub trait Gemm<F>: Send + Sync {
    /// `C ← α·A·B + β·C` for any strides; with `β = 0`, `C` is written without being read.
    ///
    /// `A: [m, k]`, `B: [k, n]`, `C: [m, n]`; a transpose is a view with swapped strides. Runs on the
    /// calling thread. Where a caller splits rows or columns at [`super::row_blocks::product_part`]'s borders, the bits of
    /// every element stay what they are without splitting (`tests/exec/products.rs`).
    fn gemm(&self, alpha: F, a: Operand<F>, b: Operand<F>, beta: F, c: ArrayViewMut2<F>);

    /// `C_s ← α·A_s·B_s` for all matrices of a batch, `[S, m, k]·[S, k, n]`, if that is worth one call: then it is done
    /// and the answer is `true`. Else nothing is, and the caller multiplies one after another.
    fn batch(&self, _alpha: F, _a: ArrayView3<F>, _b: ArrayView3<F>, _c: ArrayViewMut3<F>) -> bool {
        false
    }

    /// Whether a product `[m, k]·[k, n]` may be computed in parts without a bit of it changing.
    fn divisible(&self, _shape: [usize; 3]) -> bool {
        true
    }

    /// What went wrong, if something did: results since then are NaN and must not be used.
    fn failure(&self) -> Option<Failure> {
        None
    }

    /// What was copied so far.
    fn traffic(&self) -> TransferStats {
        TransferStats::default()
    }
}
