//! What the tasks of a training step borrow and give back: executors and empty gradients.

use crate::base::Real;
use crate::exec::{Backend, Exec};
use crate::params::Params;
use std::sync::{Mutex, PoisonError};

/// Executors (with their buffer pools) and gradients kept from one step to the next: there are as many as
/// tasks ever ran at once, and a step in steady state allocates nothing of activation size.
pub struct Workers<F: Real, P> {
    backend: Backend,
    idle: Mutex<Vec<Exec<F>>>,
    gradients: Mutex<Vec<P>>,
}

impl<F: Real, P: Params<F>> Workers<F, P> {
    /// None yet.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend, idle: Mutex::default(), gradients: Mutex::default() }
    }

    /// Runs `work` with an idle executor, or a new one; `split` as in [`Exec::split`].
    pub fn run<R>(&self, split: bool, work: impl FnOnce(&mut Exec<F>) -> R) -> R {
        let idle = lock(&self.idle).pop();
        let mut cx = idle.unwrap_or_else(|| Exec::new(self.backend)).split(split);
        let result = work(&mut cx);
        lock(&self.idle).push(cx);
        result
    }

    /// A gradient of zeros for `model`.
    pub fn gradient(&self, model: &P) -> P {
        let kept = lock(&self.gradients).pop();
        kept.map_or_else(
            || model.zeros_like(),
            |mut gradient| {
                gradient.clear();
                gradient
            },
        )
    }

    /// Takes a gradient back.
    pub fn give_back(&self, gradient: P) {
        lock(&self.gradients).push(gradient);
    }

    /// How many activation buffers were ever allocated.
    pub fn allocated(&self) -> usize {
        lock(&self.idle).iter().map(|cx| cx.pool().allocated()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
