//! A recording taken apart, so that a test can spoil it: tensors as bytes, metadata as JSON.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Type, shape and bytes of a tensor.
pub(crate) type Tensor = (String, Vec<usize>, Vec<u8>);

pub(crate) struct Recording {
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// The metadata entry `golden`.
    pub(crate) golden: Value,
}

impl Recording {
    /// `tests/golden/NAME.safetensors`.
    pub(crate) fn open(name: &str) -> Self {
        let bytes = std::fs::read(path(name)).unwrap();
        let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let payload = &bytes[8 + length..];
        let mut tensors = BTreeMap::new();
        for (name, info) in header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__") {
            let offset = |i: usize| usize::try_from(info["data_offsets"][i].as_u64().unwrap()).unwrap();
            let shape = serde_json::from_value(info["shape"].clone()).unwrap();
            let dtype = info["dtype"].as_str().unwrap().to_owned();
            tensors.insert(name.clone(), (dtype, shape, payload[offset(0)..offset(1)].to_vec()));
        }
        let golden = serde_json::from_str(header["__metadata__"]["golden"].as_str().unwrap()).unwrap();
        Self { tensors, golden }
    }

    /// As a safetensors file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with_metadata(&json!({ "golden": self.golden.to_string() }))
    }

    pub(crate) fn with_metadata(&self, metadata: &Value) -> Vec<u8> {
        let (mut header, mut payload) = (json!({ "__metadata__": metadata }), Vec::new());
        for (name, (dtype, shape, bytes)) in &self.tensors {
            let end = payload.len() + bytes.len();
            header[name] = json!({ "dtype": dtype, "shape": shape, "data_offsets": [payload.len(), end] });
            payload.extend(bytes);
        }
        let header = header.to_string();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &payload].concat()
    }

    /// One number of a tensor.
    pub(crate) fn set(&mut self, name: &str, index: usize, value: f64) {
        let (dtype, _, bytes) = self.tensors.get_mut(name).unwrap_or_else(|| panic!("{name}"));
        match dtype.as_str() {
            "F64" => bytes[8 * index..][..8].copy_from_slice(&value.to_le_bytes()),
            #[allow(clippy::cast_possible_truncation)]
            "F32" => bytes[4 * index..][..4].copy_from_slice(&(value as f32).to_le_bytes()),
            #[allow(clippy::cast_possible_truncation)]
            "I64" => bytes[8 * index..][..8].copy_from_slice(&(value as i64).to_le_bytes()),
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            "U8" => bytes[index] = value as u8,
            other => panic!("{name}: {other}"),
        }
    }

    /// All numbers of an `F64`, `F32`, `I64` or `U8` tensor.
    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
        let (dtype, _, bytes) = &self.tensors[name];
        let eight = bytes.chunks_exact(8).map(|b| b.try_into().unwrap());
        match dtype.as_str() {
            "F64" => eight.map(f64::from_le_bytes).collect(),
            "F32" => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
            }
            "I64" => eight.map(|b| i64::from_le_bytes(b) as f64).collect(),
            "U8" => bytes.iter().copied().map(f64::from).collect(),
            other => panic!("{name}: {other}"),
        }
    }
}

pub(crate) fn path(name: &str) -> String {
    format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"))
}
