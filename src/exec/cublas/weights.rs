//! The weights that stay on the device: each copied once for every version, by whichever thread needs it first.

use super::blas::Blas;
use crate::base::sync::lock;
use crate::exec::gemm::Failure;
use crate::exec::matrix::Matrix;
use crate::exec::traffic::Counters;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// Copies on the device, by the identity of what they are copies of.
pub(super) struct Weights<W> {
    copies: Mutex<Copies<W>>,
}

type Copies<W> = HashMap<usize, (Weak<()>, Entry<W>)>;

/// A copy, and of how many writes.
type Entry<W> = Arc<Mutex<Option<(u64, Arc<W>)>>>;

impl<W> Default for Weights<W> {
    fn default() -> Self {
        Self { copies: Mutex::default() }
    }
}

impl<W: Send + Sync> Weights<W> {
    /// The copy of a weight, made by `lane` if there is none of this version. Other threads that ask for the same weight
    /// wait for it.
    pub(super) fn get<F, B: Blas<F, Weight = W>>(
        &self,
        weight: &Matrix<F>,
        lane: &mut B,
        counters: &Counters,
    ) -> Result<Arc<W>, Failure> {
        let (identity, writes) = weight.version();
        let entry = self.entry(identity);
        let mut entry = lock(&entry);
        if let Some((_, copy)) = entry.as_ref().filter(|(of, _)| *of == writes) {
            return Ok(copy.clone());
        }
        // Nobody uses the old copy: products borrow the matrix, and it has been written since.
        let old = entry.take().and_then(|(_, copy)| Arc::into_inner(copy));
        let copy = Arc::new(lane.keep(weight.elements(), old)?);
        counters.weight(size_of_val(weight.elements()));
        *entry = Some((writes, copy.clone()));
        Ok(copy)
    }

    /// Where the copy of a matrix is; a new one makes room for itself where matrices are no more.
    fn entry(&self, identity: Weak<()>) -> Entry<W> {
        let mut copies = lock(&self.copies);
        if let Some((_, entry)) = copies.get(&identity.as_ptr().addr()) {
            return entry.clone();
        }
        copies.retain(|_, (of, _)| of.strong_count() > 0);
        copies.entry(identity.as_ptr().addr()).or_insert((identity, Entry::default())).1.clone()
    }
}
