//! Cross-entropy, batch norm and interpolated positions: gradients, adjoints and formulas.

use super::formulas::{agree, all};
use super::shapes::{every_element, filled, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::layers::BatchNorm;
use crate::layers::pos_interp::interpolate;
use crate::models::classify::{LinearProbe, cross_entropy};
use ndarray::{Array2, arr0};

/// Soft targets whose rows do not sum to 1: the general case.
fn soft_targets(check: &GradCheck) -> Array2<f64> {
    random(check, (4, 5)).mapv(|x: f64| (3.0 * x).sin().powi(2))
}

pub(super) fn cross_entropy_gradient(check: &GradCheck) -> Report {
    let targets = soft_targets(check);
    every_element(check).function(
        &(3.0 * random(check, (4, 5))),
        |logits, _| arr0(cross_entropy::sum(logits, &targets) / 4.0),
        |logits, dloss, _| cross_entropy::backward(logits, &targets, 4) * dloss,
    )
}

/// `−Σ q log(e^z / Σ e^z)`, and smoothed labels.
pub(super) fn cross_entropy_formula(check: &GradCheck) -> Report {
    let (logits, targets) = (3.0 * random(check, (4, 5)), soft_targets(check));
    let row = |n: usize| {
        let sum: f64 = (0..5).map(|k| f64::exp(logits[(n, k)])).sum();
        (0..5).map(|k| -targets[(n, k)] * (f64::exp(logits[(n, k)]) / sum).ln()).sum::<f64>()
    };
    let loss = cross_entropy::sum(&logits, &targets);
    // The same number added to all logits changes nothing, and must not overflow.
    let shifted = cross_entropy::sum(&(&logits + 1024.0), &targets);
    let smoothed = cross_entropy::targets::<f64>(&[2, 0], 4, 0.2);
    all([
        agree("−Σ q log p", &[loss], [(0..4).map(row).sum()]),
        agree("−Σ q log p, logits + 1024", &[shifted], [(0..4).map(row).sum()]),
        agree("label smoothing", &smoothed, [0.05, 0.05, 0.85, 0.05, 0.85, 0.05, 0.05, 0.05]),
    ])
}

pub(super) fn batch_norm(check: &GradCheck) -> Report {
    let norm = BatchNorm::new(4, 1e-6);
    every_element(check).function(
        &random(check, (9, 4)),
        |x, cx| norm.forward(x.clone(), cx).0,
        |x, dy, cx| {
            let cache = norm.forward(x.clone(), cx).1;
            norm.backward(cache, dy.view(), &mut norm.clone(), cx)
        },
    )
}

/// With running statistics of another batch, which are constants.
pub(super) fn batch_norm_eval(check: &GradCheck) -> Report {
    let norm = tracked(BatchNorm::new(4, 1e-6), check);
    every_element(check).function(
        &random(check, (9, 4)),
        |x, cx| norm.forward_eval(x.clone(), cx).0,
        |x, dy, cx| {
            let cache = norm.forward_eval(x.clone(), cx).1;
            norm.backward(cache, dy.view(), &mut norm.clone(), cx)
        },
    )
}

fn tracked(mut norm: BatchNorm<f64>, check: &GradCheck) -> BatchNorm<f64> {
    let x = 2.0 * random(check, (6, 4)) + 0.5;
    let seen = norm.forward(x, &mut Exec::new(Backend::default())).1;
    norm.track(seen.statistics().expect("of a training batch"));
    norm
}

/// Batch norm and head.
pub(super) fn linear_probe(check: &GradCheck, training: bool) -> Report {
    let mut probe = filled(check, LinearProbe::new(4, 3, 1e-6));
    probe.norm = tracked(probe.norm, check);
    check.layer(
        &probe,
        &random(check, (9, 4)),
        |probe, x, cx| probe.forward(x.clone(), training, cx),
        |probe, cache, dy, grad, cx| probe.backward(cache, dy.view(), grad, cx),
    )
}

/// Normalised over the batch with divisor N; running statistics take a tenth of the mean and of the variance
/// with divisor N − 1.
pub(super) fn batch_norm_formula(check: &GradCheck) -> Report {
    let (mut norm, cx) = (BatchNorm::new(4, 1e-6), &mut Exec::new(Backend::default()));
    let mut x: Array2<f64> = random(check, (9, 4));
    x.column_mut(1).mapv_inplace(|x| 0.2 + 1e-3 * x);
    let (y, cache) = norm.forward(x.clone(), cx);
    norm.track(cache.statistics().expect("of a training batch"));
    let mean: Vec<f64> = x.columns().into_iter().map(|c| c.sum() / 9.0).collect();
    let squares = |d: usize| x.column(d).iter().map(|x| (x - mean[d]).powi(2)).sum::<f64>();
    let formula: Vec<f64> =
        x.indexed_iter().map(|((_, d), x)| (x - mean[d]) / (squares(d) / 9.0 + 1e-6).sqrt()).collect();
    let unseen: Array2<f64> = random(check, (3, 4));
    let (evaluated, _) = norm.forward_eval(unseen.clone(), cx);
    let running = |d: usize| (0.1 * mean[d], 0.9 + 0.1 * squares(d) / 8.0);
    let of_unseen =
        unseen.indexed_iter().map(|((_, d), x)| (x - running(d).0) / (running(d).1 + 1e-6).sqrt());
    all([
        agree("training", &y, formula),
        agree("running mean", &norm.running_mean, (0..4).map(|d| running(d).0)),
        agree("running variance", &norm.running_var, (0..4).map(|d| running(d).1)),
        agree("evaluation", &evaluated, of_unseen),
    ])
}

/// The convolution of the whole grid, its border repeated, with Keys' kernel for a = −0.75, taken at the centres
/// of the new cells. The class row is copied.
pub(super) fn pos_interp(check: &GradCheck) -> Report {
    const FROM: (usize, usize) = (3, 5);
    const TO: (usize, usize) = (7, 4);
    let table: Array2<f64> = random(check, (1 + FROM.0 * FROM.1, 2));
    let resized = interpolate(table.view(), FROM, TO);
    let kernel = |x: f64| match x.abs() {
        x if x <= 1.0 => 1.25 * x.powi(3) - 2.25 * x.powi(2) + 1.0,
        x if x <= 2.0 => -0.75 * x.powi(3) + 3.75 * x.powi(2) - 6.0 * x + 3.0,
        _ => 0.0,
    };
    // For each old cell, and the two beyond either border, where it stands and what it weighs.
    let cells = |cell: usize, from: usize, to: usize| {
        let centre = (cell as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        (0..from + 4).map(move |i| (i.saturating_sub(2).min(from - 1), kernel(centre - (i as f64 - 2.0))))
    };
    let formula = Array2::from_shape_fn(resized.dim(), |(row, d)| {
        let Some(cell) = row.checked_sub(1) else { return table[(0, d)] };
        let mut sum = 0.0;
        for (i, weight_of_row) in cells(cell / TO.1, FROM.0, TO.0) {
            for (j, weight) in cells(cell % TO.1, FROM.1, TO.1) {
                sum += weight_of_row * weight * table[(1 + i * FROM.1 + j, d)];
            }
        }
        sum
    });
    agree("cubic convolution", &resized, formula)
}
