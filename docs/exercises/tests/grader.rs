//! Claim: the grader tells right from wrong, and says what is wrong where a factor, a sign or `+=` would mend it.

use exercises::answers::{adamw, attention, batch_norm, info_nce, linear, loss, masking, unshuffle};
use exercises::checks;
use exercises::grader::{Grade, Verdict, grade};
use exercises::list::ALL;
use ndarray::Array2;

/// The verdict on one tensor.
fn of(grade: &Grade, tensor: &str) -> Verdict {
    let Grade::Tensors(rows) = grade else { panic!("{grade:?}") };
    rows.iter().find(|(name, _)| name == tensor).unwrap_or_else(|| panic!("no {tensor}: {rows:?}")).1.clone()
}

fn advice(grade: &Grade, tensor: &str) -> String {
    match of(grade, tensor) {
        Verdict::Wrong(error, advice) => {
            assert!(error > 1e-6 || error.is_nan());
            advice.unwrap_or_default()
        }
        other => panic!("{tensor} is {other:?}"),
    }
}

#[test]
fn every_tensor_has_a_name_and_a_hint() {
    for exercise in ALL {
        let Grade::Tensors(rows) = exercise.grade() else { panic!("{} panics", exercise.name) };
        let names: Vec<&str> = rows.iter().map(|(tensor, _)| tensor.as_str()).collect();
        assert_eq!(names, exercise.hints.iter().map(|hint| hint.0).collect::<Vec<_>>(), "{}", exercise.name);
    }
}

#[test]
fn assigning_for_adding_is_recognised() {
    let graded = grade(
        |trial| {
            checks::linear(trial, |layer, x, dy, grad| {
                grad.weight = dy.t().dot(x).into();
                linear::backward(layer, x, dy, &mut grad.clone())
            })
        },
        &[],
    );
    assert!(advice(&graded, "weight").contains("+="));
    assert_eq!((of(&graded, "bias"), of(&graded, "input")), (Verdict::NotWritten, Verdict::Right));
}

#[test]
fn a_sign_a_factor_and_a_lost_scale_are_recognised() {
    let negative =
        grade(|trial| checks::linear(trial, |layer, x, dy, grad| -linear::backward(layer, x, dy, grad)), &[]);
    assert!(advice(&negative, "input").contains("sign"));
    let halved =
        grade(|trial| checks::loss(trial, |p, t, masks, m| 0.5 * loss::backward(p, t, masks, m)), &[]);
    assert!(advice(&halved, "input").contains("2 is missing"));
    let unscaled = |q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, p: &Array2<f64>, d: &Array2<f64>| {
        let [dq, dk, dv] = attention::backward(q, k, v, p, d);
        [dq * 3f64.sqrt(), dk, dv]
    };
    let graded = grade(|trial| checks::attention(trial, unscaled), &[(1.0 / 3f64.sqrt(), "the scale")]);
    assert_eq!((advice(&graded, "q"), of(&graded, "k")), ("the scale".to_owned(), Verdict::Right));
}

#[test]
fn a_chunk_that_divides_by_its_own_patches_is_wrong() {
    let own = |p: &Array2<f64>, t: &Array2<f64>, masks: &[vit_mae::mae::Mask], _| {
        loss::backward(p, t, masks, masks.iter().map(vit_mae::mae::Mask::removed).sum())
    };
    let graded = grade(|trial| checks::loss(trial, own), &[(checks::chunk_for_batch(), "the batch's")]);
    assert_eq!(advice(&graded, "input"), "the batch's");
}

#[test]
fn rows_at_the_wrong_place_are_wrong() {
    let forgotten = grade(
        |trial| {
            checks::masking(trial, |dx, masks, token| {
                let mut dz = masking::backward(dx, masks, token);
                dz.row_mut(0).fill(1.0); // whatever was removed or kept there
                dz
            })
        },
        &[],
    );
    advice(&forgotten, "input");
    let everywhere = grade(
        |trial| {
            checks::unshuffle(trial, |dx, masks, token| {
                let dy = unshuffle::backward(dx, masks, token);
                *token += &dy.row(1);
                dy
            })
        },
        &[],
    );
    advice(&everywhere, "token");
    assert_eq!(of(&everywhere, "input"), Verdict::Right);
}

#[test]
fn adamw_without_a_correction_or_with_the_wrong_epsilon_is_wrong() {
    let uncorrected = grade(
        |trial| checks::adamw(trial, |settings, _, g, m, v, w| adamw::step(settings, 1_000, g, m, v, w)),
        &[],
    );
    assert_eq!((of(&uncorrected, "m"), of(&uncorrected, "v")), (Verdict::Right, Verdict::Right));
    advice(&uncorrected, "w");
    let no_epsilon = grade(
        |trial| {
            checks::adamw(trial, |settings, k, g, m, v, w| {
                adamw::step(checks::Settings { eps: 0.0, ..settings }, k, g, m, v, w);
            })
        },
        &[],
    );
    advice(&no_epsilon, "w");
}

#[test]
fn batch_norm_of_another_variance_or_over_the_features_is_wrong() {
    let another_divisor = grade(
        |trial| {
            let forward = |layer: &_, x: &Array2<f64>| {
                let (_, x_hat, inv_std) = batch_norm::forward(layer, x);
                let rows = x.nrows() as f64;
                let x_hat = x_hat * ((rows - 1.0) / rows).sqrt();
                (&x_hat * &layer.weight + &layer.bias, x_hat, inv_std)
            };
            checks::batch_norm(trial, forward, batch_norm::backward)
        },
        &[],
    );
    for tensor in ["y", "x_hat"] {
        advice(&another_divisor, tensor);
    }
    assert_eq!(
        (of(&another_divisor, "inv_std"), of(&another_divisor, "input")),
        (Verdict::Right, Verdict::Right)
    );
    let constant_mean = grade(
        |trial| {
            checks::batch_norm(trial, batch_norm::forward, |layer, x_hat, inv_std, dy, grad| {
                batch_norm::backward(layer, x_hat, inv_std, dy, grad) + 1e-3 * inv_std
            })
        },
        &[],
    );
    advice(&constant_mean, "input");
    assert_eq!(of(&constant_mean, "weight"), Verdict::Right);
}

#[test]
fn infonce_without_its_factors_is_recognised() {
    let times = |factor: f64| {
        let wrong = move |q: &Array2<f64>, norms: &_, k: &Array2<f64>, p: &Array2<f64>, t: f64| {
            factor * info_nce::backward(q, norms, k, p, t)
        };
        grade(|trial| checks::info_nce(trial, wrong), checks::INFO_NCE)
    };
    assert!(advice(&times(1.0 / 0.6), "input").contains("2 T"));
    assert!(advice(&times(0.3), "input").contains("1/T"));
    assert!(advice(&times(5.0), "input").contains("mean"));
    let along = grade(
        |trial| checks::info_nce(trial, |q, norms, k, p, t| info_nce::backward(q, norms, k, p, t) + 1e-3 * q),
        &[],
    );
    advice(&along, "input");
}

#[test]
fn a_panic_is_reported_with_its_message() {
    let shape = grade(|trial| checks::softmax(trial, |_, _| Array2::zeros((1, 2))), &[]);
    let Grade::Panicked(message) = shape else { panic!("{shape:?}") };
    assert!(message.contains("returns the shape [1, 2], it should be [5, 5]"), "{message}");
    let nan = grade(|trial| checks::softmax(trial, |p, _| p * f64::NAN), &[]);
    assert!(matches!(of(&nan, "input"), Verdict::Wrong(..)));
}
