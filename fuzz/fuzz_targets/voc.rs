//! `cargo fuzz run voc`: annotations of Pascal VOC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("voc", bytes));
