//! The weights that stay on the device: each copied once for every version, by whichever thread needs it first.

use super::blas::Blas;
use crate::base::sync::lock;
use crate::exec::gemm::Failure;
use crate::exec::kept::{Found, Version};
use crate::exec::traffic::Counters;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Copies on the device, by the address of what they are copies of.
pub(super) struct Weights<W> {
    copies: Mutex<HashMap<usize, Entry<W>>>,
}

type Entry<W> = Arc<Mutex<Option<(Version, Arc<W>)>>>;

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
        found: &Found<F>,
        lane: &mut B,
        counters: &Counters,
    ) -> Result<Arc<W>, Failure> {
        let entry = lock(&self.copies).entry(found.data.as_ptr().addr()).or_default().clone();
        let mut entry = lock(&entry);
        if let Some((_, copy)) = entry.as_ref().filter(|(version, _)| *version == found.version) {
            return Ok(copy.clone());
        }
        // Nobody uses the old copy: it is handed out only while its version is declared.
        let old = entry.take().and_then(|(_, copy)| Arc::into_inner(copy));
        let copy = Arc::new(lane.keep(found.data, old)?);
        counters.weight(size_of_val(found.data));
        *entry = Some((found.version, copy.clone()));
        Ok(copy)
    }
}
