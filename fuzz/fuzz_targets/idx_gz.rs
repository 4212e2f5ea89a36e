//! `cargo fuzz run idx_gz`: compressed IDX files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("idx.gz", bytes));
