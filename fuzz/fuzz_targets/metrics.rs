//! `cargo fuzz run metrics`: a run's log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("metrics", bytes));
