//! What went to the device and back, counted.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Products on the device; a batch is one, and so is a product that was cut into pieces.
    pub products: u64,
    /// Their multiplications.
    pub multiplications: u64,
    /// Weights that were copied to the device.
    pub weights: u64,
    /// Bytes of these.
    pub weight_bytes: u64,
    /// Bytes of operands that do not stay, to the device.
    pub up_bytes: u64,
    /// Bytes of results, back to the host.
    pub down_bytes: u64,
}

impl Traffic {
    /// What came since then.
    #[must_use]
    pub fn since(self, then: Self) -> Self {
        Self {
            products: self.products - then.products,
            multiplications: self.multiplications - then.multiplications,
            weights: self.weights - then.weights,
            weight_bytes: self.weight_bytes - then.weight_bytes,
            up_bytes: self.up_bytes - then.up_bytes,
            down_bytes: self.down_bytes - then.down_bytes,
        }
    }
}

/// The same, to be added to from any thread.
#[derive(Default)]
pub(in crate::exec) struct Counters {
    products: AtomicU64,
    multiplications: AtomicU64,
    weights: AtomicU64,
    weight_bytes: AtomicU64,
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
}

impl Counters {
    pub(in crate::exec) fn product(&self, multiplications: usize) {
        add(&self.products, 1);
        add(&self.multiplications, multiplications);
    }

    pub(in crate::exec) fn weight(&self, bytes: usize) {
        add(&self.weights, 1);
        add(&self.weight_bytes, bytes);
    }

    pub(in crate::exec) fn up(&self, bytes: usize) {
        add(&self.up_bytes, bytes);
    }

    pub(in crate::exec) fn down(&self, bytes: usize) {
        add(&self.down_bytes, bytes);
    }

    pub(in crate::exec) fn read(&self) -> Traffic {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic {
            products: get(&self.products),
            multiplications: get(&self.multiplications),
            weights: get(&self.weights),
            weight_bytes: get(&self.weight_bytes),
            up_bytes: get(&self.up_bytes),
            down_bytes: get(&self.down_bytes),
        }
    }
}

fn add(count: &AtomicU64, n: usize) {
    count.fetch_add(n as u64, Ordering::Relaxed);
}
