//! Position tables and the distribution of every initial value.

use super::golden::agrees;
use vit_mae::mae::{Mae, MaeConfig};
use vit_mae::params::Params;

#[test]
fn position_tables_are_the_references() {
    agrees("posembed_v.f64", 3);
}

#[test]
fn interpolated_positions_are_the_references_in_f64() {
    agrees("posinterp_v.f64", 2);
}

#[test]
fn interpolated_positions_are_the_references_in_f32() {
    agrees("posinterp_v.f32", 2);
}

/// Over 100 seeds each tensor's mean, spread and range are those of its distribution, as the reference's are.
#[test]
fn initial_values_follow_the_references_distributions() {
    const SEEDS: usize = 100;
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/init_stats_v.json"));
    let all: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    let mut config = all["config"].as_object().unwrap().clone();
    config.insert("img_size".into(), serde_json::json!([config["img_size"], config["img_size"]]));
    config.insert("layer_norm_eps".into(), serde_json::json!(1e-6));
    let config: MaeConfig = serde_json::from_value(config.into()).unwrap();
    let models: Vec<Mae<f64>> =
        (0..SEEDS).map(|seed| Mae::initialised(config.clone(), seed as u64)).collect();

    let walk = models[0].tensors();
    let distributions = all["params"].as_object().unwrap();
    assert_eq!(walk.len(), distributions.len(), "every tensor has a recorded distribution");
    for (i, tensor) in walk.iter().enumerate() {
        let name = tensor.name.as_str();
        let distribution = &distributions[name];
        let shape: Vec<u64> =
            distribution["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(shape, tensor.shape.iter().map(|&n| n as u64).collect::<Vec<_>>(), "{name}");
        let values: Vec<f64> = models.iter().flat_map(|m| m.tensors()[i].data.to_vec()).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let largest = values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        match distribution["law"].as_str().unwrap() {
            "constant" => {
                let value = distribution["value"].as_f64().unwrap();
                assert!(values.iter().all(|&x| x == value), "{name} is {value} everywhere");
            }
            "uniform" => {
                let bound = distribution["bound"].as_f64().unwrap();
                let expected = bound / 3f64.sqrt();
                // The standard error of a mean is σ/√n, of a uniform distribution's spread about 0.45 σ/√n; five of them.
                assert!(mean.abs() < 5.0 * expected / n.sqrt(), "{name}: mean {mean}");
                assert!((std - expected).abs() < 2.5 * expected / n.sqrt(), "{name}: std {std}, {expected}");
                assert!(
                    largest <= bound && largest > bound * (1.0 - 20.0 / n),
                    "{name}: {largest} of {bound}"
                );
            }
            "normal" => {
                let expected = distribution["std"].as_f64().unwrap();
                assert!(mean.abs() < 5.0 * expected / n.sqrt(), "{name}: mean {mean}");
                assert!((std - expected).abs() < 4.0 * expected / n.sqrt(), "{name}: std {std}");
                assert!(
                    largest > 2.5 * expected,
                    "{name}: a normal distribution has tails, largest {largest}"
                );
            }
            "sincos" => {
                for (key, ours) in [("mean", mean), ("std", std)] {
                    let theirs = distribution["observed"][key].as_f64().unwrap();
                    assert!((ours - theirs).abs() < 1e-6, "{name}: {key} {ours}, recorded {theirs}");
                }
            }
            other => panic!("{name}: unknown distribution {other}"),
        }
    }
}
