//! The tables of the chapter on gradient checks, measured again.
//!
//! An error made of rounding has no fixed digits: another processor adds in another order. A cell therefore holds
//! where the printed and the measured error differ by a factor of at most five.

use crate::page::Page;
use ndarray::{Array1, Array2};
use vit_mae::Real;
use vit_mae::audit::{GradCheck, Report};
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::{Attention, LayerNorm, Linear, Mlp};
use vit_mae::params::Params;

const CHAPTER: &str = "12-gradient-checks.md";
const FACTOR: f64 = 5.0;

/// Compares a table's numbers, row by row and without its first column, with what is measured.
fn compare(table: &str, measured: &[Vec<f64>]) {
    let printed = Page::read(CHAPTER).table("measured", table);
    let number = |cell: &String| {
        let word = cell.split_whitespace().next().unwrap_or_default();
        word.parse::<f64>()
            .unwrap_or_else(|_| panic!("docs/book/{CHAPTER}, `{table}`: `{cell}` begins with no number"))
    };
    let printed: Vec<Vec<f64>> = printed.iter().map(|row| row[1..].iter().map(number).collect()).collect();
    let holds = |(&printed, &measured): (&f64, &f64)| {
        printed == measured || (measured / FACTOR..=measured * FACTOR).contains(&printed)
    };
    let rows = || printed.iter().zip(measured);
    let fits = printed.len() == measured.len() && rows().all(|(p, m)| p.len() == m.len());
    let text: Vec<String> = measured
        .iter()
        .map(|row| row.iter().map(|x| format!("{x:9.1e}")).collect::<Vec<_>>().join("  "))
        .collect();
    println!("{table}\n{}", text.join("\n"));
    let agrees = fits && rows().all(|(p, m)| p.iter().zip(m).all(holds));
    assert!(agrees, "docs/book/{CHAPTER}, `{table}`: measured\n{}", text.join("\n"));
}

fn filled<P: Params<f64>>(mut layer: P) -> P {
    GradCheck::default().fill(&mut layer, -1.0..1.0);
    layer
}

fn random(rows: usize, columns: usize) -> Array2<f64> {
    let mut array = Array2::zeros((rows, columns));
    GradCheck::default().fill_array(&mut array, -1.0..1.0);
    array
}

/// The worst scaled error of an MLP's weights against difference quotients with step `h`, all in `F`.
fn mlp_error<F: Real>(h: f64, central: bool) -> f64 {
    let cx = &mut Exec::<F>::new(Backend::default());
    let mut layer = Mlp::<F>::new(4, 7);
    for (to, from) in layer.tensors_mut().into_iter().zip(filled(Mlp::new(4, 7)).tensors()) {
        to.data.write().iter_mut().zip(from.data).for_each(|(to, &from)| *to = F::of(from));
    }
    let (x, dy) = (random(6, 4).mapv(F::of), random(6, 4).mapv(|x| F::of((7.0 * x).sin())));
    let mut grad = layer.zeros_like();
    let (_, cache) = layer.forward(x.clone(), cx);
    layer.backward(cache, dy.view(), &mut grad, cx);

    let mut loss = |layer: &Mlp<F>| (&layer.forward(x.clone(), cx).0 * &dy).sum();
    let mut moved = layer.clone();
    let mut worst = 0.0f64;
    for (t, tensor) in grad.tensors().iter().enumerate() {
        let (mut off, mut largest) = (0.0f64, 0.0f64);
        for (i, analytic) in tensor.data.iter().enumerate() {
            let mut at = |by: f64| {
                let before = moved.tensors()[t].data[i];
                moved.tensors_mut().swap_remove(t).data.write()[i] = before + F::of(by);
                let value = loss(&moved);
                moved.tensors_mut().swap_remove(t).data.write()[i] = before;
                value.f64()
            };
            let numeric = if central { (at(h) - at(-h)) / (2.0 * h) } else { (at(h) - at(0.0)) / h };
            off = off.max((analytic.f64() - numeric).abs());
            largest = largest.max(numeric.abs());
        }
        worst = worst.max(off / (largest + 1e-3));
    }
    worst
}

