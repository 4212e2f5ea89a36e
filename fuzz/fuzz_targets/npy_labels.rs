//! `cargo fuzz run npy_labels`: `NumPy` arrays of labels.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("npy-labels", bytes));
