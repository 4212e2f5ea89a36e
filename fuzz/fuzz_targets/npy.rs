//! `cargo fuzz run npy`: `NumPy` arrays of images.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("npy", bytes));
