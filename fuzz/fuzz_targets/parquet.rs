//! `cargo fuzz run parquet --features parquet`: Parquet files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("parquet", bytes));
