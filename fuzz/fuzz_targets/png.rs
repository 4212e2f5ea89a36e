//! `cargo fuzz run png`: PNG images.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("png", bytes));
