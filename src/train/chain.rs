//! Digests for the audit of a run: of the weights, and of the log, link by link.
//!
//! The chain is a hash over all that the records say but for measured times:
//! `c₀ = 0…0`, `cₙ = SHA-256(cₙ₋₁ ‖ what record n says)`. One known value of it proves that no record
//! before it was changed, left out or added.

use super::record::Record;
use crate::base::Real;
use crate::params::Params;
use sha2::{Digest, Sha256};

/// The hash of all records so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// Adds what a record says; numbers as 8 bytes, little-endian, floats by their bits.
    pub fn link(&mut self, record: &Record) {
        let mut hash = Sha256::new_with_prefix(self.0);
        let mut number = |x: u64| hash.update(x.to_le_bytes());
        match record {
            Record::Step(r) => {
                [1, r.step].into_iter().for_each(&mut number);
                [r.epoch, r.loss, r.lr, r.grad_norm].map(f64::to_bits).into_iter().for_each(number);
                hash.update(r.weights_digest.as_deref().unwrap_or_default());
            }
            Record::Epoch(r) => {
                let held_out = r.score("loss").unwrap_or(f64::NAN);
                [2, r.step, r.epoch].into_iter().for_each(&mut number);
                [r.train_loss, held_out].map(f64::to_bits).into_iter().for_each(&mut number);
                number(r.skipped_steps);
            }
            Record::Skipped(r) => {
                [3, r.step].into_iter().for_each(number);
                hash.update(&r.tensor);
            }
            Record::Change(r) => {
                [4, r.step].into_iter().for_each(number);
                hash.update([&r.key, "\0", &r.from, "\0", &*r.to].concat());
            }
            Record::Validation(r) => {
                [5, r.step, r.epoch, r.images].into_iter().for_each(&mut number);
                r.values.0.iter().flat_map(|(_, value)| value.numbers()).map(f64::to_bits).for_each(number);
            }
        }
        self.0 = hash.finalize().into();
    }

    /// In hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// SHA-256 over all tensors in the order of the walk: name, a zero byte, the shape's numbers as 8 bytes each,
/// the values as `f32`, everything little-endian; in hexadecimal.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "an f32 comes back from f64 unchanged")]
pub fn weights_digest<F: Real>(params: &impl Params<F>) -> String {
    let mut hash = Sha256::new();
    let mut bytes = Vec::new();
    for tensor in params.tensors() {
        hash.update(&tensor.name);
        hash.update([0]);
        tensor.shape.iter().for_each(|&n| hash.update((n as u64).to_le_bytes()));
        for block in tensor.data.chunks(1 << 14) {
            bytes.clear();
            bytes.extend(block.iter().flat_map(|x| (x.f64() as f32).to_le_bytes()));
            hash.update(&bytes);
        }
    }
    hex(&hash.finalize())
}

/// SHA-256 of some bytes, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
