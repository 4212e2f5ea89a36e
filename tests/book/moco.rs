//! The worked examples of contrastive learning: batch norm, InfoNCE, collapse, the moving average, computed by the library.

use crate::example::Example;
use ndarray::{Array1, Array2, Axis};
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::{AffineBatchNorm, Linear};
use vit_mae::models::moco::loss::InfoNce;
use vit_mae::models::moco::momentum;
use vit_mae::params::Params;

fn exec() -> Exec<f64> {
    Exec::new(Backend::default())
}

#[test]
fn batch_norm_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("14-contrastive.md", "batch norm");
    let (x, dy) = (e.given("x"), e.given("dy"));
    let (weight, bias) = (e.vector("γ"), e.vector("β"));
    let layer = AffineBatchNorm { weight, bias, ..AffineBatchNorm::new(x.ncols(), e.scalar("ε")) };

    let mean = x.mean_axis(Axis(0)).unwrap();
    let variance = (&x - &mean).mapv(|d| d * d).mean_axis(Axis(0)).unwrap();
    let x_hat = (&x - &mean) / &variance.mapv(f64::sqrt);
    let dx_hat = &dy * &layer.weight;
    e.check("μ", &mean);
    e.check("σ²", &variance);
    e.check("x̂", &x_hat);
    e.check("dx̂", &dx_hat);
    e.check("mean(dx̂)", &dx_hat.mean_axis(Axis(0)).unwrap());
    e.check("mean(dx̂ ⊙ x̂)", &(&dx_hat * &x_hat).mean_axis(Axis(0)).unwrap());

    let cx = &mut exec();
    let (y, cache) = layer.forward(x, cx);
    let mut grad = layer.zeros_like();
    let dx = layer.backward(cache, dy.view(), &mut grad, cx);
    e.check("y", &y);
    e.check("dγ", &grad.weight);
    e.check("dβ", &grad.bias);
    e.check("dx", &dx);
    e.check("Σ dx", &dx.sum_axis(Axis(0)));
    e.done();
}

fn row_dots(a: &Array2<f64>, b: &Array2<f64>) -> Array1<f64> {
    (a * b).sum_axis(Axis(1))
}

#[test]
fn infonce_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("14-contrastive.md", "infonce");
    let (temperature, q, k) = (e.scalar("T"), e.given("q"), e.given("k"));
    let cx = &mut exec();
    let loss = InfoNce::new(&q, &k, temperature, cx);
    e.check("q̂", &loss.query.rows);
    e.check("k̂", &loss.key.rows);
    e.check("S", &loss.logits);
    e.check_scalar("ctr", loss.loss);
    e.check_scalar("accuracy", loss.accuracy);
    e.check_scalar("standard deviation of q̂", loss.query.spread());

    // What lies between, from the definitions.
    let mut p = loss.logits.mapv(f64::exp);
    p.outer_iter_mut().for_each(|mut row| row /= row.sum());
    e.check("‖q‖", &row_dots(&q, &q).mapv(f64::sqrt));
    e.check("−ln P_ii", &p.diag().mapv(|p| -p.ln()));
    e.check("P", &p);

    let gradient = loss.backward(cx);
    let dunit = gradient.dlogits.dot(&loss.key.rows) / temperature;
    e.check("dS", &gradient.dlogits);
    e.check("⟨q̂, dq̂⟩", &row_dots(&loss.query.rows, &dunit));
    e.check("dq̂", &dunit);
    e.check("⟨q, dq⟩", &row_dots(&q, &gradient.dq));
    e.check("dq", &gradient.dq);
    e.done();
}

#[test]
fn collapse_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("14-contrastive.md", "collapse");
    let (temperature, cx) = (e.scalar("T"), &mut exec());
    let loss = InfoNce::new(&e.given("q"), &e.given("k"), temperature, cx);
    e.check("S", &loss.logits);
    e.check_scalar("ctr", loss.loss);
    e.check_scalar("accuracy", loss.accuracy);
    e.check_scalar("standard deviation of q̂", loss.query.spread());
    e.check("dq", &loss.backward(cx).dq);
    let many = Array2::ones((256, 2));
    let guessing = 2.0 * InfoNce::new(&many, &many, temperature, cx).loss;
    e.check_scalar("loss of guessing among 256", guessing);
    e.done();
}

#[test]
fn the_moving_average_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("14-contrastive.md", "moving average");
    let m0 = e.scalar("m₀");
    let coefficients = e.vector("t").mapv(|t| momentum::coefficient(m0, t, 1.0));
    let (mut average, mut online) = (Linear::<f64>::new(1, 1), Linear::new(1, 1));
    online.weight.fill(e.scalar("w"));
    let weights: Array1<f64> = coefficients
        .iter()
        .map(|&m| {
            momentum::average(&mut average, &online, m);
            average.weight[[0, 0]]
        })
        .collect();
    e.check("m", &coefficients);
    e.check("w̄", &weights);
    e.done();
}
