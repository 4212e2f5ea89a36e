//! `cargo fuzz run folder`: a folder of images.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("folder", bytes));
