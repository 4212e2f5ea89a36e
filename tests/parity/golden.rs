//! A recorded safetensors file of the reference, and the book-keeping that every tensor was compared.

use ndarray::{ArrayD, ArrayViewD};
use safetensors::{Dtype, SafeTensors};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use vit_mae::Real;

/// How far a tensor may be from the recorded one: `max|a − b| ≤ max(rel · max|b|, floor)`.
#[derive(Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) rel: f64,
    pub(crate) floor: f64,
}

pub(crate) struct Golden {
    name: String,
    pub(crate) meta: serde_json::Value,
    tensors: BTreeMap<String, ArrayD<f64>>,
    compared: RefCell<BTreeSet<String>>,
    worst: RefCell<(f64, String)>,
}

impl Golden {
    /// Opens `tests/golden/NAME.safetensors`; all numbers as f64, which holds f32 and the ids exactly.
    pub(crate) fn open(name: &str) -> Self {
        let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
        let golden = &header.metadata().as_ref().expect("metadata")["golden"];
        let meta = serde_json::from_str(golden).expect("the golden entry is JSON");
        let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let read = |view: &safetensors::tensor::TensorView| {
            let values: Vec<f64> = match view.dtype() {
                Dtype::F64 => numbers(view.data(), f64::from_le_bytes),
                Dtype::F32 => numbers(view.data(), |b| f64::from(f32::from_le_bytes(b))),
                Dtype::I64 => numbers(view.data(), |b| i64::from_le_bytes(b) as f64),
                other => panic!("unexpected type {other:?}"),
            };
            ArrayD::from_shape_vec(view.shape(), values).expect("data fit the shape")
        };
        let tensors = tensors.iter().map(|(name, view)| (name.to_owned(), read(&view))).collect();
        Self {
            name: name.to_owned(),
            meta,
            tensors,
            compared: RefCell::default(),
            worst: RefCell::new((0.0, String::new())),
        }
    }

    /// A recorded tensor.
    pub(crate) fn get(&self, key: &str) -> &ArrayD<f64> {
        self.tensors.get(key).unwrap_or_else(|| panic!("{} has no {key}", self.name))
    }

    /// A recorded tensor that is an input: it counts as accounted for.
    pub(crate) fn input(&self, key: &str) -> ArrayD<f64> {
        self.compared.borrow_mut().insert(key.to_owned());
        self.get(key).clone()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Compares with `max|a − b| / max|b|`; tensors may differ in shape by leading splits (`[B·N, D]`).
    pub(crate) fn compare<F: Real>(&self, key: &str, ours: ArrayViewD<F>, tolerance: Tolerance) {
        let ours: Vec<f64> = ours.iter().map(|x| x.f64()).collect();
        self.compare_values(key, &ours, tolerance);
    }

    pub(crate) fn compare_values(&self, key: &str, ours: &[f64], tolerance: Tolerance) {
        let theirs = self.get(key);
        assert_eq!(ours.len(), theirs.len(), "{}: {key} has shape {:?}", self.name, theirs.shape());
        let scale = theirs.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let error = ours.iter().zip(theirs).fold(0.0f64, |m, (a, b)| {
            let difference = (a - b).abs();
            assert!(difference.is_finite(), "{}: {key} holds a value that is not finite", self.name);
            m.max(difference)
        });
        let allowed = (tolerance.rel * scale).max(tolerance.floor);
        assert!(error <= allowed, "{}: {key}: off by {error:e}, allowed {allowed:e}", self.name);
        let share = error / allowed;
        if share > self.worst.borrow().0 {
            *self.worst.borrow_mut() = (share, format!("{key}: relative error {:.1e}", error / scale));
        }
        self.accounted(key);
    }

    /// For what a test compares in its own way.
    pub(crate) fn accounted(&self, key: &str) {
        self.compared.borrow_mut().insert(key.to_owned());
    }

    /// Fails if a recorded tensor was not compared.
    pub(crate) fn finish(self) {
        let compared = self.compared.into_inner();
        let forgotten: Vec<_> = self.tensors.keys().filter(|key| !compared.contains(*key)).collect();
        assert!(forgotten.is_empty(), "{}: not compared: {forgotten:?}", self.name);
        let (share, tensor) = self.worst.into_inner();
        println!("{}: {} tensors; nearest to its limit ({share:.2}): {tensor}", self.name, compared.len());
    }
}

fn numbers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.chunks_exact(N).map(|b| read(b.try_into().expect("N bytes"))).collect()
}