#[test]
fn the_step_size_has_a_best_value() {
    let steps = (1..=7).map(|k| 0.1f64.powi(k));
    let rows: Vec<Vec<f64>> = steps
        .map(|h| vec![mlp_error::<f64>(h, false), mlp_error::<f64>(h, true), mlp_error::<f32>(h, true)])
        .collect();
    compare("step", &rows);
}

#[test]
fn a_gradient_of_zero_needs_a_floor() {
    let layer = filled(Attention::new(6, 2));
    let (x, key) = (random(2 * 5, 6), ndarray::s![6..12]);
    let bias = layer.qkv.bias.slice(key).to_owned();
    let with_key_bias = |bias: &Array1<f64>| {
        let mut layer = layer.clone();
        layer.qkv.bias.slice_mut(key).assign(bias);
        layer
    };
    let error = |floor: f64| {
        let check = GradCheck { floor, ..GradCheck::default() };
        let report = check.function(
            &bias,
            |bias, cx| with_key_bias(bias).forward(x.clone(), 5, cx).0,
            |bias, dy, cx| {
                let layer = with_key_bias(bias);
                let (mut grad, (_, cache)) = (layer.zeros_like(), layer.forward(x.clone(), 5, cx));
                layer.backward(cache, dy.view(), &mut grad, cx);
                grad.qkv.bias.slice(key).to_owned()
            },
        );
        report.rows.iter().find(|row| row.tensor == "input").expect("the input's row").error
    };
    compare("floor", &[vec![error(0.0)], vec![error(1e-12)], vec![error(1e-6)], vec![error(1e-3)]]);
}

#[test]
fn a_wrong_gradient_has_another_slope() {
    let cx = &mut Exec::new(Backend::default());
    let layer = filled(Mlp::new(4, 7));
    let (x, dy) = (random(6, 4), random(6, 4).mapv(|x| (7.0 * x).sin()));
    let mut right = layer.zeros_like();
    let (_, cache) = layer.forward(x.clone(), cx);
    layer.backward(cache, dy.view(), &mut right, cx);
    let mut wrong = right.clone();
    wrong.fc1.bias.fill(0.0);

    let mut direction = layer.zeros_like();
    GradCheck { seed: 1, ..GradCheck::default() }.fill(&mut direction, -1.0..1.0);
    let along = |grad: &Mlp<f64>| {
        let pairs = grad.tensors().into_iter().zip(direction.tensors());
        pairs.map(|(g, v)| g.data.iter().zip(v.data).map(|(g, v)| g * v).sum::<f64>()).sum::<f64>()
    };
    let mut loss = |h: f64| {
        let (mut moved, mut by) = (layer.clone(), direction.clone());
        by.scale(h);
        moved.accumulate(&by);
        (&moved.forward(x.clone(), cx).0 * &dy).sum()
    };
    let start = loss(0.0);
    let rows: Vec<Vec<f64>> = [1e-1, 1e-2, 1e-3, 1e-4]
        .map(|h| {
            let moved = loss(h) - start;
            vec![(moved - h * along(&right)).abs(), (moved - h * along(&wrong)).abs()]
        })
        .to_vec();
    compare("taylor", &rows);
}

/// The worst error of a check that is weak in one way, and of the check as it should be.
fn weak_and_strong(weak: Report, strong: Report) -> Vec<f64> {
    vec![weak.worst(), strong.worst()]
}

/// Backward of a linear layer whose result `change` may spoil; `grad` receives what it adds.
fn spoilt_linear(
    x: &Array2<f64>,
    layer: &Linear<f64>,
    check: &GradCheck,
    change: impl Fn(&Linear<f64>, &Array2<f64>, &mut Linear<f64>, Array2<f64>) -> Array2<f64>,
) -> Report {
    check.layer(
        layer,
        x,
        |layer, x, cx| layer.forward(x.clone(), cx),
        |layer, cache, dy, grad, cx| {
            let dx = layer.backward(cache, dy.view(), grad, cx);
            change(layer, dy, grad, dx)
        },
    )
}

