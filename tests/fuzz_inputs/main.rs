//! Claim: no file that somebody hands over makes the program panic, hang, or allocate more than the file justifies.
//!
//! A seeded mutator damages sound files of every format. `TEST_FUZZ=1000000 cargo test --test fuzz_inputs` is the long
//! mode; `fuzz/` drives the same functions with cargo-fuzz.

#![allow(unsafe_code, reason = "an allocator that counts is an allocator")]

mod allocations;
mod corpus;
mod targets;

use rayon::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use targets::{TARGETS, Target};
use vit_mae::base::rng::{Purpose, below, rng};

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

/// Far more than any of these files takes, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a file and judges what that took.
fn judge(target: &Target, dir: &Path, bytes: &[u8]) {
    let start = Instant::now();
    let mut outcome = Ok(());
    let peak = allocations::peak(|| {
        outcome = catch_unwind(AssertUnwindSafe(|| target.run(dir, bytes)));
    });
    let shown = || format!("{}: {} bytes {bytes:02x?}", target.name, bytes.len());
    assert!(outcome.is_ok(), "a panic: {}", shown());
    let bound = target.per_byte * bytes.len() + target.besides;
    assert!(peak <= bound, "{peak} bytes allocated, {bound} are justified: {}", shown());
    assert!(start.elapsed() < PATIENCE, "a hang: {}", shown());
}

#[test]
fn damaged_files_never_panic_hang_or_allocate_more_than_they_justify() {
    let inputs: usize = std::env::var("TEST_FUZZ").map_or(20_000, |n| n.parse().unwrap());
    let each = inputs.div_ceil(TARGETS.len());
    // In parts, so that all threads have something to do, each in a folder of its own.
    let parts: Vec<(&Target, u64)> = TARGETS.iter().flat_map(|t| (0..8).map(move |part| (t, part))).collect();
    parts.par_iter().for_each(|&(target, part)| {
        let dir = tempfile::tempdir().unwrap();
        let seeds = corpus::seeds(target.name, dir.path());
        for i in 0..each.div_ceil(8) as u64 {
            let mut random = rng(7, Purpose::Synthetic, part, i);
            let mut bytes = seeds[below(&mut random, seeds.len())].clone();
            corpus::mutate(&mut bytes, &mut random);
            judge(target, dir.path(), &bytes);
        }
    });
    println!(
        "{} inputs for {} parsers: no panic, no hang",
        8 * each.div_ceil(8) * TARGETS.len(),
        TARGETS.len()
    );
}

#[test]
fn sound_files_are_read() {
    for target in TARGETS {
        let dir = tempfile::tempdir().unwrap();
        for seed in corpus::seeds(target.name, dir.path()) {
            judge(target, dir.path(), &seed);
        }
    }
}

#[test]
fn a_header_alone_claims_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let png = &corpus::seeds("png", dir.path())[1];
    let jpeg = &corpus::seeds("jpeg", dir.path())[1];
    let size = |bytes: &mut [u8], at: usize| bytes[at..at + 2].copy_from_slice(&13_000u16.to_be_bytes());
    let (mut wide_png, mut wide_jpeg) = (png.clone(), jpeg.clone());
    size(&mut wide_png, 18);
    size(&mut wide_png, 22);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    size(&mut wide_jpeg, frame + 5);
    size(&mut wide_jpeg, frame + 7);
    for (name, bytes) in [("png", wide_png), ("jpeg", wide_jpeg)] {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        let peak = allocations::peak(|| target.run(dir.path(), &bytes));
        assert!(peak < 1 << 20, "{name}: {peak} bytes for 13000×13000 pixels in {} bytes", bytes.len());
        let error = vit_mae::data::load_image(dir.path().join(target.file)).unwrap_err().to_string();
        assert!(error.contains("13000×13000") && error.contains("bytes can hold"), "{error}");
    }
}
