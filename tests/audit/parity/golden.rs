//! A recorded file of the reference, compared as `vit-mae audit parity` compares it.

use vit_mae::audit::parity::{Comparison, Verdict, compare};

/// Compares `tests/golden/NAME.safetensors` and expects every tensor to agree, `compared` of them at least.
pub(crate) fn agrees(name: &str, compared: usize) -> Comparison {
    let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let comparison = compare(path.as_ref()).unwrap_or_else(|e| panic!("{e}"));
    let wrong = |verdict: Verdict| !matches!(verdict, Verdict::Input | Verdict::Ok);
    let wrong: Vec<_> = comparison.rows.iter().filter(|row| wrong(row.verdict)).collect();
    assert!(comparison.passed(), "{name}: {wrong:#?}");
    let agree = comparison.count(Verdict::Ok);
    assert!(agree >= compared, "{name}: only {agree} tensors were compared");
    comparison
}
