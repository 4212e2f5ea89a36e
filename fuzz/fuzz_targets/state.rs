//! `cargo fuzz run state`: a checkpoint's state.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("state", bytes));
