//! Curves: logs made by hand, without a checkpoint and without images.

use super::*;

/// A run of 400 steps with this loss in each step, in 40 epochs, and no checkpoint.
fn curve(loss: impl Fn(f64) -> f64) -> Place {
    let place = Place::new();
    let tiny = SMALL.replace("epochs = 30", "epochs = 40");
    place.write("small.toml", tiny);
    pictures(&place, "images", 0..16);
    train(&place, &["--epochs", "40", "--set", "run.checkpoint_every_epochs=100"]);
    fs::remove_dir_all(place.path("run/checkpoint")).unwrap();
    fs::remove_dir_all(place.path("images")).unwrap();
    let config: toml::Table = place.text("run/config.toml").parse().unwrap();
    let config: vit_mae::tasks::Config = config.try_into().unwrap();
    let line = |step: u32| {
        let (epoch, loss) = (f64::from(step) / 10.0, loss(f64::from(step)));
        let lr = config.schedule().lr_at(epoch);
        let step = step + 1;
        format!(
            "{{\"kind\":\"step\",\"step\":{step},\"epoch\":{epoch},\"loss\":{loss},\"lr\":{lr},\"grad_norm\":0.5,\"images_per_s\":1.0}}\n"
        )
    };
    place.write("run/metrics.jsonl", (0..390).map(line).collect::<String>());
    place
}

/// A little noise that follows from the step.
fn jitter(step: f64) -> f64 {
    2.0 * ((step * 12.9898).sin() * 43758.547).rem_euclid(1.0) - 1.0
}

#[test]
fn a_curve_that_falls_is_healthy() {
    let place = curve(|step| 0.2 + 0.8 * (-step / 100.0).exp() + 0.01 * jitter(step));
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 0, "{report:#}");
    for check in ["divergence", "warm-up", "plateau", "noise", "schedule"] {
        assert_found(&report, check, "ok", &[]);
    }
}

#[test]
fn a_curve_that_rises_has_diverged() {
    let place = curve(|step| if step < 200.0 { 1.0 - step / 400.0 } else { 0.5 + (step - 200.0) / 100.0 });
    let (code, report) = diagnose(&place, &[]);
    assert_eq!(code, 1);
    assert_found(&report, "divergence", "problem", &["diverged"]);
    assert_advice(&report, "lower the learning rate");
}

#[test]
fn a_jump_after_too_short_a_warm_up_is_seen() {
    let place = curve(|step| {
        let jump = if (20.0..40.0).contains(&step) { 3.0 } else { 0.0 };
        0.3 + 0.7 * (-step / 100.0).exp() + jump
    });
    let (_, report) = diagnose(&place, &[]);
    assert_found(&report, "warm-up", "warning", &["jumped"]);
}

#[test]
fn a_curve_that_stands_still_is_a_plateau_and_a_wild_one_is_noisy() {
    let (_, report) = diagnose(&curve(|step| if step < 50.0 { 1.0 - step / 100.0 } else { 0.5 }), &[]);
    assert_found(&report, "noise", "ok", &[]);
    let plateau = findings(&report, "plateau");
    assert!(plateau[0].contains("fell by 0 %"), "{plateau:?}");
    let (_, report) = diagnose(&curve(|step| 0.5 * (1.0 + 0.9 * jitter(step))), &[]);
    assert_found(&report, "noise", "warning", &["differs"]);
    assert!(report["advice"].to_string().contains("--batch-size"));
}
