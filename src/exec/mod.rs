//! Where the work is carried out: matrix products, recycled buffers, row blocks, and the tracing probe.
//!
//! Layers say *what* is computed; [`Exec`] is handed to them and decides *how*. There are no globals.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod amx;
pub mod census;
pub mod cpu;
pub mod cublas;
pub mod device;
pub mod engine;
pub mod gemm;
pub mod kernel;
pub mod matrix;
pub mod pool;
pub mod probe;
pub mod ranks;
pub mod row_blocks;
pub mod rows;
pub mod small;
pub mod timing;
pub mod traffic;
pub mod tree;

use crate::base::Real;
use engine::Engine;
use gemm::Gemm;
use kernel::{Add, AddRows, Kernel};
use matrix::Operand;
use ndarray::{Array2, ArrayBase, ArrayView2, ArrayViewMut2, Axis, Data, Dimension, Ix2};
use pool::Pool;
use probe::Probe;
use std::fmt::{Display, Write};
use std::sync::Arc;

pub use cpu::Backend;

/// The means by which one task computes: a product backend, a buffer pool and, when tracing, a probe.
pub struct Exec<F: Real> {
    gemm: Arc<dyn Gemm<F>>,
    pool: Pool<F>,
    split: bool,
    probe: Option<Box<dyn Probe<F>>>,
    path: String,
}

impl<F: Real> Exec<F> {
    /// Computes with `engine` (or a CPU [`Backend`]) on the calling thread alone.
    pub fn new(engine: impl Into<Engine>) -> Self {
        Self {
            gemm: engine.into().gemm(),
            pool: Pool::default(),
            split: false,
            probe: None,
            path: String::new(),
        }
    }

    /// Whether products and row loops themselves spread over rayon's threads. That changes no bits:
    /// the borders are fixed by the shapes (see [`row_blocks`]).
    #[must_use]
    pub fn split(mut self, split: bool) -> Self {
        self.split = split;
        self
    }

    /// Lets `probe` see every named intermediate and gradient.
    #[must_use]
    pub fn with_probe(mut self, probe: impl Probe<F> + 'static) -> Self {
        self.probe = Some(Box::new(probe));
        self
    }

    /// The buffer pool, for its counters.
    pub fn pool(&self) -> &Pool<F> {
        &self.pool
    }

    /// The product backend, to be called inside [`Exec::each`].
    pub fn backend(&self) -> &dyn Gemm<F> {
        &*self.gemm
    }

    // ── buffers ─────────────────────────────────────────────────────────────────────────────────

    /// A matrix with unspecified content, from the pool: every element must be written before it is read.
    pub fn take(&mut self, rows: usize, columns: usize) -> Array2<F> {
        self.pool.take(rows, columns)
    }

    /// A matrix of zeros, from the pool.
    pub fn zeros(&mut self, rows: usize, columns: usize) -> Array2<F> {
        let mut matrix = self.pool.take(rows, columns);
        matrix.fill(F::zero());
        matrix
    }

    /// A copy of a matrix, from the pool.
    pub fn copy(&mut self, x: &Array2<F>) -> Array2<F> {
        let mut copy = self.pool.take(x.nrows(), x.ncols());
        copy.assign(x);
        copy
    }

    /// Gives a matrix back to the pool.
    pub fn recycle(&mut self, matrix: Array2<F>) {
        self.pool.give(matrix);
    }

    // ── computing ───────────────────────────────────────────────────────────────────────────────

