//! A MoCo v3 step, four losses and three updates: `moco_v`; the moving average's coefficient: `ema_v`.

use super::golden::agrees;
use crate::common::Place;
use crate::recording::{Recording, path};
use ndarray::Array1;
use serde_json::json;
use vit_mae::audit::parity::{Comparison, Verdict, compare};
use vit_mae::models::moco::momentum;
use vit_mae::params::Params;

const NAME: &str = "moco_v.f64";

#[test]
fn a_moco_step_is_the_originals_in_f64() {
    agrees("moco_v.f64", 265);
}

#[test]
fn a_moco_step_is_the_originals_in_f32() {
    agrees("moco_v.f32", 265);
}

/// The tensors that are neither inputs nor agree.
fn wrong(comparison: &Comparison) -> Vec<(&str, Verdict)> {
    let rows = comparison.rows.iter().filter(|row| !matches!(row.verdict, Verdict::Ok | Verdict::Input));
    rows.map(|row| (row.tensor.as_str(), row.verdict)).collect()
}

fn compared(place: &Place, recording: &Recording) -> Comparison {
    place.write("file.safetensors", recording.bytes());
    compare(&place.path("file.safetensors")).unwrap()
}

/// Each recorded result in turn gets one number that is off.
#[test]
fn a_single_wrong_number_of_a_moco_step_fails_its_tensor_and_no_other() {
    let place = Place::new();
    let whole = compare(path(NAME).as_ref()).unwrap();
    let mut recording = Recording::open(NAME);
    let inputs = ["param.", "momentum.", "metadata "];
    let results = whole.rows.iter().filter(|row| row.verdict == Verdict::Ok);
    for row in results.filter(|row| !inputs.iter().any(|input| row.tensor.starts_with(input))) {
        let values = recording.values(&row.tensor);
        let index = values.len() * 2 / 3;
        let largest = values.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let off = if row.tolerance == Some(0.0) { 1.0 } else { 1e-7 * largest.max(1e-3) };
        recording.set(&row.tensor, index, values[index] + off);
        assert_eq!(wrong(&compared(&place, &recording)), [(row.tensor.as_str(), Verdict::Differs)]);
        recording.set(&row.tensor, index, values[index]);
    }
}

