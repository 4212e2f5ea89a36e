//! `cargo fuzz run label_map`: PNG files of classes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("label-map", bytes));
