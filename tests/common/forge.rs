//! Checkpoints that lie: numbers changed, checksums made to fit again. For tests that include this file beside
//! `common`.
#![allow(dead_code, reason = "not every test that includes this needs all of it")]

use crate::common::Place;
use serde_json::Value;
use std::fs;
use vit_mae::checkpoint::{State, tensors};

/// The file of weights.
pub(crate) const MODEL: &str = "model.safetensors";
/// The file of AdamW's moments.
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";

/// Changes the state of `run`'s checkpoint and seals it again.
pub(crate) fn reseal(place: &Place, change: impl FnOnce(&mut State)) {
    let path = place.path("run/checkpoint/state.bin");
    let mut state = State::read(&path).unwrap();
    change(&mut state);
    fs::write(&path, state.seal(&path).unwrap()).unwrap();
}

/// Sets every number of a tensor in a file of `run`'s checkpoint, and makes the checksum fit again.
pub(crate) fn fill_tensor(place: &Place, file: &str, name: &str, value: f32) {
    let path = place.path(&format!("run/checkpoint/{file}"));
    let mut bytes = fs::read(&path).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let at =
        |i: usize| 8 + length + usize::try_from(header[name]["data_offsets"][i].as_u64().unwrap()).unwrap();
    for number in bytes[at(0)..at(1)].chunks_exact_mut(4) {
        number.copy_from_slice(&value.to_le_bytes());
    }
    fs::write(&path, bytes).unwrap();
    let checksum = tensors::File::open(&path).unwrap().checksum().unwrap();
    reseal(place, |state| {
        *(if file == MODEL { &mut state.checksums.model } else { &mut state.checksums.optimizer }) = checksum;
    });
}
