//! The checks of contrastive learning: batch norm, forward and backward, and InfoNCE.

use super::{check, filled, no_weights, random, softmaxed};
use crate::grader::{Measured, Trial, measured};
use ndarray::{Array, Array1, Array2, Axis, Dimension, arr0};
use vit_mae::audit::GradCheck;
use vit_mae::layers::AffineBatchNorm;
use vit_mae::models::moco::loss::InfoNce;

type BatchNormForward = fn(&AffineBatchNorm<f64>, &Array2<f64>) -> (Array2<f64>, Array2<f64>, Array1<f64>);

type BatchNormBackward = fn(
    &AffineBatchNorm<f64>,
    &Array2<f64>,
    &Array1<f64>,
    &Array2<f64>,
    &mut AffineBatchNorm<f64>,
) -> Array2<f64>;

/// `batch_norm::forward` beside the library and the formula, then `batch_norm::backward`.
pub fn batch_norm(trial: Trial, forward: BatchNormForward, backward: BatchNormBackward) -> Vec<Measured> {
    // ε is so large that it shows, the mean is not 0, and there are more rows than features.
    let layer = filled(AffineBatchNorm::new(4, 1e-2));
    let x: Array2<f64> = 2.0 * random((5, 4)) + 0.7;
    let (x_hat, inv_std) = normalised(&layer, &x);
    let answer = forward(&layer, &x);
    let y = &x_hat * &layer.weight + &layer.bias;
    let mut rows = vec![
        row(trial, "y", &answer.0, &y),
        row(trial, "x_hat", &answer.1, &x_hat),
        row(trial, "inv_std", &answer.2, &inv_std),
    ];
    // The running statistics are neither trained nor graded.
    let graded = ["weight", "bias", "input"].map(str::to_owned);
    let check = GradCheck { only: Some(graded.into()), ..check() };
    rows.extend(measured(&check.layer(
        &layer,
        &x,
        |layer, x, cx| (layer.forward(x.clone(), cx).0, normalised(layer, x)),
        |layer, (x_hat, inv_std), dy, grad, _| {
            trial.run(grad, x_hat.shape(), |grad| backward(layer, &x_hat, &inv_std, dy, grad))
        },
    )));
    rows
}

/// `x̂` and `1 / √(σ² + ε)`, from the definition.
fn normalised(layer: &AffineBatchNorm<f64>, x: &Array2<f64>) -> (Array2<f64>, Array1<f64>) {
    let rows = x.nrows() as f64;
    let centred = x - &(x.sum_axis(Axis(0)) / rows);
    let variance = (&centred * &centred).sum_axis(Axis(0)) / rows;
    let inv_std = variance.mapv(|v| 1.0 / (v + layer.norm.eps).sqrt());
    (centred * &inv_std, inv_std)
}

/// What forward returned, beside what it should be.
fn row<D: Dimension>(trial: Trial, tensor: &str, answer: &Array<f64, D>, right: &Array<f64, D>) -> Measured {
    let (shape, expected) = (answer.shape(), right.shape());
    assert!(shape == expected, "`{tensor}` has the shape {shape:?}, it should be {expected:?}");
    let (mut off, mut largest) = (0.0f64, 0.0f64);
    for (&answer, &right) in answer.iter().zip(right) {
        let difference = (trial.moved(0.0, answer) - right).abs();
        off = if difference.is_nan() { f64::NAN } else { off.max(difference) };
        largest = largest.max(right.abs());
    }
    let error = off / largest;
    Measured { tensor: tensor.to_owned(), error, right: error <= 1e-9 }
}

/// `T` of the check.
const TEMPERATURE: f64 = 0.3;

/// What is easily lost of InfoNCE's gradient, for the check's `T` and its batch of 5.
pub const INFO_NCE: &[(f64, &str)] = &[
    (2.0 * TEMPERATURE, "the factor 2 T of the loss is missing"),
    (1.0 / TEMPERATURE, "1/T of the logits is missing"),
    (0.2, "the loss is the mean over the B queries, not their sum"),
];

/// `info_nce::backward`.
pub fn info_nce(
    trial: Trial,
    answer: impl Fn(&Array2<f64>, &Array1<f64>, &Array2<f64>, &Array2<f64>, f64) -> Array2<f64>,
) -> Vec<Measured> {
    let q: Array2<f64> = random((5, 3));
    let k = q.mapv(|x| (5.0 * x).cos());
    measured(&check().function(
        &q,
        |q, cx| arr0(InfoNce::new(q, &k, TEMPERATURE, cx).loss),
        |q, dloss, cx| {
            let loss = InfoNce::new(q, &k, TEMPERATURE, cx);
            let norms = (q * q).sum_axis(Axis(1)).mapv(f64::sqrt);
            let (query, key, p) = (&loss.query.rows, &loss.key.rows, softmaxed(&loss.logits));
            trial.run(&mut no_weights(), q.shape(), |_| answer(query, &norms, key, &p, TEMPERATURE)) * dloss
        },
    ))
}
