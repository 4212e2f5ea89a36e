//! `cargo fuzz run cifar_100`: CIFAR-100 files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("cifar-100", bytes));
