//! The CPU backends behind [`Gemm`], and the choice of one: thin calls into the `gemm` and `matrixmultiply` crates, and the
//! matrix unit ([`super::amx`]).
#![allow(unsafe_code, reason = "both crates take raw pointers; the views vouch for every element")]

use super::gemm::Gemm;
use super::matrix::Operand;
use crate::base::Real;
use ndarray::{Array2, ArrayViewMut2, s};
use serde::{Deserialize, Serialize};
use std::any::TypeId;
use std::sync::Arc;

/// The CPU backends that `--gemm` selects from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The `gemm` crate: AVX2 and AVX-512 kernels chosen at run time; the fastest measured on most machines.
    #[default]
    Gemm,
    /// The matrix unit of Intel's processors since Sapphire Rapids, under Linux, for products in f32 that are large enough; the `gemm`
    /// crate for all others, and where there is no such unit.
    Amx,
    /// The `matrixmultiply` crate: the portable reference.
    Matrixmultiply,
}

impl Backend {
    /// The backend itself.
    #[must_use]
    pub fn build<F: Real>(self) -> Arc<dyn Gemm<F>> {
        match self {
            Self::Gemm => Arc::new(GemmCrate),
            Self::Amx => matrix_unit().unwrap_or_else(|| Arc::new(GemmCrate)),
            Self::Matrixmultiply => Arc::new(MatrixMultiply),
        }
    }

    /// Whether this machine has what it asks for; if not, the `gemm` crate multiplies.
    #[must_use]
    pub fn is_available(self) -> bool {
        self != Self::Amx || matrix_unit::<f32>().is_some()
    }
}

/// The processor's matrix unit, if it has one that multiplies numbers of this type.
fn matrix_unit<F: Real>() -> Option<Arc<dyn Gemm<F>>> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        let unit: Option<Arc<dyn Gemm<f32>>> = super::amx::Amx::or(GemmCrate).map(|unit| Arc::new(unit) as _);
        (&unit as &dyn std::any::Any).downcast_ref::<Option<Arc<dyn Gemm<F>>>>().cloned().flatten()
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    None
}

/// The `gemm` crate, without its own threads.
pub struct GemmCrate;

/// So few elements of `C` the crate computes as scalar products where rows of `A` and columns of `B` are contiguous: one sum a
/// lane, the lanes added up in the end, so that the bits would depend on how wide the processor's vectors are.
const SCALAR_PRODUCTS: usize = 16 * 16;

impl<F: Real> Gemm<F> for GemmCrate {
    fn gemm(&self, alpha: F, a: Operand<F>, b: Operand<F>, beta: F, mut c: ArrayViewMut2<F>) {
        let (a, b) = (a.view, b.view);
        let ((m, k), n) = (a.dim(), b.ncols());
        if a.strides()[1] == 1 && b.strides()[0] == 1 && m * n <= SCALAR_PRODUCTS {
            // Columns of A that are contiguous instead give the bits of every other product: one chain over `k` an element.
            let mut columns = Array2::zeros((k, m.max(2)));
            columns.slice_mut(s![.., ..m]).assign(&a.t());
            let a = columns.slice(s![.., ..m]).reversed_axes();
            return self.gemm(alpha, a.into(), b.into(), beta, c);
        }
        let (sa, sb, sc) = (a.strides(), b.strides(), [c.strides()[0], c.strides()[1]]);
        // SAFETY: pointers, dimensions and strides are those of live views that do not overlap
        // (`c` is borrowed mutably), and the crate stays inside them. `F` is f32 or f64.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                sc[1],
                sc[0],
                beta != F::zero(),
                a.as_ptr(),
                sa[1],
                sa[0],
                b.as_ptr(),
                sb[1],
                sb[0],
                beta,
                alpha,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

/// The `matrixmultiply` crate, without its own threads.
pub struct MatrixMultiply;

impl<F: Real> Gemm<F> for MatrixMultiply {
    fn gemm(&self, alpha: F, a: Operand<F>, b: Operand<F>, beta: F, mut c: ArrayViewMut2<F>) {
        let (a, b) = (a.view, b.view);
        let ((m, k), n) = (a.dim(), b.ncols());
        let (sa, sb, sc) = (a.strides(), b.strides(), [c.strides()[0], c.strides()[1]]);
        let (pa, pb, pc) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        // SAFETY: as above; the casts are between a type and itself, as the `TypeId` shows.
        unsafe {
            if TypeId::of::<F>() == TypeId::of::<f32>() {
                let (alpha, beta) = (f32::of(alpha.f64()), f32::of(beta.f64()));
                let (pa, pb, pc) = (pa.cast(), pb.cast(), pc.cast());
                matrixmultiply::sgemm(
                    m, k, n, alpha, pa, sa[0], sa[1], pb, sb[0], sb[1], beta, pc, sc[0], sc[1],
                );
            } else {
                assert!(TypeId::of::<F>() == TypeId::of::<f64>(), "products are in f32 or f64");
                let (alpha, beta) = (alpha.f64(), beta.f64());
                let (pa, pb, pc) = (pa.cast(), pb.cast(), pc.cast());
                matrixmultiply::dgemm(
                    m, k, n, alpha, pa, sa[0], sa[1], pb, sb[0], sb[1], beta, pc, sc[0], sc[1],
                );
            }
        }
    }
}
