//! `cargo fuzz run config`: settings in TOML.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("config", bytes));
