//! `cargo fuzz run detections`: files of detections.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("detections", bytes));
