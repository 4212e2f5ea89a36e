//! Which memory of the host holds weights just now, and which content it has: what tells a weight from an activation, and
//! a changed weight from an unchanged one.
//!
//! An address alone tells neither: buffers are used again, and weights change in place. So weights are *declared*, with a
//! version, for the time of a borrow: while [`WeightRegistry::with`] runs, nobody can change or free them, since they are borrowed.
#![allow(
    unsafe_code,
    reason = "a weight is found by an address, and read whole where a view sees a part of it"
)]

use ndarray::ArrayView2;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// Names the content of a tensor: a change of the content draws a fresh one. No two are equal in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    /// One that no content has had.
    #[must_use]
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The weights that are declared at the moment, by the address of their first byte.
pub struct WeightRegistry<F> {
    declared: RwLock<BTreeMap<usize, Declared>>,
    numbers: PhantomData<fn() -> F>,
}

impl<F> Default for WeightRegistry<F> {
    fn default() -> Self {
        Self { declared: RwLock::default(), numbers: PhantomData }
    }
}

#[derive(Clone, Copy)]
struct Declared {
    bytes: usize,
    version: Version,
    /// How often it is declared: several tasks may do so.
    times: usize,
}

/// A weight that a view was found to be a part of.
pub(in crate::exec) struct Found<'a, F> {
    /// All of the weight.
    pub(in crate::exec) data: &'a [F],
    /// Which content that is.
    pub(in crate::exec) version: Version,
    /// Numbers from the weight's first to the view's element `[0, 0]`.
    pub(in crate::exec) offset: usize,
}

impl<F> WeightRegistry<F> {
    /// Runs `work` with these tensors declared as weights whose content the versions name. They are borrowed meanwhile, so
    /// what is found at their addresses is their content.
    ///
    /// # Panics
    /// If one of them is declared already with another version: then someone has changed it behind a borrow's back.
    pub fn with<R>(&self, weights: &[(&[F], Version)], work: impl FnOnce() -> R) -> R {
        let _declaration = Declaration::new(self, weights);
        work()
    }

    /// Calls `with` with the weight in which the view lies, if it lies in one. The declaration stays until `with` returns.
    pub(in crate::exec) fn find<R>(
        &self,
        view: &ArrayView2<F>,
        with: impl FnOnce(Found<F>) -> R,
    ) -> Option<R> {
        let size = size_of::<F>();
        let first = view.as_ptr().addr();
        let mut span = [first, first + size];
        for (&length, &stride) in view.shape().iter().zip(view.strides()) {
            let reach = (length - 1).cast_signed() * stride * size.cast_signed();
            span[usize::from(reach > 0)] = span[usize::from(reach > 0)].wrapping_add_signed(reach);
        }
        let declared = self.declared.read().unwrap_or_else(PoisonError::into_inner);
        let (&start, weight) = declared.range(..=span[0]).next_back()?;
        if span[1] > start + weight.bytes {
            return None;
        }
        // SAFETY: `WeightRegistry::with` borrows this slice of `F` for as long as its declaration stands, and it cannot be taken
        // back while `declared` is locked.
        let data = unsafe {
            std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), weight.bytes / size)
        };
        Some(with(Found { data, version: weight.version, offset: (first - start) / size }))
    }
}

/// Takes its declarations back when it is dropped, also by a panic.
struct Declaration<'a, F> {
    kept: &'a WeightRegistry<F>,
    starts: Vec<usize>,
}

impl<'a, F> Declaration<'a, F> {
    fn new(kept: &'a WeightRegistry<F>, weights: &[(&[F], Version)]) -> Self {
        let mut declared = kept.declared.write().unwrap_or_else(PoisonError::into_inner);
        let (mut declaration, mut conflict) = (Self { kept, starts: Vec::new() }, false);
        for (data, version) in weights.iter().filter(|(data, _)| !data.is_empty()) {
            let (start, bytes) = (data.as_ptr().expose_provenance(), size_of_val(*data));
            let entry = declared.entry(start).or_insert(Declared { bytes, version: *version, times: 0 });
            conflict |= entry.version != *version || entry.bytes != bytes;
            entry.times += 1;
            declaration.starts.push(start);
        }
        drop(declared); // before the declaration, whose own drop takes the lock
        assert!(!conflict, "one weight, two versions");
        declaration
    }
}

impl<F> Drop for Declaration<'_, F> {
    fn drop(&mut self) {
        let mut declared = self.kept.declared.write().unwrap_or_else(PoisonError::into_inner);
        for start in &self.starts {
            if let Some(entry) = declared.get_mut(start) {
                entry.times -= 1;
                if entry.times == 0 {
                    declared.remove(start);
                }
            }
        }
    }
}
