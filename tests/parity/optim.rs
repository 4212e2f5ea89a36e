//! AdamW alone (gradients from 1e-7 to 1e1, a first learning rate of 0) and the learning-rate schedules.

use crate::golden::{Golden, Tolerance};
use ndarray::{Array1, Array2, Array3, Array4, ArrayD};
use vit_mae::Real;
use vit_mae::optim::{AdamW, Schedule, groups};
use vit_mae::params::Params;

vit_mae::params! {
    /// The four tensors of `optim_adamw_v`.
    pub struct Four {
        tensors {
            /// Decays.
            weight: Array2<F> = Weight,
            /// Does not decay.
            bias: Array1<F> = Bias,
            /// Decays, since its checkpoint shape is `[1, 1, D]`.
            token: Array3<F> = Token,
            /// Decays.
            conv: Array4<F> = Weight,
        }
    }
}

fn fill<F: Real>(model: &mut Four<F>, value: impl Fn(&str) -> ArrayD<f64>) {
    for tensor in model.tensors_mut() {
        let stored = value(&tensor.name);
        assert_eq!(stored.shape(), tensor.shape, "{}", tensor.name);
        tensor.data.iter_mut().zip(&stored).for_each(|(x, &s)| *x = F::of(s));
    }
}

fn replay<F: Real>() {
    let golden = Golden::open(&format!("optim_adamw_v.{}", F::NAME));
    let tolerance = match F::NAME {
        "f64" => Tolerance { rel: 1e-13, floor: 0.0 },
        _ => Tolerance { rel: 2e-6, floor: 0.0 },
    };
    let mut model = Four::<F> {
        weight: Array2::zeros((6, 5)),
        bias: Array1::zeros(6),
        token: Array3::zeros((1, 1, 5)),
        conv: Array4::zeros((3, 2, 2, 2)),
    };
    fill(&mut model, |name| golden.input(&format!("init.{name}")));
    let config = &golden.meta["config"];
    let groups = groups::pretraining(&model, config["weight_decay"].as_f64().unwrap());
    let betas = (config["betas"][0].as_f64().unwrap(), config["betas"][1].as_f64().unwrap());
    let mut adamw = AdamW::new(&model, betas);
    for (i, lr) in config["lr"].as_array().unwrap().iter().enumerate() {
        let mut grad = model.zeros_like();
        fill(&mut grad, |name| golden.input(&format!("grad.{}.{name}", i + 1)));
        adamw.step(&mut model, &grad, &groups, lr.as_f64().unwrap());
        for (kind, state) in [("param", &model), ("m", &adamw.m), ("v", &adamw.v)] {
            for t in state.tensors() {
                let ours: Vec<f64> = t.data.iter().map(|x| x.f64()).collect();
                golden.compare_values(&format!("{kind}.{}.{}", i + 1, t.name), &ours, tolerance);
            }
        }
    }
    golden.finish();
}

#[test]
fn five_adamw_steps_are_the_references_in_f64() {
    replay::<f64>();
}

#[test]
fn five_adamw_steps_are_the_references_in_f32() {
    replay::<f32>();
}

#[test]
fn every_learning_rate_is_the_references() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/lr_sched_v.json"));
    let all: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    let mut rows = 0;
    for (name, case) in all.as_object().unwrap().iter().filter(|(name, _)| *name != "versions") {
        let arg = |key: &str| case["args"][key].as_f64().unwrap_or_else(|| panic!("{name} has no {key}"));
        let schedule = Schedule {
            lr: arg("lr"),
            min_lr: arg("min_lr"),
            warmup_epochs: arg("warmup_epochs"),
            epochs: arg("epochs"),
        };
        for row in case["rows"].as_array().unwrap() {
            // With accumulation the rate changes only at its borders.
            let accum = arg("accum_iter") as u64;
            let iteration = row["iter"].as_u64().unwrap() / accum * accum;
            let at = row["epoch"].as_f64().unwrap() + iteration as f64 / arg("steps_per_epoch");
            let ours = schedule.lr_at(at);
            for (key, scale) in [("lr", 1.0), ("lr_scaled", arg("lr_scale"))] {
                let theirs = row[key].as_f64().unwrap();
                assert!((ours * scale - theirs).abs() <= 1e-12 * schedule.lr, "{name} {row}: {ours}");
            }
            rows += 1;
        }
    }
    assert!(rows > 50, "only {rows} rows were compared");
}
