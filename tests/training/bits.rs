//! Claim: small runs leave the bits that `tests/bits/digests.txt` records: weights, moments and the log's hash chain.
//! The digests are our own output on purpose. `tests/bits/run PROGRAM` compares all cases; one is quick
//! enough to be tried here.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::process::Command;

/// Its bits are the same for AVX2 and AVX-512; a processor with neither rounds otherwise.
#[test]
fn a_small_run_has_the_recorded_bits() {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        eprintln!("skipped: the digests are of AVX2 or AVX-512");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bits/run");
    let program = env!("CARGO_BIN_EXE_vit-mae");
    let output = Command::new("bash").arg(script).args([program, "accum"]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}
