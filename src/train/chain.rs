//! Digests for the audit of a run: of the weights, and of the log, link by link.
//!
//! The chain is a hash over what [`Chain::link`] takes of each record, which are neither measured times nor the scores beside losses:
//! `c₀ = 0…0`, `cₙ = SHA-256(cₙ₋₁ ‖ that of record n)`. One known value of it proves that nothing of it was changed, left out or added
//! before.

use super::record::Record;
use crate::base::Real;
use crate::params::Params;
use sha2::{Digest, Sha256};

/// The hash of all records so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// Adds what a record says; numbers as 8 bytes, little-endian, floats by their bits, but all that are not finite, which a log has no
    /// words for, by those of one NaN.
    pub fn link(&mut self, record: &Record) {
        let mut hash = Sha256::new_with_prefix(self.0);
        let mut number = |x: u64| hash.update(x.to_le_bytes());
        match record {
            Record::Step(r) => {
                [1, r.step].into_iter().for_each(&mut number);
                [r.epoch, r.loss, r.lr, r.grad_norm].map(bits).into_iter().for_each(number);
                hash.update(r.weights_digest.as_deref().unwrap_or_default());
            }
            Record::Epoch(r) => {
                let held_out = r.score("loss").unwrap_or(f64::NAN);
                [2, r.step, r.epoch].into_iter().for_each(&mut number);
                [r.train_loss, held_out].map(bits).into_iter().for_each(&mut number);
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
                r.values.0.iter().flat_map(|(_, value)| value.numbers()).map(bits).for_each(number);
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

/// A number's bits, as they come back from a log.
fn bits(number: f64) -> u64 {
    if number.is_finite() { number.to_bits() } else { f64::NAN.to_bits() }
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

#[cfg(test)]
mod tests {
    use super::super::record::{Measured, ValidationRecord};
    use super::*;
    use crate::checkpoint::{EpochRecord, Named};

    /// A log has no words for such numbers, and is no less the run's for that.
    #[test]
    fn a_record_of_numbers_that_are_not_finite_links_as_it_is_read_back() {
        for number in [f64::INFINITY, f64::NEG_INFINITY, -f64::NAN, 0.25] {
            let epoch = EpochRecord {
                epoch: 1,
                step: 4,
                train_loss: 0.5,
                scores: Named::scores([("loss", number), ("accuracy", 0.5)]),
                skipped_steps: 0,
                wall_secs: 1.0,
                images_per_s: 2.0,
                data_wait_secs: 0.0,
            };
            let values = Named(vec![("entropy".to_owned(), Measured::Number(number))]);
            let validation = ValidationRecord { step: 4, epoch: 1, images: 3, values };
            for record in [Record::Epoch(epoch), Record::Validation(validation)] {
                let read: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
                let [written, read] = [&record, &read].map(|record| {
                    let mut chain = Chain::default();
                    chain.link(record);
                    chain
                });
                assert_eq!(written, read, "{record:?}");
            }
        }
    }
}
