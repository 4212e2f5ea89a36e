//! `cargo fuzz run mask`: lists of removed patches.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("mask", bytes));