    /// `C ← α·A·B + β·C`. With [`Exec::split`], parts of `C` are computed in parallel: of its rows or of its columns,
    /// whichever are more, so that the operand that every task packs again is the smaller one.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    pub fn gemm<'a>(
        &self,
        alpha: F,
        a: impl Into<Operand<'a, F>>,
        b: impl Into<Operand<'a, F>>,
        beta: F,
        mut c: ArrayViewMut2<F>,
    ) {
        let (a, b) = (a.into(), b.into());
        let ((m, k), n) = (a.view.dim(), b.view.ncols());
        let fits = b.view.nrows() == k && c.dim() == (m, n);
        assert!(fits, "{:?} · {:?} → {:?}", a.view.dim(), b.view.dim(), c.dim());
        let gemm = self.backend();
        let longer = m.max(n);
        let divide = self.split && gemm.divisible([m, k, n]);
        let part = if divide { row_blocks::product_part(longer, m * n * k) } else { longer };
        if part >= longer {
            gemm.gemm(alpha, a, b, beta, c);
        } else if m >= n {
            let tasks = a.view.axis_chunks_iter(Axis(0), part).zip(c.axis_chunks_iter_mut(Axis(0), part));
            self.each(tasks, |(rows, c)| gemm.gemm(alpha, a.seen(rows), b, beta, c));
        } else {
            let tasks = b.view.axis_chunks_iter(Axis(1), part).zip(c.axis_chunks_iter_mut(Axis(1), part));
            self.each(tasks, |(columns, c)| gemm.gemm(alpha, a, b.seen(columns), beta, c));
        }
    }

    /// `A·B` in a matrix from the pool.
    pub fn matmul<'a>(&mut self, a: ArrayView2<'a, F>, b: impl Into<Operand<'a, F>>) -> Array2<F> {
        let b = b.into();
        let mut c = self.pool.take(a.nrows(), b.view.ncols());
        self.gemm(F::one(), a, b, F::zero(), c.view_mut());
        c
    }

    /// Runs a row kernel on each task, in parallel with [`Exec::split`], with the machine's widest vectors.
    pub fn rows<T: Send>(&self, tasks: impl Iterator<Item = T>, kernel: impl Kernel<T>) {
        row_blocks::each(self.split, tasks, |task| kernel::widest(&kernel, task));
    }

    /// Runs `work` on each task, in parallel with [`Exec::split`]. Tasks must not depend on each other.
    pub fn each<T: Send>(&self, tasks: impl Iterator<Item = T>, work: impl Fn(T) + Sync + Send) {
        row_blocks::each(self.split, tasks, work);
    }

    /// `y += x`, element by element.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add_assign<S: Data<Elem = F>>(&self, y: &mut Array2<F>, x: &ArrayBase<S, Ix2>) {
        assert_eq!(y.dim(), x.dim(), "a residual has its branch's shape");
        self.rows(row_blocks::of_mut(y).zip(row_blocks::of(x)), Add);
    }

    /// `sums[j] += Σ_r x[r, j]`, summed per block of rows and then in the order of the row blocks.
    pub fn add_column_sums(&self, x: &ArrayView2<F>, sums: &mut [F]) {
        let mut partial = vec![F::zero(); sums.len() * row_blocks::count(x.nrows())];
        self.rows(row_blocks::of(x).zip(partial.chunks_mut(sums.len().max(1))), AddRows);
        row_blocks::add_partials(&partial, sums);
    }

    // ── tracing ─────────────────────────────────────────────────────────────────────────────────

    /// Runs `work` with `name` appended to the path under which intermediates are recorded.
    pub fn inside<R>(&mut self, name: impl Display, work: impl FnOnce(&mut Self) -> R) -> R {
        if self.probe.is_none() {
            return work(self);
        }
        let outer = self.path.len();
        let _ = write!(self.path, "{name}."); // writing to a String cannot fail
        let result = work(self);
        self.path.truncate(outer);
        result
    }

    /// Whether somebody looks at intermediates. What is shown is whole, even where only some of its rows are needed.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.probe.is_some()
    }

    /// Shows an intermediate of the forward pass to the probe, as `act.PATH.NAME`.
    pub fn trace<S: Data<Elem = F>, D: Dimension>(&mut self, name: &str, value: &ArrayBase<S, D>) {
        self.record("act.", name, value);
    }

    /// Shows the gradient with respect to an intermediate to the probe, as `gact.PATH.NAME`.
    pub fn trace_gradient<S: Data<Elem = F>, D: Dimension>(&mut self, name: &str, value: &ArrayBase<S, D>) {
        self.record("gact.", name, value);
    }

    fn record<S: Data<Elem = F>, D: Dimension>(&mut self, kind: &str, name: &str, value: &ArrayBase<S, D>) {
        if let Some(probe) = &mut self.probe {
            let path = self.path.as_str();
            let full = if name.is_empty() {
                format!("{kind}{}", path.trim_end_matches('.'))
            } else {
                format!("{kind}{path}{name}")
            };
            probe.record(&full, value.view().into_dyn());
        }
    }
}
