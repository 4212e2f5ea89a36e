//! `cargo fuzz run safetensors`: tensors.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("safetensors", bytes));
