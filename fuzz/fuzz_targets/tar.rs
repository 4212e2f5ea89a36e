//! `cargo fuzz run tar`: WebDataset shards.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("tar", bytes));
