//! The GPU backend behind [`Gemm`]: large products go to cuBLAS, small ones stay on the CPU, weights stay on the device.
//!
//! From the view to the driver, in reading order: [`Offload`] decides where a product runs; `product` cuts it into
//! pieces and names the operands; `layout` says how cuBLAS reads them; `weights` holds the copies of [`super::matrix`];
//! [`blas`] is the trait of driver calls, and `driver` (feature `accel`) makes them. [`cost`] predicts what it takes.

pub mod blas;
pub mod cost;
#[cfg(feature = "accel")]
pub mod driver;
mod layout;
mod product;
mod weights;

use super::gemm::{Failure, Gemm};
use super::matrix::Operand;
use super::traffic::{Counters, TransferStats};
use crate::base::Real;
use crate::base::sync::lock;
use blas::Blas;
use ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3};
use product::{Batch, Product};
use std::sync::{Arc, Mutex, OnceLock};
use weights::Weights;

/// Multiplications from which a product goes to the device, unless `run.offload_from` says otherwise. A guess, not
/// measured; `docs/gpu.md` says how to.
pub const FROM: usize = 1 << 26;

/// Products on a device, with a CPU backend for the small ones.
///
/// Any thread may call it. Each product takes an idle lane, with queues and a cuBLAS handle of its own, and makes a new
/// one if there is none; it waits for its result and gives the lane back. So no two threads share a handle or a
/// workspace, and which lane a product gets changes nothing in it. Where a product runs and how it is cut depends on its
/// shape alone. Hence the bits do not depend on the number of threads.
///
/// A call that fails leaves NaN in its result and is remembered: [`Gemm::failure`] says so, and no later product
/// tries. The caller of a step asks before using its results.
pub struct Offload<F: Real, B: Blas<F>> {
    cpu: Arc<dyn Gemm<F>>,
    lanes: Mutex<Vec<B>>,
    new_lane: Box<dyn Fn() -> Result<B, Failure> + Send + Sync>,
    weights: Weights<B::Weight>,
    from: usize,
    failure: OnceLock<Failure>,
    counters: Counters,
}

impl<F: Real, B: Blas<F>> Offload<F, B> {
    /// Products of `from` multiplications or more on lanes that `new_lane` makes, the others on `cpu`.
    pub fn new(
        cpu: Arc<dyn Gemm<F>>,
        from: usize,
        new_lane: impl Fn() -> Result<B, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self {
            cpu,
            lanes: Mutex::default(),
            new_lane: Box::new(new_lane),
            weights: Weights::default(),
            from,
            failure: OnceLock::new(),
            counters: Counters::default(),
        }
    }

    /// Whether `batch` products `[m, k]·[k, n]` run on the device. cuBLAS counts in 32 bits.
    fn takes(&self, batch: usize, [m, k, n]: [usize; 3]) -> bool {
        let fits = [batch, m, k, n, m * k, k * n, m * n].iter().all(|&x| i32::try_from(x).is_ok());
        let multiplications = batch * m * k * n;
        fits && multiplications > 0 && multiplications >= self.from
    }

    /// Runs `work` on an idle lane, or a new one. After a failure the lane is dropped. Returns whether all went well.
    fn on_lane(&self, work: impl FnOnce(&mut B) -> Result<(), Failure>) -> bool {
        if self.failure.get().is_some() {
            return false;
        }
        let idle = lock(&self.lanes).pop();
        let done = idle.map_or_else(|| (self.new_lane)(), Ok).and_then(|mut lane| {
            work(&mut lane)?;
            lock(&self.lanes).push(lane);
            Ok(())
        });
        done.map_err(|failure| self.failure.set(failure)).is_ok()
    }
}

impl<F: Real, B: Blas<F>> Gemm<F> for Offload<F, B> {
    fn gemm(&self, alpha: F, a: Operand<F>, b: Operand<F>, beta: F, mut c: ArrayViewMut2<F>) {
        if !self.takes(1, [a.view.nrows(), a.view.ncols(), b.view.ncols()]) {
            return self.cpu.gemm(alpha, a, b, beta, c);
        }
        let done = self.on_lane(|lane| {
            let means = product::Means { weights: &self.weights, counters: &self.counters };
            Product { alpha, a, b, beta, c: c.view_mut() }.run(lane, &means)
        });
        if !done {
            c.fill(F::nan());
        }
    }

    fn batch(&self, alpha: F, a: ArrayView3<F>, b: ArrayView3<F>, mut c: ArrayViewMut3<F>) -> bool {
        let (batch, m, k) = a.dim();
        let n = b.dim().2;
        assert!(b.dim() == (batch, k, n) && c.dim() == (batch, m, n), "{:?} · {:?} → {:?}", a, b, c.dim());
        if !self.takes(batch, [m, k, n]) {
            return false;
        }
        let done = self.on_lane(|lane| Batch { alpha, a, b, c: c.view_mut() }.run(lane, &self.counters));
        if !done {
            c.fill(F::nan());
        }
        true
    }

    fn divisible(&self, shape: [usize; 3]) -> bool {
        !self.takes(1, shape)
    }

    fn failure(&self) -> Option<Failure> {
        self.failure.get().cloned()
    }

    fn traffic(&self) -> TransferStats {
        self.counters.read()
    }
}
