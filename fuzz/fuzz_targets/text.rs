//! `cargo fuzz run text`: texts with and without byte order marks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("text", bytes));
