//! Counting products instead of computing them: what a training step multiplies, asked of the step itself.

use super::Backend;
use super::cublas::cost::Work;
use super::device::{Device, Gpu};
use super::engine::Engine;
use super::gemm::Gemm;
use super::matrix::Operand;
use crate::base::Real;
use crate::base::sync::lock;
use ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The products that were asked for, with how often. Their results are zeros.
#[derive(Default)]
pub struct Census {
    times: Mutex<BTreeMap<Kind, usize>>,
}

/// `m, k, n`, matrices in a call, and whether the right operand is a weight.
type Kind = ([usize; 3], usize, bool);

impl Census {
    /// An engine whose products are counted here.
    #[must_use]
    pub fn engine() -> (Engine, Arc<Self>) {
        let census = Arc::new(Self::default());
        let name = "none, products are counted".to_owned();
        let nowhere = Gpu { device: Device::Cuda(0), name, memory_bytes: 0, capability: [0, 0] };
        (Engine::on(nowhere, Backend::default(), Some(census.clone()), None), census)
    }

    /// Every kind of product so far.
    pub fn works(&self) -> Vec<Work> {
        let times = lock(&self.times);
        times.iter().map(|(&(shape, batch, weight), &times)| Work { shape, batch, times, weight }).collect()
    }

    /// Floating-point operations of all of them; a multiply-add is two.
    pub fn flops(&self) -> f64 {
        self.works().iter().map(|work| 2.0 * (work.times * work.multiplications()) as f64).sum()
    }

    fn count(&self, shape: [usize; 3], batch: usize, weight: bool) {
        if !shape.contains(&0) {
            *lock(&self.times).entry((shape, batch, weight)).or_default() += 1;
        }
    }
}

impl<F: Real> Gemm<F> for Census {
    fn gemm(&self, _: F, a: Operand<F>, b: Operand<F>, beta: F, mut c: ArrayViewMut2<F>) {
        self.count([a.view.nrows(), a.view.ncols(), b.view.ncols()], 1, b.weight().is_some());
        if beta == F::zero() {
            c.fill(F::zero());
        }
    }

    fn batch(&self, _: F, a: ArrayView3<F>, b: ArrayView3<F>, mut c: ArrayViewMut3<F>) -> bool {
        let ((batch, m, k), n) = (a.dim(), b.dim().2);
        if batch > 0 {
            self.count([m, k, n], batch, false);
        }
        c.fill(F::zero());
        true
    }

    fn divisible(&self, _: [usize; 3]) -> bool {
        false
    }
}
