//! A probe that tells where a step's time goes, from the moments at which named tensors appear.

use super::probe::Probe;
use crate::base::sync::lock;
use ndarray::ArrayViewD;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Adds the time since the previous tensor to the kind of layer that made this one. Clones share the sums.
#[derive(Clone)]
pub struct Timing(Arc<Mutex<(Instant, BTreeMap<&'static str, Duration>)>>);

impl Default for Timing {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Instant::now(), BTreeMap::new()))))
    }
}

impl Timing {
    /// Starts counting here: what happened since the last tensor is nobody's.
    pub fn restart(&self) {
        lock(&self.0).0 = Instant::now();
    }

    /// Forgets what was booked.
    pub fn clear(&self) {
        lock(&self.0).1.clear();
    }

    /// Books the time since the last tensor.
    pub fn book(&self, kind: &'static str) {
        let mut state = lock(&self.0);
        let now = Instant::now();
        let since = now - state.0;
        *state.1.entry(kind).or_default() += since;
        state.0 = now;
    }

    /// Seconds per kind of layer, the largest first.
    #[must_use]
    pub fn seconds(&self) -> Vec<(&'static str, f64)> {
        let sums = lock(&self.0).1.clone();
        let mut all: Vec<_> = sums.into_iter().map(|(kind, time)| (kind, time.as_secs_f64())).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }
}

impl<F> Probe<F> for Timing {
    fn record(&mut self, name: &str, _: ArrayViewD<F>) {
        self.book(kind(name));
    }
}

/// The kind of layer whose work ends when this tensor appears.
fn kind(name: &str) -> &'static str {
    let backward = name.starts_with('g');
    let last = name.rsplit('.').next().unwrap_or(name);
    match (last, backward) {
        ("context" | "probabilities", false) | ("qkv", true) => "attention",
        ("act", false) | ("fc1", true) => "GELU",
        ("norm1" | "norm2" | "latent" | "decoder_norm", false) | ("mid", _) => "layer norm and residual",
        ("encoder_input" | "decoder_input" | "decoder_input_pos" | "patch_embed_pos", false)
        | ("decoder_embed" | "patch_embed" | "patch_embed_pos", true) => "masking and positions",
        ("pred", true) => "loss",
        (block, _) if block.bytes().all(|b| b.is_ascii_digit()) => "layer norm and residual",
        _ => "linear",
    }
}
