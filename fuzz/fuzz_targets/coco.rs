//! `cargo fuzz run coco`: COCO's documents, with an image of 6 × 8 pixels.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vit_mae_fuzz::drive("coco", bytes));
