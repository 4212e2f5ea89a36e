//! The worked examples of the optimiser and the schedule, computed by the library.

use crate::example::Example;
use vit_mae::layers::Linear;
use vit_mae::optim::{AdamW, Schedule, groups};
use vit_mae::params::Params;

#[test]
fn adamw_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("11-adamw.md", "adamw");
    let (eta, decay) = (e.scalar("η"), e.scalar("λ"));
    let betas = e.vector("β₁, β₂");
    let mut model = Linear::new(1, 1);
    model.weight.fill(e.scalar("w"));
    let groups = groups::pretraining(&model, decay);
    let mut optimiser = AdamW::new(&model, (betas[0], betas[1]));
    for step in 1..=2 {
        let mut grad = model.zeros_like();
        grad.weight.fill(e.scalar(&format!("step {step}: g")));
        optimiser.step(&mut model, &grad, &groups, eta);
        let (m, v) = (optimiser.m.weight[[0, 0]], optimiser.v.weight[[0, 0]]);
        let (m_hat, v_hat) = (m / (1.0 - betas[0].powi(step)), v / (1.0 - betas[1].powi(step)));
        e.check_scalar(&format!("step {step}: m"), m);
        e.check_scalar(&format!("step {step}: v"), v);
        e.check_scalar(&format!("step {step}: m̂"), m_hat);
        e.check_scalar(&format!("step {step}: v̂"), v_hat);
        e.check_scalar(&format!("step {step}: m̂ / √v̂"), m_hat / v_hat.sqrt());
        e.check_scalar(&format!("step {step}: w"), model.weight[[0, 0]]);
    }
    e.done();
}

#[test]
fn the_schedule_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("11-adamw.md", "schedule");
    let schedule = Schedule {
        lr: e.scalar("η_max"),
        min_lr: e.scalar("η_min"),
        warmup_epochs: e.scalar("u"),
        epochs: e.scalar("n"),
    };
    let rates: ndarray::Array1<f64> = e.vector("a").mapv(|at| schedule.lr_at(at));
    e.check("η(a)", &rates);
    e.done();
}
