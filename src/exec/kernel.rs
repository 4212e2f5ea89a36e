//! Row kernels: loops that are compiled for several instruction sets and picked at run time.

use pulp::{Arch, NullaryFnOnce};
use std::sync::LazyLock;

/// A loop over one task's rows, as a value: its fields are what a closure would capture.
///
/// Unlike a closure, `run` can be forced into the functions that are compiled for AVX-512 or AVX2 with FMA,
/// where its loops vectorise; write `#[inline(always)]` on it. The machine's widest set is chosen once, at
/// run time, so that a plain build is fast everywhere.
pub trait Kernel<T>: Sync {
    /// Works on one task.
    fn run(&self, task: T);
}

static WIDEST: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Runs a kernel with the machine's widest vectors.
#[inline]
pub fn widest<T>(kernel: &impl Kernel<T>, task: T) {
    WIDEST.dispatch(Call(kernel, task));
}

struct Call<'a, K, T>(&'a K, T);

impl<K: Kernel<T>, T> NullaryFnOnce for Call<'_, K, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.0.run(self.1);
    }
}

/// `y += x`.
pub struct Add;

impl<F: crate::Real> Kernel<(&mut [F], &[F])> for Add {
    #[inline(always)]
    fn run(&self, (y, x): (&mut [F], &[F])) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

/// `y ⊙= x`.
pub struct Multiply;

impl<F: crate::Real> Kernel<(&mut [F], &[F])> for Multiply {
    #[inline(always)]
    fn run(&self, (y, x): (&mut [F], &[F])) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y *= x;
        }
    }
}

/// `sums += Σ_r x_r` over the rows of `x`.
pub struct AddRows;

impl<F: crate::Real> Kernel<(&[F], &mut [F])> for AddRows {
    #[inline(always)]
    fn run(&self, (x, sums): (&[F], &mut [F])) {
        for row in x.chunks_exact(sums.len().max(1)) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
    }
}
