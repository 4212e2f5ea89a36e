//! `cargo fuzz run rle`: compressed run-length masks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("rle", bytes));
