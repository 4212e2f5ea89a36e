//! Tracing: an observer of every intermediate of a step listens here.

use crate::base::Real;
use crate::base::sync::lock;
use ndarray::{ArrayD, ArrayViewD};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Receives each named tensor as it is computed; see [`super::Exec::trace`] for the names.
pub trait Probe<F>: Send {
    /// `name` is `act.…` for an intermediate, `gact.…` for the gradient with respect to it. Token
    /// matrices come as `[images · tokens, width]`.
    fn record(&mut self, name: &str, value: ArrayViewD<F>);
}

/// A probe that keeps a copy of everything; clones share what was recorded.
#[derive(Clone, Default)]
pub struct Recorder<F>(Arc<Mutex<BTreeMap<String, ArrayD<F>>>>);

impl<F: Real> Recorder<F> {
    /// All that was recorded, by name.
    pub fn tensors(&self) -> BTreeMap<String, ArrayD<F>> {
        lock(&self.0).clone()
    }
}

impl<F: Real> Probe<F> for Recorder<F> {
    fn record(&mut self, name: &str, value: ArrayViewD<F>) {
        lock(&self.0).insert(name.to_owned(), value.to_owned());
    }
}
