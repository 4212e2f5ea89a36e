//! What went to the device and back, counted.

use crate::base::sync::lock;
use serde::Serialize;
use std::sync::Mutex;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TransferStats {
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

impl TransferStats {
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
pub(in crate::exec) struct Counters(Mutex<TransferStats>);

impl Counters {
    pub(in crate::exec) fn product(&self, multiplications: usize) {
        let mut traffic = lock(&self.0);
        traffic.products += 1;
        traffic.multiplications += multiplications as u64;
    }

    pub(in crate::exec) fn weight(&self, bytes: usize) {
        let mut traffic = lock(&self.0);
        traffic.weights += 1;
        traffic.weight_bytes += bytes as u64;
    }

    pub(in crate::exec) fn up(&self, bytes: usize) {
        lock(&self.0).up_bytes += bytes as u64;
    }

    pub(in crate::exec) fn down(&self, bytes: usize) {
        lock(&self.0).down_bytes += bytes as u64;
    }

    pub(in crate::exec) fn read(&self) -> TransferStats {
        *lock(&self.0)
    }
}