/// The features' bias has the gradient 0, whose rounding AdamW makes a step of; the scales have others.
#[test]
fn in_f32_a_weight_may_take_another_step_where_its_gradient_is_rounding_and_only_there() {
    let place = Place::new();
    let moved = |name: &str, elements: usize, steps: f64| {
        let mut recording = Recording::open("moco_v.f32");
        let lr = recording.golden["adamw"]["lr"].as_f64().unwrap();
        for (index, value) in recording.values(name).into_iter().enumerate().take(elements) {
            recording.set(name, index, value + steps * lr);
        }
        wrong(&compared(&place, &recording)).into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(moved("adamw1.norm.bias", 24, 0.1), [""; 0]);
    assert_eq!(moved("adamw1.norm.bias", 1, 5.0), ["adamw1.norm.bias"], "more than a step");
    assert_eq!(moved("adamw1.norm.weight", 1, 0.1), [""; 0], "one may be off");
    assert_eq!(moved("adamw1.norm.weight", 2, 0.1), ["adamw1.norm.weight"]);
}

#[test]
fn a_missing_or_unknown_tensor_of_a_moco_step_fails() {
    let place = Place::new();
    for gone in [
        "act.key2_unit",
        "act.projector1.norm2",
        "gact.logits21",
        "grad.predictor.fc1.weight",
        "momentum_after3.projector.norm1.bias",
        "buffer_after.predictor.norm2.num_batches_tracked",
        "accuracy21",
        "adamw_losses",
    ] {
        let mut recording = Recording::open(NAME);
        recording.tensors.remove(gone).unwrap();
        assert_eq!(wrong(&compared(&place, &recording)), [(gone, Verdict::Missing)]);
    }
    let mut recording = Recording::open(NAME);
    // A frozen tensor has no gradient, and the last norm of a head no scale.
    for unknown in ["grad.patch_embed.proj.bias", "param.projector.norm3.weight"] {
        recording.tensors.insert(unknown.to_owned(), ("F64".to_owned(), vec![1], vec![0; 8]));
    }
    let found = compared(&place, &recording);
    let unknown = |name| (name, Verdict::Unknown);
    assert_eq!(
        wrong(&found),
        [unknown("grad.patch_embed.proj.bias"), unknown("param.projector.norm3.weight")]
    );
}

#[test]
fn metadata_of_a_moco_step_is_held_against_the_computation() {
    let place = Place::new();
    let spoilt = |pointer: &str, value: serde_json::Value| {
        let mut recording = Recording::open(NAME);
        *recording.golden.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        recording
    };
    for (pointer, value, row) in [
        ("/config/ema/m0", json!(0.8), "metadata config.ema"),
        ("/frozen", json!(["pos_embed"]), "metadata frozen"),
        ("/param_groups/1/weight_decay", json!(0.2), "metadata param_groups"),
    ] {
        assert_eq!(wrong(&compared(&place, &spoilt(pointer, value))), [(row, Verdict::Differs)]);
    }
    for (pointer, value, word) in [
        ("/config/batch", json!(1), "2 to 4096"),
        ("/config/batch", json!(7), "images1"),
        ("/config/momentum", json!([0.9, 0.9, 0.9]), "4 numbers from 0 to 1"),
        ("/config/momentum", json!([0.9, 0.9, 0.9, 1.5]), "4 numbers from 0 to 1"),
        ("/config/temperature", json!(0), "temperature"),
        ("/config/mlp_hidden", json!(0), "mlp_dim"),
        ("/config/out_dim", json!(11), "projector.fc3.weight"),
        ("/config/bn_eps", json!("small"), "bn_eps"),
        ("/config/stop_grad_conv1", json!(1), "true or false"),
        ("/num_patches", json!(11), "12, by the configuration"),
    ] {
        place.write("file.safetensors", spoilt(pointer, value).bytes());
        let error = compare(&place.path("file.safetensors")).unwrap_err().to_string();
        assert!(error.contains(word), "{pointer}: {error}");
    }
}

/// A wrong input shows in the results: a key's weight in the keys, a pixel of either crop in its feature.
#[test]
fn a_wrong_input_of_a_moco_step_is_seen_in_the_results() {
    let place = Place::new();
    for (input, seen) in [
        ("images2", "act.trunk2"),
        ("momentum.projector.fc2.weight", "act.key1"),
        ("param.predictor.norm1.weight", "loss"),
    ] {
        let mut recording = Recording::open(NAME);
        let value = recording.values(input)[5];
        recording.set(input, 5, value + 1e-3);
        let found = compared(&place, &recording);
        assert!(wrong(&found).contains(&(seen, Verdict::Differs)), "{input}");
    }
}

#[test]
fn the_moving_average_and_its_coefficient_are_the_recorded_ones() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ema_v.json"));
    let all: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let near = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1e-15;
    for case in all["cases"].as_array().unwrap() {
        for row in case["rows"].as_array().unwrap() {
            let m = momentum::coefficient(number(&case["m0"]), number(&row["t"]), number(&case["total"]));
            assert!(near(m, number(&row["m"])), "{row}: {m}");
        }
    }
    let case = &all["average"];
    let numbers =
        |list: &serde_json::Value| list.as_array().unwrap().iter().map(number).collect::<Array1<f64>>();
    let mut average = Weights { weights: numbers(&case["start"]) };
    for (step, weights) in case["steps"].as_array().unwrap().iter().zip(case["weights"].as_array().unwrap()) {
        let m = momentum::coefficient(number(&case["m0"]), number(&step["t"]), number(&case["total"]));
        momentum::average(&mut average, &Weights { weights: numbers(weights) }, m);
        let theirs = numbers(&step["average"]);
        assert!(average.weights.iter().zip(&theirs).all(|(&a, &b)| near(a, b)), "{step}");
    }
    assert_eq!(average.count(), 5);
}

vit_mae::params! {
    /// Any numbers.
    pub struct Weights {
        tensors {
            /// All of them.
            weights: Array1<F> = Weight,
        }
    }
}
