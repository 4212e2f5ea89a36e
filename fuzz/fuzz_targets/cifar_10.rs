//! `cargo fuzz run cifar_10`: CIFAR-10 files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("cifar-10", bytes));
