//! The optimisers alone (gradients from 1e-7 to 1e1, a first learning rate of 0) and the schedules.

use super::golden::agrees;
use vit_mae::optim::Schedule;

#[test]
fn five_adamw_steps_are_the_references_in_f64() {
    agrees("optim_adamw_v.f64", 60);
}

#[test]
fn five_adamw_steps_are_the_references_in_f32() {
    agrees("optim_adamw_v.f32", 60);
}

#[test]
fn three_lars_steps_are_the_references_in_f64() {
    agrees("optim_lars_v.f64", 24);
}

#[test]
fn three_lars_steps_are_the_references_in_f32() {
    agrees("optim_lars_v.f32", 24);
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
