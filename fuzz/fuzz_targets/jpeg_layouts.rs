//! `cargo fuzz run jpeg`: JPEG images.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("jpeg-layouts", bytes));
