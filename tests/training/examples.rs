//! Claim: the library can be used from another crate. The programs in `docs/examples`, which use nothing but its public
//! interface, do what they say.

#[expect(dead_code, reason = "its `main` only prints")]
#[path = "../../docs/examples/one_layer.rs"]
mod one_layer;
#[expect(dead_code, reason = "its `main` only prints")]
#[path = "../../docs/examples/own_dataset.rs"]
mod own_dataset;
#[expect(dead_code, reason = "its `main` only prints")]
#[path = "../../docs/examples/own_layer.rs"]
mod own_layer;

#[test]
fn a_model_is_trained_on_a_data_set_of_ones_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("waves");
    let (first, last) = own_dataset::train(&out).expect("it trains");
    assert!(last < 0.5 * first, "held-out loss {first} → {last}");
    assert!(out.join("report.html").is_file() && out.join("checkpoint").is_dir());
}

#[test]
fn one_layer_alone_learns() {
    let (first, last) = one_layer::train();
    assert!(last < 0.1 * first, "{first} → {last}");
}

#[test]
fn the_gradient_check_tells_a_right_backward_pass_of_ones_own_layer_from_a_wrong_one() {
    let (right, wrong) = own_layer::check();
    assert!(right.passed(), "{right}");
    let row = |report: &vit_mae::audit::report::Report, tensor: &str| {
        report.rows.iter().find(|row| row.tensor == tensor).map(|row| row.error).expect("a row")
    };
    assert!(wrong.rows.iter().any(|row| row.tensor == "input") && row(&wrong, "input") > 1e-2, "{wrong}");
    assert!(row(&wrong, "weight") <= wrong.tolerance, "the weight's gradient is right in both: {wrong}");
}
