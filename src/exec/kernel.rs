//! Row kernels: loops that are compiled for several instruction sets and picked at run time.

use crate::base::{Error, Result};
use pulp::{Arch, NullaryFnOnce, WithSimd};
use std::sync::OnceLock;

/// A loop over one task's rows, as a value: its fields are what a closure would capture.
///
/// Unlike a closure, `run` can be forced into the functions that are compiled for AVX-512 or AVX2 with FMA,
/// where its loops vectorise; write `#[inline(always)]` on it. The machine's widest set is chosen once, at
/// run time, so that a plain build is fast everywhere.
pub trait Kernel<T>: Sync {
    /// Works on one task.
    fn run(&self, task: T);
}

/// The environment variable that names the instruction set, for audits: the program hands it to [`choose`].
pub const VARIABLE: &str = "VIT_MAE_SIMD";

static CHOSEN: OnceLock<Arch> = OnceLock::new();

fn chosen() -> Arch {
    *CHOSEN.get_or_init(Arch::new)
}

/// The instruction sets that this machine has, the widest first, by name.
fn available() -> Vec<(&'static str, Arch)> {
    let mut sets = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        use pulp::x86::{V3, V4};
        sets.extend(V4::try_new().map(|simd| ("avx512", Arch::V4(simd))));
        sets.extend(V3::try_new().map(|simd| ("avx2", Arch::V3(simd))));
    }
    #[cfg(target_arch = "aarch64")]
    sets.extend(pulp::aarch64::Neon::try_new().map(|simd| ("neon", Arch::Neon(simd))));
    sets.push(("scalar", Arch::Scalar));
    sets
}

/// The name of the instruction set that kernels run on.
#[must_use]
pub fn name() -> &'static str {
    let same = |arch: &Arch| std::mem::discriminant(arch) == std::mem::discriminant(&chosen());
    available().into_iter().find(|(_, arch)| same(arch)).map_or("scalar", |(name, _)| name)
}

/// Lets kernels run on a narrower instruction set than the machine's widest, from now on and in the whole
/// process; the product backends choose theirs by themselves.
///
/// # Errors
/// If the machine does not have it, or kernels ran already.
pub fn choose(name: &str) -> Result<()> {
    let sets = available();
    let known = sets.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some((_, arch)) = sets.into_iter().find(|(set, _)| *set == name) else {
        return Err(Error::setting(VARIABLE, format!("one that this machine has: {known}"), name));
    };
    CHOSEN.set(arch).map_err(|_| Error::setting(VARIABLE, "to be chosen before anything is computed", name))
}

/// Runs a kernel with the machine's widest vectors.
#[inline]
pub fn widest<T>(kernel: &impl Kernel<T>, task: T) {
    chosen().dispatch(Call(kernel, task));
}

/// Runs a kernel that is written in vectors with the machine's widest ones.
#[inline]
pub fn with_simd<K: WithSimd<Output = ()>>(kernel: K) {
    chosen().dispatch(kernel);
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
