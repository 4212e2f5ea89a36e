//! What the tasks of a training step borrow and give back: executors and empty gradients.

use crate::base::sync::lock;
use crate::base::{Real, Result};
use crate::exec::Exec;
use crate::exec::engine::Engine;
use crate::exec::probe::Probe;
use crate::exec::ranks::{One, Ranks};
use crate::exec::traffic::TransferStats;
use crate::params::Params;
use std::sync::{Arc, Mutex};

/// Executors (with their buffer pools) and gradients kept from one step to the next: there are as many as
/// tasks ever ran at once, and a step in steady state allocates nothing of activation size.
pub struct WorkerPool<F: Real, P> {
    engine: Engine,
    ranks: Arc<dyn Ranks>,
    /// Chunks of a training batch, where several ranks share them.
    chunks: Option<usize>,
    idle: Mutex<Vec<Exec<F>>>,
    gradients: Mutex<Vec<P>>,
}

impl<F: Real, P> WorkerPool<F, P> {
    /// None yet.
    #[must_use]
    pub fn new(engine: impl Into<Engine>) -> Self {
        let (idle, gradients) = (Mutex::default(), Mutex::default());
        Self { engine: engine.into(), ranks: Arc::new(One), chunks: None, idle, gradients }
    }

    /// Shares the chunks of every batch, so many, among ranks, and those of whatever else is computed chunk by chunk.
    #[must_use]
    pub fn among(self, ranks: Arc<dyn Ranks>, chunks: usize) -> Self {
        let chunks = (ranks.size() > 1).then_some(chunks);
        Self { ranks, chunks, ..self }
    }

    /// Those for work that only this rank does.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self::new(&self.engine)
    }

    /// The ranks that compute together.
    pub fn ranks(&self) -> &dyn Ranks {
        &*self.ranks
    }

    /// Refuses a sum over other chunks than those of which each rank was given the images.
    ///
    /// # Panics
    /// If they are others.
    pub(super) fn check_chunks(&self, chunks: usize) {
        let expected = self.chunks.unwrap_or(chunks);
        assert_eq!(chunks, expected, "ranks share chunks of micro_batch images");
    }

    /// One whose executor lets `probe` see every named tensor. Work that runs at the same time is not seen, so there is to
    /// be none.
    #[must_use]
    pub fn with_probe(engine: impl Into<Engine>, probe: impl Probe<F> + 'static) -> Self {
        Self::new(engine).and_probe(probe)
    }

    /// The same for one more executor, where a step takes a second one while it holds the first.
    #[must_use]
    pub fn and_probe(self, probe: impl Probe<F> + 'static) -> Self {
        lock(&self.idle).push(Exec::new(&self.engine).with_probe(probe));
        self
    }

    /// Runs `work` with an idle executor, or a new one; `split` as in [`Exec::split`].
    pub fn run<R>(&self, split: bool, work: impl FnOnce(&mut Exec<F>) -> R) -> R {
        let idle = lock(&self.idle).pop();
        let mut cx = idle.unwrap_or_else(|| Exec::new(&self.engine)).split(split);
        let result = work(&mut cx);
        lock(&self.idle).push(cx);
        result
    }

    /// A gradient of zeros for `model`.
    pub fn gradient(&self, model: &P) -> P
    where
        P: Params<F>,
    {
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
    pub fn recycle(&self, gradient: P) {
        lock(&self.gradients).push(gradient);
    }

    /// Runs `work`, and refuses what it made if a device failed meanwhile.
    ///
    /// # Errors
    /// If a device failed: what `work` made is NaN, and no fault of the model's.
    pub fn checked<R>(&self, work: impl FnOnce() -> R) -> Result<R> {
        let result = work();
        self.engine.check()?;
        Ok(result)
    }

    /// What was copied to and from a device.
    pub fn traffic(&self) -> TransferStats {
        self.engine.traffic()
    }

    /// What multiplies.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How many activation buffers were ever allocated.
    pub fn allocated(&self) -> usize {
        lock(&self.idle).iter().map(|cx| cx.pool().allocated()).sum()
    }
}