fn norm_without_gamma(layer: &LayerNorm<f64>, x: &Array2<f64>) -> Report {
    let forward = |layer: &LayerNorm<f64>, x: &Array2<f64>, cx: &mut Exec<f64>| layer.forward(x.clone(), cx);
    GradCheck::default().layer(layer, x, forward, |layer, cache, dy, grad, cx| {
        let plain = LayerNorm { weight: Array1::ones(layer.weight.len()), ..layer.clone() };
        plain.backward(cache, dy.view(), grad, cx)
    })
}

/// `dγ += Σ x̂` for `dγ += Σ dy ⊙ x̂`, with the upstream gradient that is given.
fn norm_without_dy(dy: &Array2<f64>) -> Report {
    let forward = |layer: &LayerNorm<f64>, x: &Array2<f64>, cx: &mut Exec<f64>| {
        let (y, cache) = layer.forward(x.clone(), cx);
        ((&y * dy).sum(), (cache, layer.forward(x.clone(), cx).1))
    };
    let layer = filled(LayerNorm::new(6, 1e-6));
    GradCheck::default().loss(&layer, &random(5, 6), forward, |layer, (cache, again), grad, cx| {
        let mut of_ones = layer.zeros_like();
        layer.backward(again, Array2::ones(dy.dim()).view(), &mut of_ones, cx);
        let weight = &grad.weight + &of_ones.weight;
        let dx = layer.backward(cache, dy.view(), grad, cx);
        grad.weight = weight;
        dx
    })
}

#[test]
fn a_weak_check_passes_a_wrong_backward_pass() {
    let check = GradCheck::default();
    let norm = |weight: Array1<f64>| LayerNorm { weight, ..filled(LayerNorm::new(6, 1e-6)) };
    let linear = filled(Linear::new(5, 3));

    // `=` for `+=`, seen from a gradient that starts at zero and from one that does not.
    let assigned = |from_zero: bool| {
        check.layer(
            &linear,
            &random(4, 5),
            |layer, x, cx| layer.forward(x.clone(), cx),
            |layer, cache, dy, grad, cx| {
                let mut fresh = layer.zeros_like();
                let dx = layer.backward(cache, dy.view(), &mut fresh, cx);
                if from_zero {
                    grad.accumulate(&fresh);
                } else {
                    *grad = fresh;
                }
                dx
            },
        )
    };
    // `dx = dy Wᵀ` needs a square matrix to go unnoticed, and a symmetric one to be right.
    let transposed = |weight: Array2<f64>| {
        let layer = Linear { bias: Array1::zeros(weight.nrows()), weight: weight.into() };
        spoilt_linear(&random(4, 3), &layer, &check, |layer, dy, _, _| dy.dot(&layer.weight.t().view))
    };
    let square = random(3, 3);
    // The bias gathers over the first image's two rows only.
    let first_image = |images: usize| {
        spoilt_linear(&random(2 * images, 5), &linear, &check, |_, dy, grad, dx| {
            dy.outer_iter().skip(2).for_each(|row| grad.bias -= &row);
            dx
        })
    };
    // With weights of 1e-7 the input's gradient is as small, and so is the error of forgetting it.
    let forgotten = |floor: f64| {
        let check = GradCheck { floor, ..check.clone() };
        let layer = Linear { weight: (1e-7 * &*linear.weight).into(), bias: linear.bias.clone() };
        spoilt_linear(&random(4, 5), &layer, &check, |_, _, _, dx| 0.0 * dx)
    };
    let rows = [
        weak_and_strong(
            norm_without_gamma(&norm(Array1::ones(6)), &random(5, 6)),
            norm_without_gamma(&norm(random(1, 6).row(0).to_owned()), &random(5, 6)),
        ),
        weak_and_strong(assigned(true), assigned(false)),
        weak_and_strong(transposed(&square + &square.t()), transposed(square.clone())),
        weak_and_strong(first_image(1), first_image(2)),
        weak_and_strong(
            norm_without_dy(&Array2::ones((5, 6))),
            norm_without_dy(&random(5, 6).mapv(|x| (5.0 * x).cos())),
        ),
        weak_and_strong(forgotten(1.0), forgotten(1e-3)),
    ];
    compare("weak", &rows);
}
